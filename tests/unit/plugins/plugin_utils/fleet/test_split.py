# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The share of the new version grows from step to step, shrinks on the way back, and is kept to by a canary."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import transition
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes, rollout

HOSTS = {f"h{number}": {"address": f"10.0.0.{number}", "cards": [], "memory_mib": 64_000} for number in range(8)}


def instance(number: int, **more: Any) -> dict[str, Any]:
    host = f"h{number}"
    own = {"name": f"chat-{number}", "model": "chat", "replica": number, "host": host, "port": 8100, "gpus": []}
    return {**own, "device": "cpu", "memory_mib": 1000, "address": f"{host}:8100", **more}


def model(replicas: int, least: int | None = None) -> dict[str, Any]:
    return {"name": "chat", "replicas": replicas, "min_in_service": least}


def step(number: int, kind: str, *names: str, traffic: Any) -> dict[str, Any]:
    places = [{"name": name, "host": f"h{name[-1]}"} for name in names]
    away = len(names) if kind in ("replace", "stop") else 0
    counts = {"chat": {"before": len(traffic), "during": len(traffic) - away, "after": len(traffic), "floor": 0}}
    return {
        "number": number,
        "kind": kind,
        "instances": places,
        "hosts": [one["host"] for one in places],
        "in_service": counts,
        "traffic": [[name, f"h{name[-1]}"] for name in traffic],
        "why": "",
    }


def rolling(replicas: int, width: int = 1, same: tuple[int, ...] = ()) -> dict[str, Any]:
    """A plan that replaces all replicas but those that are as planned already, some at a time."""
    names = [f"chat-{number}" for number in range(replicas)]
    todo = [name for number, name in enumerate(names) if number not in same]
    groups = [todo[start : start + width] for start in range(0, len(todo), width)]
    steps = [step(number, "replace", *group, traffic=names) for number, group in enumerate(groups, 1)]
    return {"instances": [instance(number) for number in range(replicas)], "steps": steps, "ending": []}


def shares(plan: dict[str, Any], current: list[dict[str, Any]], **more: Any) -> list[float]:
    """Percent of the conversations that the new version gets, wherever two versions serve, step by step."""
    found = []
    for one in plan["steps"]:
        for during in (True, False):
            sent = changes.instances_in_traffic(plan, current, HOSTS, one["number"], during, **more)
            if "new_percent" in sent[0]:
                assert {one["new"] for one in sent} == {True, False}
                assert len({one["new_percent"] for one in sent}) == 1
                found.append(sent[0]["new_percent"])
    return found


@pytest.mark.parametrize("replicas", [2, 3, 4, 7])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("weights", [{}, {0: 3}, {1: 5, 0: 2}])
def test_the_share_of_the_new_version_only_grows_and_on_the_way_back_only_shrinks(
    replicas: int, width: int, weights: dict[int, int]
) -> None:
    plan, current = rolling(replicas, width), [instance(number) for number in range(replicas)]
    given = [{"name": f"chat-{number}", "host": f"h{number}", "weight": weight} for number, weight in weights.items()]
    split = shares(plan, current, weights=given)
    assert split == sorted(split)
    assert replicas < 3 or width > 1 or len(split) >= 2 * (replicas - 2)
    last = len(plan["steps"])
    back = rollout.undo_plan(plan, last, current)
    reverse = shares(back, current, weights=given)
    assert reverse == sorted(reverse, reverse=True)
    assert [*reversed(reverse)] == split


def percents(sent: list[dict[str, Any]]) -> dict[str, tuple[bool, float]]:
    return {one["name"]: (one["new"], one["new_percent"]) for one in sent if "new" in one}


def test_two_replicas_have_two_versions_only_between_the_steps() -> None:
    plan, current = rolling(2), [instance(0), instance(1)]
    traffic = [
        changes.instances_in_traffic(plan, current, HOSTS, n, during) for n in (1, 2) for during in (True, False)
    ]
    assert [percents(one) for one in traffic] == [{}, {"chat-0": (True, 50.0), "chat-1": (False, 50.0)}, {}, {}]
    assert percents(changes.instances_in_traffic(plan, current, HOSTS)) == {}


def test_a_run_after_one_that_was_cut_short_goes_on_with_its_share() -> None:
    plan, current = rolling(4, same=(0, 1)), [instance(number) for number in range(4)]
    during = changes.instances_in_traffic(plan, current, HOSTS, 1, True)
    assert percents(during)["chat-1"] == (True, 66.67)
    assert percents(during)["chat-3"] == (False, 66.67)
    back = rollout.undo_plan(plan, 1, current)
    restored = changes.instances_in_traffic(back, current, HOSTS, 1)
    assert [name for name, (new, _percent) in percents(restored).items() if new] == ["chat-0", "chat-1"]


def test_a_canary_gets_its_percent_and_never_more_than_its_share() -> None:
    plan, current = rolling(4), [instance(number) for number in range(4)]
    asked = {"names": ["chat-0"], "percent": 10}
    sent = changes.instances_in_traffic(plan, current, HOSTS, 1, canary=asked)
    assert percents(sent) == {f"chat-{number}": (number == 0, 10.0) for number in range(4)}
    for percent, expected in ((0, 0.0), (25, 25.0), (50, 25.0), ("12.345", 12.35)):
        sent = changes.instances_in_traffic(plan, current, HOSTS, 1, canary={**asked, "percent": percent})
        assert percents(sent)["chat-0"] == (True, expected)
    assert not percents(changes.instances_in_traffic(plan, current, HOSTS, 1, True, canary=asked)), "it is away"
    later = changes.instances_in_traffic(plan, current, HOSTS, 2, canary=asked)
    assert percents(later)["chat-1"] == (True, 10.0)


def test_a_canary_without_steps_is_what_is_named() -> None:
    plan = {"instances": [instance(0), instance(1)], "steps": []}
    sent = changes.instances_in_traffic(plan, [], HOSTS, canary={"names": ["chat-1"], "percent": 5})
    assert percents(sent) == {"chat-0": (False, 5.0), "chat-1": (True, 5.0)}
    assert not percents(changes.instances_in_traffic(plan, [], HOSTS, canary={}))


def test_of_an_instance_that_moves_the_planned_one_is_new() -> None:
    moved = instance(0, host="h5", address="h5:8100")
    plan = {
        "instances": [moved],
        "steps": [{**step(1, "traffic", "chat-0", traffic=[]), "traffic": [["chat-0", "h0"], ["chat-0", "h5"]]}],
        "ending": [{"name": "chat-0", "host": "h0"}],
    }
    for canary in ({}, {"names": ["chat-0"], "percent": 50}):
        sent = changes.instances_in_traffic(plan, [instance(0)], HOSTS, 1, canary=canary)
        assert {one["host"]: one["new"] for one in sent} == {"h0": False, "h5": True}


def test_a_model_that_stays_is_not_split() -> None:
    other = {**instance(5), "name": "guide-5", "model": "guide"}
    plan = rolling(2)
    plan["instances"].append(other)
    plan["steps"][0]["traffic"].append(["guide-5", "h5"])
    sent = changes.instances_in_traffic(plan, [instance(0), instance(1), other], HOSTS, 1)
    assert [one["name"] for one in sent if "new" in one] == ["chat-0", "chat-1"]


def test_a_rollback_takes_the_new_version_from_fewer_and_fewer_conversations() -> None:
    current = [instance(number) for number in range(4)]
    plan = rollout.rollback_plan(current, HOSTS, [model(4)], ["chat"], [])
    assert plan["problems"] == []
    split = shares(plan, current)
    assert split == [75.0, 66.67, 50.0, 33.33, 25.0]


def test_real_steps_keep_the_order() -> None:
    """Steps as the plan makes them, with a replica that is added, one that ends, and ports that change."""
    current = [instance(number) for number in range(4)]
    planned = [instance(0, port=8101, address="h0:8101"), *(instance(number) for number in (1, 2, 5, 6))]
    found = [{"name": one["name"], "action": "~"} for one in planned]
    hosts = {name: {**facts, "serving": None} for name, facts in HOSTS.items()}
    plan = {"instances": planned, "hosts": {}}
    plan |= transition.find(plan, [model(5, 2)], hosts, current, found)
    assert not plan["blocked"]
    split = shares(plan, current)
    assert split == sorted(split)
    assert len(split) >= 3
