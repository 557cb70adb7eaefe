# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A held host keeps its instances as they are, gets nothing new, and counts for no floor."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, report, transition

from .plan_fixtures import SMALL, machine, model, plan
from .test_cpu import host
from .test_cpu import plan as plan_on_cpus

HOLD = {"who": "ann@ops1", "since": "2026-11-27T20:00:00Z", "why": "a fan is replaced"}
Hosts = dict[str, dict[str, Any]]


def held(hosts: Hosts, name: str) -> Hosts:
    return {**hosts, name: {**hosts[name], "hold": HOLD}}


def gpus() -> Hosts:
    return {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}


def test_a_changed_model_leaves_the_held_host_alone() -> None:
    before = plan([model("chat", replicas=2)], gpus())["instances"]
    after = plan([model("chat", replicas=2, revision="two")], held(gpus(), "gpu2"), {"instances": before})
    by_host = {one["host"]: one for one in after["instances"]}
    old = next(one for one in before if one["host"] == "gpu2")
    assert {key: by_host["gpu2"][key] for key in old if key != "reasons"} == {
        key: value for key, value in old.items() if key != "reasons"
    }
    assert by_host["gpu1"]["revision"] == "two"
    assert {one["name"]: one["action"] for one in report.changes(after["instances"], before)} == {
        by_host["gpu1"]["name"]: "~",
        by_host["gpu2"]["name"]: "=",
    }


def test_nothing_new_is_placed_on_a_held_host_and_the_refusal_says_so() -> None:
    after = plan([model("chat"), model("small", SMALL)], held(gpus(), "gpu1"))
    assert {one["host"] for one in after["instances"]} == {"gpu2"}
    after = plan([model("chat", replicas=2)], held(gpus(), "gpu1"))
    assert [one["host"] for one in after["instances"]] == ["gpu2"]
    assert "nothing is placed on gpu1, which maintain.yml holds" in after["unplaced"][0]["reason"]


def test_a_held_host_counts_for_no_floor() -> None:
    before = plan([model("chat", replicas=2)], gpus())["instances"]
    hosts = held(gpus(), "gpu2")
    asked = [model("chat", replicas=2, revision="two")]
    after = plan(asked, hosts, {"instances": before})
    changes = report.changes(after["instances"], before)
    found = transition.find(after, asked, hosts, before, changes, reached=["gpu1"])
    (problem,) = found["blocked"]
    assert problem["problem"].startswith(f"taking {after['instances'][0]['name']} out leaves 0 of 1 in service")
    assert found["unreached"] == ["gpu2"]
    freed = transition.find(after, asked, hosts, before, changes, downtime=["chat"], reached=["gpu1"])
    assert [step["hosts"] for step in freed["steps"]] == [["gpu1"]]


def test_hosts_without_gpus_are_held_too() -> None:
    hosts = {"h1": host(), "h2": host()}
    before = plan_on_cpus({"name": "chat", "replicas": 2}, **hosts)["instances"]
    again = {"name": "chat", "replicas": 2, "args": {"enforce-eager": True}}
    after = plan_on_cpus(again, current=before, **held(hosts, "h2"))
    assert after["problems"] == []
    old = {one["host"]: one for one in before}
    new = {one["host"]: one for one in after["instances"]}
    assert new["h2"]["args"] == old["h2"]["args"]
    assert new["h1"]["args"] != old["h1"]["args"]
    more = plan_on_cpus({"name": "chat", "replicas": 3}, current=before, **held(hosts, "h2"))["instances"]
    assert sorted(one["host"] for one in more) == ["h1", "h1", "h2"]


def test_a_fleet_that_is_held_as_a_whole_keeps_what_it_has_and_refuses_more() -> None:
    before = plan_on_cpus({"name": "chat"}, h=host())["instances"]
    assert plan_on_cpus({"name": "chat"}, current=before, **held({"h": host()}, "h"))["instances"] == before
    after = plan_on_cpus({"name": "chat"}, {"name": "other"}, current=before, **held({"h": host()}, "h"))
    (problem,) = after["problems"]
    assert problem["variable"] == "llm_models[other].replicas"
    assert "every host where it may run is held" in problem["problem"]


def test_a_record_of_an_earlier_version_stays_too() -> None:
    hosts = {"h1": host(), "h2": host()}
    before = plan_on_cpus({"name": "chat", "replicas": 2}, **hosts)["instances"]
    for one in before:
        del one["max_model_len"]
    after = plan_on_cpus({"name": "chat", "replicas": 2}, current=before, **held(hosts, "h2"))
    assert [one["action"] for one in report.changes(after["instances"], before) if one["host"] == "h2"] == ["="]


def test_a_host_of_which_nothing_is_known_may_be_held() -> None:
    found = plan_on_cpus({"name": "chat"}, h1=host(), h2={"hold": HOLD})
    assert found["problems"] == []
    assert [one["host"] for one in found["instances"]] == ["h1"]


@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ([], "it stays as it is"),
        ([{"name": "chat-0", "host": "gpu2"}], "chat-0 stays as it is"),
        ([{"name": "chat-0", "host": "gpu2"}, {"name": "b-0", "host": "gpu2"}], "chat-0, b-0 stay as they are"),
    ],
)
def test_the_plan_says_who_holds_a_host_since_when_why_and_how_to_release_it(
    instances: list[dict[str, Any]], text: str
) -> None:
    (said,) = holds.host_lines({"gpu2": HOLD}, instances)
    assert said == (
        f"gpu2 is held by ann@ops1 since 2026-11-27T20:00:00Z (a fan is replaced): {text}, out of the traffic; release "
        "with playbooks/maintain.yml -e host=gpu2 -e do=release"
    )
    found = plan([model("chat")], held(gpus(), "gpu2"))
    shown = report.render({**found, "held_hosts": {"gpu2": HOLD}}, found["instances"])
    assert "gpu2 is held by ann@ops1" in shown
