# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a change: floors and memory hold at every moment, the plan is reached, and refusals tell the arithmetic."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth, report, transition
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes

from .plan_fixtures import BIG, CHAT, GIB, H100, L4, SMALL, machine, model, plan


def found(models: list[dict[str, Any]], hosts: dict[str, Any], before: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Plan after another plan that is in force, and return the steps with the plan."""
    after = plan(models, hosts, before)
    current = before["instances"]
    changes = report.changes(after["instances"], current)
    return {"plan": after, **transition.find(after, models, hosts, current, changes, **more)}


def kinds(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(step["kind"], [one["name"] for one in step["instances"]]) for step in result["steps"]]


def texts(result: dict[str, Any]) -> str:
    return "\n".join(f"{one['variable']}: {one['problem']}; {one['remedy']}" for one in result["blocked"])


def test_a_first_plan_is_one_step() -> None:
    models = [model("chat"), model("small", SMALL, replicas=2)]
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    result = found(models, hosts, {"instances": []})
    assert [kind for kind, _names in kinds(result)] == ["start"]
    assert result["ending"] == result["blocked"] == []


def test_nothing_to_do_has_no_steps() -> None:
    models, hosts = [model("chat")], {"gpu1": machine(1)}
    before = plan(models, hosts)
    assert found(models, hosts, before) == {
        "plan": plan(models, hosts, before),
        "unreached": [],
        "steps": [],
        "ending": [],
        "blocked": [],
        "held_back": [],
    }


def test_replicas_change_host_by_host() -> None:
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    before = plan([model("chat", replicas=2)], hosts)
    result = found([model("chat", replicas=2, revision="two")], hosts, before)
    assert kinds(result) == [("replace", ["chat-0"]), ("replace", ["chat-1"])]
    assert [step["in_service"]["chat"] for step in result["steps"]] == [
        {"before": 2, "during": 1, "after": 2, "floor": 1}
    ] * 2
    assert not result["blocked"]


def test_replicas_of_one_host_change_step_by_step() -> None:
    """Gateways take all instances of a step out at once."""
    hosts = {"gpu1": machine(2)}
    before = plan([model("chat", replicas=2), model("small", SMALL, min_in_service=0)], hosts)
    changed = [model("chat", replicas=2, revision="two"), model("small", SMALL, min_in_service=0, revision="two")]
    result = found(changed, hosts, before)
    assert [kind for kind, _names in kinds(result)] == ["replace", "replace"]
    (_replace, first), (_again, second) = kinds(result)
    assert sorted([*first, *second]) == ["chat-0", "chat-1", "small-0"]
    assert [len([name for name in names if name.startswith("chat")]) for names in (first, second)] == [1, 1]
    down = found(changed, hosts, before, reached=["other"])
    assert (down["steps"], down["unreached"]) == ([], ["gpu1"])


@pytest.mark.parametrize(("serial", "steps"), [(2, 3), ("50%", 3), ([1, 4], 2), (1, 5), ("1%", 5)])
def test_as_many_hosts_at_a_time_as_asked_but_never_below_the_floor(serial: Any, steps: int) -> None:
    hosts = {f"gpu{number}": machine(1, prefix=f"{number}-") for number in range(5)}
    asked = {"replicas": 5, "min_in_service": 1}
    before = plan([model("chat", **asked)], hosts)
    result = found([model("chat", **asked, revision="two")], hosts, before, serial=serial)
    assert len(result["steps"]) == steps
    careful = found([model("chat", replicas=5, revision="two")], hosts, before, serial=serial)
    assert len(careful["steps"]) == 5, "four of five is the default"


def test_a_single_replica_is_refused_with_the_arithmetic() -> None:
    hosts = {"gpu1": machine(1, L4, "a"), "gpu2": machine(1, L4, "b")}
    before = plan([model("chat"), model("small", SMALL)], hosts)
    result = found([model("chat", revision="two"), model("small", SMALL)], hosts, before)
    assert result["steps"] == []
    (problem,) = result["blocked"]
    assert problem["variable"] == "llm_models[chat].min_in_service"
    assert problem["value"] == 1
    assert problem["host"] == before["instances"][0]["host"]
    assert "taking chat-0 out leaves 0 of 1 in service; a second one needs" in problem["problem"]
    assert "GiB" in problem["problem"]
    assert "GPU 0" in problem["problem"]
    assert "-e llm_allow_downtime=chat" in problem["remedy"]
    for away in (["chat"], ["all"]):
        allowed = found([model("chat", revision="two"), model("small", SMALL)], hosts, before, downtime=away)
        assert kinds(allowed) == [("replace", ["chat-0"])]
        assert not allowed["blocked"]
    assert found([model("chat", revision="two", min_in_service=0), model("small", SMALL)], hosts, before)["steps"]


def test_what_does_not_serve_can_always_be_changed() -> None:
    hosts = {"gpu1": {**machine(1), "serving": []}}
    before = plan([model("chat")], hosts)
    result = found([model("chat", revision="two")], hosts, before)
    assert kinds(result) == [("replace", ["chat-0"])]
    assert not result["blocked"]


def test_a_dead_replica_is_changed_before_the_one_that_serves() -> None:
    hosts = {
        "gpu1": {**machine(1, prefix="a"), "serving": ["chat-0"]},
        "gpu2": {**machine(1, prefix="b"), "serving": []},
    }
    before = plan([model("chat", replicas=2)], hosts)
    assert [one["host"] for one in before["instances"]] == ["gpu1", "gpu2"]
    result = found([model("chat", replicas=2, revision="two")], hosts, before)
    assert kinds(result) == [("replace", ["chat-1"]), ("replace", ["chat-0"])]


def test_a_second_replica_comes_before_the_first_changes() -> None:
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    before = plan([model("chat")], hosts)
    result = found([model("chat", replicas=2, revision="two")], hosts, before)
    assert kinds(result) == [("start", ["chat-1"]), ("traffic", ["chat-1"]), ("replace", ["chat-0"])]
    assert not result["blocked"]


def test_an_instance_that_moves_runs_twice_for_a_while() -> None:
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    before = plan([model("chat", hosts=["gpu1"])], hosts)
    result = found([model("chat", hosts=["gpu2"])], hosts, before)
    assert kinds(result) == [("start", ["chat-0"])]
    assert result["ending"] == [{"name": "chat-0", "host": "gpu1"}]


def test_what_ends_makes_room_only_after_gateways_know_the_others() -> None:
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    before = plan([model("chat", hosts=["gpu1"])], hosts)
    result = found([model("chat", hosts=["gpu2"]), model("other", CHAT, hosts=["gpu1"], context=131072)], hosts, before)
    assert kinds(result) == [
        ("start", ["chat-0"]),
        ("traffic", ["chat-0"]),
        ("stop", ["chat-0"]),
        ("start", ["other-0"]),
    ]


def cut_move() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """A run that moved chat-0 from gpu1 to gpu2 and ended before gateways learnt of it."""
    hosts = {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")}
    before = plan([model("chat", hosts=["gpu1"])], hosts)
    moved = [model("chat", hosts=["gpu2"])]
    after = plan(moved, hosts, before)
    return moved, hosts, {"instances": after["instances"] + before["instances"]}


@pytest.mark.parametrize("order", [1, -1])
def test_a_move_that_was_cut_short_ends_after_gateways_know_the_new_host(order: int) -> None:
    moved, hosts, both = cut_move()
    both["instances"] = both["instances"][::order]
    result = found(moved, hosts, both)
    assert result["steps"] == result["blocked"] == []
    assert result["ending"] == [{"name": "chat-0", "host": "gpu1"}]
    changes = report.changes(result["plan"]["instances"], both["instances"])
    assert [(one["action"], one["host"]) for one in changes] == [("=", "gpu2"), ("-", "gpu1")]


def test_memory_of_a_move_that_was_cut_short_is_free_after_gateways_know_the_new_host() -> None:
    moved, hosts, both = cut_move()
    result = found([*moved, model("other", CHAT, hosts=["gpu1"], context=131072)], hosts, both)
    assert kinds(result) == [("traffic", ["chat-0"]), ("stop", ["chat-0"]), ("start", ["other-0"])]


def test_two_that_change_places_are_refused() -> None:
    hosts = {"gpu1": machine(1, L4, "a"), "gpu2": machine(1, L4, "b")}
    before = plan([model("one", CHAT, hosts=["gpu1"]), model("two", CHAT, hosts=["gpu2"])], hosts)
    swapped = [model("one", CHAT, hosts=["gpu2"]), model("two", CHAT, hosts=["gpu1"])]
    result = found(swapped, hosts, before)
    assert result["steps"] == []
    assert {one["variable"] for one in result["blocked"]} == {
        "llm_models[one].min_in_service",
        "llm_models[two].min_in_service",
    }
    once = found(swapped, hosts, before, downtime=["one"])
    assert not once["blocked"]
    assert kinds(once) == [
        ("stop", ["one-0"]),
        ("start", ["two-0"]),
        ("traffic", ["two-0"]),
        ("stop", ["two-0"]),
        ("start", ["one-0"]),
    ]


def test_a_model_that_nobody_asks_for_has_no_floor() -> None:
    hosts = {"gpu1": machine(1, L4, "a")}
    before = plan([model("old", CHAT)], hosts)
    result = found([model("new", CHAT)], hosts, before)
    assert kinds(result) == [("stop", ["old-0"]), ("start", ["new-0"])]
    assert not result["blocked"]


class Watched:
    """Carries steps out and holds after every one what must always hold."""

    def __init__(self, hosts: dict[str, Any], current: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
        self.hosts = hosts
        self.running = {(one["name"], one["host"]): one for one in current}
        self.target = {(one["name"], one["host"]): one for one in target}
        self.known = set(self.running)

    def memory(self) -> None:
        held: dict[tuple[str, str], int] = {}
        for (_name, host), one in self.running.items():
            for uuid in one["gpus"]:
                total = int(one["memory"]["total"])
                held[host, uuid] = held.get((host, uuid), 0) + growth.held(one) + context_bytes(one, total)
                assert held[host, uuid] <= total, (host, uuid, held[host, uuid] / GIB)

    def served(self, name: str) -> int:
        return sum(1 for key in self.known & set(self.running) if self.running[key]["model"] == name)

    def carry_out(self, step: dict[str, Any], floors: dict[str, int]) -> None:
        keys = [(one["name"], one["host"]) for one in step["instances"]]
        if step["kind"] == "traffic":
            self.known = {tuple(key) for key in step["traffic"]}
            assert self.known <= set(self.running)
        for key in keys:
            if step["kind"] == "stop":
                gone = self.running.pop(key)
                assert self.served(gone["model"]) >= floors.get(gone["model"], 0)
            if step["kind"] == "replace":
                assert key in self.running
                old = self.running.pop(key)
                if key in self.known:
                    assert self.served(old["model"]) >= floors.get(old["model"], 0)
                if old["port"] != self.target[key]["port"]:
                    self.known.discard(key)
            if step["kind"] == "start":
                assert key not in self.running
            if step["kind"] in ("start", "replace"):
                self.running[key] = self.target[key]
                self.memory()
        for name, floor in floors.items():
            assert self.served(name) >= floor


def random_models(chance: random.Random) -> list[dict[str, Any]]:
    names = chance.sample(["a", "b", "c", "d", "e"], chance.randint(1, 5))
    return [
        model(
            name,
            chance.choice([SMALL, CHAT, SMALL, BIG]),
            replicas=chance.randint(1, 3),
            revision=chance.choice([None, "one", "two"]),
            min_in_service=chance.choice([None, None, 0, 1]),
            context=chance.choice(["auto", 8192]),
        )
        for name in names
    ]


@pytest.mark.parametrize("seed", range(120))
def test_floors_and_memory_hold_at_every_moment(seed: int) -> None:
    chance = random.Random(seed)
    hosts = {f"gpu{n}": machine(chance.randint(1, 4), chance.choice([H100, L4]), f"{n}-") for n in range(3)}
    before = plan(random_models(chance), hosts)
    models = random_models(chance)
    downtime = ["all"] if chance.random() < 0.3 else []
    result = found(models, hosts, before, downtime=downtime, serial=chance.choice([1, 2, "50%"]))
    floors = transition.floors(models, before["instances"], downtime)
    fleet = Watched(hosts, before["instances"], result["plan"]["instances"])
    for number, step in enumerate(result["steps"], 1):
        assert step["number"] == number
        fleet.carry_out(step, floors)
    if result["blocked"]:
        assert not downtime
        assert all("-e llm_allow_downtime=" in one["remedy"] for one in result["blocked"])
        return
    for one in result["ending"]:
        del fleet.running[one["name"], one["host"]]
    assert fleet.running == fleet.target
