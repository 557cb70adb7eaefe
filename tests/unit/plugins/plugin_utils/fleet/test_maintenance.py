# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance of a host: what may be asked for, floors, gateways, holds and removals."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import (
    changes,
    maintenance,
    memory,
    rollout,
    status,
)

FLEET = ["gpu1", "gpu2", "gw1"]
HOLD = {"who": "ann@ops1", "since": "2026-11-27T20:00:00Z", "why": "a fan is replaced"}


@pytest.mark.parametrize(
    ("host", "work", "answers", "said"),
    [
        ("gpu1", "hold", True, []),
        ("gpu1", "hold", False, []),
        ("", "hold", True, ["host is not given: name one host with -e host=gpu1."]),
        ("gpu1,gpu2", "hold", True, ['host is "gpu1,gpu2": one host at a time is maintained']),
        (["gpu1", "gpu2"], "hold", True, ['host is ["gpu1", "gpu2"]: one host at a time is maintained']),
        ("gpu7", "reboot", True, ["host is gpu7: there is no such host in the fleet; did you mean gpu"]),
        ("gpu1,", "reboot", True, ["host is gpu1,: there is no such host in the fleet; did you mean gpu1"]),
        ("gpu1", "", True, ["do is not given: add -e do=, one of reboot, driver, packages, hold, release."]),
        ("gpu1", "dance", True, ["do is dance: there is no such work: add -e do=, one of reboot"]),
        ("", "dance", True, ["host is not given", "do is dance"]),
        ("gpu1", "reboot", False, ["gpu1: do is reboot: the host does not answer; start it, or keep it out with"]),
    ],
)
def test_one_host_and_a_known_work(host: Any, work: str, answers: bool, said: list[str]) -> None:
    found = maintenance.request_problems(host, work, FLEET, answers)
    assert len(found) == len(said)
    for text, start in zip(found, said, strict=True):
        assert text.startswith(start)


@pytest.mark.parametrize(
    ("facts", "connection", "why"),
    [
        ({"service_mgr": "systemd", "virtualization_type": "kvm", "virtualization_role": "guest"}, "ssh", ""),
        ({"service_mgr": "systemd", "virtualization_type": "docker", "virtualization_role": "host"}, "ssh", ""),
        (
            {"service_mgr": "systemd", "virtualization_type": "docker", "virtualization_role": "guest"},
            "ssh",
            "a container",
        ),
        ({"service_mgr": "supervisord"}, "ssh", "it runs supervisord instead of systemd"),
        ({"service_mgr": "systemd"}, "local", "Ansible runs on it"),
    ],
)
def test_what_cannot_be_rebooted(facts: dict[str, str], connection: str, why: str) -> None:
    said = maintenance.reboot_problem("gpu1", facts, connection)
    assert bool(said) == bool(why)
    assert why in said
    assert not said or "keep it out with -e do=hold" in said


def instance(name: str, host: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name.rpartition("-")[0],
        "host": host,
        "engine": "vllm",
        "port": 8100,
        "device": "cpu",
    }


def model(name: str, replicas: int = 1, least: int | None = None) -> dict[str, Any]:
    return {"name": name, "replicas": replicas, "min_in_service": least}


def machine(*serving: str, **more: Any) -> dict[str, Any]:
    return {"device": "cpu", "address": "10.0.0.1", "cpu": {"memory_mib": 32768}, "serving": list(serving), **more}


TWO = [instance("chat-0", "gpu1"), instance("chat-1", "gpu2")]
UP = {"gpu1": machine("chat-0"), "gpu2": machine("chat-1")}
GROUPS = {"fleet": FLEET, "gateway": ["gw1"], "webui": [], "monitoring": ["gw1"]}


def outage(host: str = "gpu1", **given: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "current": TWO,
        "machines": UP,
        "models": [model("chat", 2)],
        "groups": GROUPS,
        "downtime": [],
        "report": {},
    }
    return maintenance.outage(host, **{**values, **given})


def test_a_host_whose_models_serve_elsewhere_may_go() -> None:
    found = outage()
    assert found["problems"] == []
    assert found["instances"] == found["serving"] == ["chat-0"]
    assert found["lines"] == ["chat: 2 in service, 1 while gpu1 is out, at least 1"]


@pytest.mark.parametrize(
    "given",
    [
        {"models": [model("chat", 2, 2)]},
        {"machines": {**UP, "gpu2": machine()}},
        {"machines": {**UP, "gpu2": machine("chat-1", hold=HOLD)}},
        {"current": TWO[:1]},
    ],
    ids=["floor", "the other does not serve", "the other is held", "there is no other"],
)
def test_a_floor_that_would_be_broken_is_refused_with_the_arithmetic(given: dict[str, Any]) -> None:
    (problem,) = outage(**given)["problems"]
    assert problem.startswith("gpu1: llm_models[chat].min_in_service is ")
    assert "taking chat-0 on gpu1 out leaves " in problem
    assert "a second one needs" in problem
    assert "(gpu1)" not in problem, "the host itself is no place for a second one"
    assert "-e llm_allow_downtime=chat" in problem
    for away in (["chat"], "other,chat", "all"):
        assert outage(**given, downtime=away)["problems"] == []
    assert outage(**{**given, "models": [model("chat", 2, 0)]})["problems"] == []


def test_what_does_not_serve_or_is_held_already_may_always_go() -> None:
    for alone in (machine(), machine("chat-0", hold=HOLD)):
        found = outage(current=TWO[:1], machines={"gpu1": alone})
        assert found["problems"] == []
        assert found["serving"] == []


def test_the_only_gateway_is_refused_unless_it_is_named_or_there_is_one_host_only() -> None:
    found = outage("gw1")
    (problem,) = found["problems"]
    assert problem == (
        'gw1: llm_gateway is ["gw1"]: taking gw1 out leaves 0 of 1 gateways in service; add a host to llm_gateway, or '
        "let it be away once with -e llm_allow_downtime=gateway."
    )
    assert "Prometheus runs on gw1 alone, and is away while it reboots or is off" in found["lines"]
    assert outage("gw1", downtime="gateway")["problems"] == []
    both = {**GROUPS, "gateway": ["gw1", "gpu2"]}
    assert outage("gw1", groups=both)["problems"] == []
    assert outage("gw1", groups={**both, "held": ["gpu2"]})["problems"]
    one = {"fleet": ["gw1"], "gateway": ["gw1"], "webui": ["gw1"], "monitoring": []}
    alone = outage("gw1", groups=one, current=[instance("chat-0", "gw1")], models=[model("chat", 1, 0)])
    assert alone["problems"] == []
    assert alone["instances"] == ["chat-0"]


def read(when: str, **held: Any) -> dict[str, Any]:
    return {"content": base64.b64encode(json.dumps({"when": when, "holds": held}).encode()).decode()}


MISSING = {"failed": True, "msg": "file not found: /etc/ansible/facts.d/llmfleet_holds.fact"}
KNOWN = {"hosts": {"gpu1": machine(hold=HOLD), "gpu2": machine()}}


@pytest.mark.parametrize(
    ("answers", "held"),
    [
        ([read("2026-11-27T20:00:00Z", gpu2=HOLD)], ["gpu2"]),
        ([read("2026-11-27T20:00:00Z", gpu2=HOLD), read("2026-11-27T21:00:00Z")], []),
        ([MISSING, read("2026-11-27T20:00:00Z", gpu2=HOLD)], ["gpu2"]),
        ([MISSING], []),
        ([], ["gpu1"]),
        ([{"unreachable": True, "msg": "no route to host"}], ["gpu1"]),
        ([read("2026-11-27T20:00:00Z", gone=HOLD)], []),
    ],
)
def test_the_newest_gateway_tells_who_is_held_and_without_any_the_last_run(
    answers: list[dict[str, Any]], held: list[str]
) -> None:
    found = maintenance.known_holds(answers, KNOWN, FLEET)
    assert found == dict.fromkeys(held, HOLD)


def test_a_hold_stays_as_it_was_first_made_and_ends_by_a_release() -> None:
    first = maintenance.holds_after({}, "gpu1", "hold", "ann@ops1", HOLD["since"], HOLD["why"])
    assert first == {"gpu1": HOLD}
    assert maintenance.holds_after(first, "gpu1", "reboot", "bob@ops2", "later", "") == first
    both = maintenance.holds_after(first, "gpu2", "hold", "bob@ops2", "later", "")
    assert both["gpu2"] == {"who": "bob@ops2", "since": "later", "why": ""}
    assert list(maintenance.holds_after(both, "gpu1", "release", "", "", "")) == ["gpu2"]


def test_facts_of_hosts_name_who_holds_them_now() -> None:
    known = {"hosts": {"gpu1": {"address": "a", "hold": HOLD}, "gpu2": {"address": "b"}}}
    found = memory.fleet_hosts(["gpu1", "gpu2"], {}, known, {"gpu2": HOLD})
    assert found == {"gpu1": {"address": "a"}, "gpu2": {"address": "b", "hold": HOLD}}
    assert memory.fleet_hosts(["gpu2"], {}, known) == {"gpu2": {"address": "b"}}


def test_gateways_send_nothing_to_a_held_host() -> None:
    machines = {"gpu1": machine("chat-0"), "gpu2": machine("chat-1", hold=HOLD)}
    found = changes.instances_in_traffic({"instances": TWO, "unreached": ["gpu2"]}, TWO, machines)
    assert {one["host"]: one["weight"] for one in found} == {"gpu1": 1, "gpu2": 0}


def test_a_rollback_leaves_a_held_host_alone_and_counts_the_others() -> None:
    machines = {"gpu1": machine("chat-0"), "gpu2": machine("chat-1", hold=HOLD)}
    plan = rollout.rollback_plan(TWO, machines, [model("chat", 2)], ["chat"], [])
    assert [step["hosts"] for step in plan["steps"]] == [["gpu1"]]
    assert "taking chat-0 out leaves 0 of 1 in service" in plan["problems"][0]


def test_the_status_shows_held_hosts_also_those_that_are_off() -> None:
    known = {"gpu2": {"instances": [{"name": "chat-1", "model": "chat", "engine": "vllm"}]}}
    shown = status.fleet_status({"gpu1": {"engines": [], "services": []}, "gpu2": {}}, [], known, "now", {"gpu2": HOLD})
    assert "unreachable, out" in status.status_table(shown)
    assert "gpu2 is held by ann@ops1 since 2026-11-27T20:00:00Z (a fan is replaced): chat-1" in status.status_table(
        shown
    )


def removal(**given: Any) -> list[str]:
    values: dict[str, Any] = {
        "serving": ["chat-1"],
        "own": [{"name": "chat-1", "model": "chat"}],
        "current": TWO,
        "held": False,
        "left_out": ["gw1"],
        "downtime": [],
    }
    return maintenance.removal_problems("gpu2", **{**values, **given})


def test_instances_that_gateways_send_to_are_not_removed() -> None:
    (problem,) = removal()
    assert problem == (
        "gpu2: chat: removing chat-1 on gpu2 leaves 1 of 2 instances, and gw1 would go on sending to it: "
        "take the host out first with playbooks/maintain.yml -e host=gpu2 -e do=hold, or let requests fail with "
        "-e llm_allow_downtime=chat."
    )
    for free in ({"held": True}, {"left_out": []}, {"serving": []}, {"own": []}, {"downtime": "chat"}):
        assert removal(**free) == []


def test_the_key_of_the_engines_is_not_rotated_while_a_host_with_engines_is_held() -> None:
    held = {"gpu2": HOLD, "gw1": HOLD}
    (problem,) = maintenance.rotation_problems(held, ["gpu1", "gpu2"], "litellm_master_key, vllm_api_key")
    assert (problem["host"], problem["variable"]) == ("gpu2", "llm_rotate")
    assert problem["value"] == ["litellm_master_key", "vllm_api_key"]
    assert "held by ann@ops1 since 2026-11-27T20:00:00Z (a fan is replaced)" in problem["problem"]
    assert "playbooks/maintain.yml -e host=gpu2 -e do=release" in problem["remedy"]
    assert maintenance.rotation_problems(held, ["gpu1", "gpu2"], ["litellm_master_key"]) == []
    assert maintenance.rotation_problems({"gw1": HOLD}, ["gpu1", "gpu2"], ["vllm_api_key"]) == []


def test_hosts_without_facts_are_told_with_what_can_be_done() -> None:
    def told(missing: list[str], maintained: str = "") -> list[str]:
        return maintenance.no_facts(missing, {"gpu2": HOLD}, maintained, "/fleet/.llm_fleet.json")

    assert told([]) == []
    (held,) = told(["gpu2"])
    assert held.startswith(
        "no facts for gpu2, neither from this run nor cached in /fleet/.llm_fleet.json: it is held by"
    )
    assert "start it and release it with playbooks/maintain.yml -e host=gpu2 -e do=release, or take it out of" in held
    (dead,) = told(["gpu1"], "gpu1")
    assert ": it does not answer, and" in dead
    assert "do=release" not in dead
    both = told(["gpu2", "gpu3", "gpu4"])
    assert len(both) == 2
    assert both[1].startswith("no facts for gpu3, gpu4, neither from this run")
    assert "Run once without --limit" in both[1]
