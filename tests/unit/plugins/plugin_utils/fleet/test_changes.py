# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps as hosts carry them out: what each starts, leaves alone and records, and what gateways send to."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes


def instance(name: str, host: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": name[:-2], "host": host, "address": f"{host}:8100", "port": 8100, **more}


def recorded(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": name[:-2], "port": 8100, **more}


def step(number: int, kind: str, *places: tuple[str, str], traffic: Any = ()) -> dict[str, Any]:
    return {
        "number": number,
        "kind": kind,
        "instances": [{"name": name, "host": host} for name, host in places],
        "hosts": [host for _name, host in places],
        "traffic": [list(one) for one in traffic],
    }


# The model chat moves from h1 to h2; other takes its place, and old ends.
PLAN = {
    "instances": [instance("other-0", "h1", revision="two"), instance("chat-0", "h2", port=8101, address="h2:8101")],
    "steps": [
        step(1, "start", ("chat-0", "h2")),
        step(2, "traffic", ("chat-0", "h2"), traffic=[("chat-0", "h2"), ("old-0", "h1")]),
        step(3, "stop", ("chat-0", "h1")),
        step(4, "start", ("other-0", "h1")),
    ],
    "ending": [{"name": "old-0", "host": "h1"}],
}
H1 = [recorded("chat-0"), recorded("old-0", port=8105, engine="echo")]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in found]


def test_what_a_host_does_in_each_step() -> None:
    started = changes.engine_step_on(PLAN, 1, "h2", [])
    assert started == {
        "names": ["chat-0"],
        "engines": ["vllm"],
        "kept": [],
        "planned": [{"name": "chat-0", "model": "chat", "port": 8101}],
        "untouched": [],
    }
    stopped = changes.engine_step_on(PLAN, 3, "h1", H1)
    assert (stopped["names"], stopped["engines"], stopped["kept"]) == ([], ["vllm"], ["echo-old-0"])
    assert (names(stopped["planned"]), names(stopped["untouched"])) == ([], ["old-0"])
    after = changes.engine_step_on(PLAN, 4, "h1", H1)
    assert (after["names"], after["kept"]) == (["other-0"], ["echo-old-0"])
    assert (names(after["planned"]), names(after["untouched"])) == (["other-0"], ["old-0"])


def test_the_end_keeps_what_gateways_still_know() -> None:
    end = changes.engine_step_on(PLAN, 0, "h1", H1)
    assert end["names"] == ["other-0"]
    assert end["kept"] == ["echo-old-0"]
    assert (names(end["planned"]), names(end["untouched"])) == (["other-0"], ["old-0"])
    assert changes.engine_step_on({"instances": []}, 0, "h3", []) == {
        "names": [],
        "engines": [],
        "kept": [],
        "planned": [],
        "untouched": [],
    }


def test_an_instance_that_changes_its_engine_leaves_the_service_of_the_other() -> None:
    plan = {"instances": [instance("chat-0", "h1", engine="echo")], "steps": [step(1, "replace", ("chat-0", "h1"))]}
    found = changes.engine_step_on(plan, 1, "h1", [recorded("chat-0"), recorded("rest-0")])
    assert found["engines"] == ["echo", "vllm"], "the role of the other stops it"
    assert found["kept"] == ["vllm-rest-0"]


def test_traffic_goes_to_what_is_planned_and_to_what_has_not_ended() -> None:
    current = [{**one, "host": "h1"} for one in H1]
    machines = {"h1": {"address": "fd00::1"}, "h2": {"address": "10.0.0.2"}}
    found = changes.instances_in_traffic(PLAN, 2, current, machines)
    assert [(one["name"], one["host"], one["address"]) for one in found] == [
        ("chat-0", "h2", "h2:8101"),
        ("old-0", "h1", "[fd00::1]:8105"),
    ]


def test_one_step_on_one_host_is_no_step_of_its_own() -> None:
    alone = step(1, "replace", ("chat-0", "h1"))
    assert changes.engine_steps({"steps": [alone]}) == []
    assert changes.engine_steps({}) == []
    assert changes.engine_steps({"steps": [step(1, "stop", ("chat-0", "h1"))]})
    assert len(changes.engine_steps({"steps": [step(1, "start", ("a-0", "h1"), ("a-1", "h2"))]})) == 1
    assert len(changes.engine_steps(PLAN)) == 4
