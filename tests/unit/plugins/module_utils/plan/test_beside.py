# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that its floor forbids to change in place gets a second instance where there is room, then loses it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import beside, replicas, serving_plan
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import canary, changes, rollout

from .plan_fixtures import CHAT, H100, L4, SMALL, machine, model, plan

Result = dict[str, Any]


def change(
    models: list[dict[str, Any]], hosts: dict[str, Any], current: list[dict[str, Any]], **options: Any
) -> Result:
    """Plan a change of what is in force."""

    def planner(names: list[str]) -> dict[str, Any]:
        return serving_plan.plan(models, hosts, current, beside=names)

    found, differences, order = beside.find(planner, models, hosts, current, **options)
    return {"plan": found, "instances": found["instances"], "changes": differences, **order}


def cpu(cores: str = "0-3", memory_gib: int = 64) -> dict[str, Any]:
    facts = {"cores": cores, "vcpus": 4, "memory_mib": memory_gib * 1024}
    return {
        "device": "cpu",
        "address": "10.0.0.1",
        "listen": "10.0.0.1",
        "gpus": [],
        "gpu_facts": None,
        "cpu": facts,
        "own_pids": [],
    }


def cpu_model(name: str = "chat", **settings: Any) -> dict[str, Any]:
    return {**inventory_models.complete({"name": name, "source": f"path:/models/{name}", **settings}), "facts": None}


def kinds(result: Result) -> list[tuple[str, list[str]]]:
    return [(step["kind"], [one["name"] for one in step["instances"]]) for step in result["steps"]]


def names(result: Result) -> dict[str, str]:
    return {one["name"]: one["host"] for one in result["instances"]}


def settled(models: list[dict[str, Any]], hosts: dict[str, Any], result: Result) -> None:
    """The next run changes nothing, whether the old instance has ended by then or a cut run left it."""
    again = change(models, hosts, result["instances"])
    assert again["instances"] == result["instances"]
    assert again["steps"] == again["ending"] == again["blocked"] == []


@pytest.mark.parametrize(
    "hosts",
    [
        {"gpu1": machine(2)},
        {"gpu1": machine(1, prefix="a"), "gpu2": machine(1, prefix="b")},
        {"gpu1": machine(1, prefix="a"), "gpu2": machine(2, L4, "b")},
    ],
)
def test_a_single_replica_changes_side_by_side(hosts: dict[str, Any]) -> None:
    before = plan([model("chat")], hosts)["instances"]
    models = [model("chat", revision="two")]
    result = change(models, hosts, before)
    assert not result["blocked"]
    assert kinds(result) == [("start", ["chat-1"]), ("traffic", ["chat-1"])]
    assert result["ending"] == [{"name": "chat-0", "host": before[0]["host"]}]
    assert [step["in_service"]["chat"] for step in result["steps"]] == [
        {"before": 1, "during": 1, "after": 1, "floor": 1},
        {"before": 1, "during": 1, "after": 2, "floor": 1},
    ]
    (one,) = result["instances"]
    assert one["replaces"] == "chat-0"
    assert "runs beside chat-0 until it takes its place" in one["reasons"]
    old = before[0]
    assert (one["host"], one["gpus"]) != (old["host"], old["gpus"])
    assert one["host"] != old["host"] or one["port"] != old["port"]
    settled(models, hosts, result)


def test_a_run_that_was_cut_goes_on_with_the_new_one() -> None:
    hosts = {"gpu1": machine(2)}
    before = plan([model("chat")], hosts)["instances"]
    models = [model("chat", revision="two")]
    result = change(models, hosts, before)
    both = [*before, *result["instances"]]
    again = change(models, hosts, both)
    assert again["instances"] == result["instances"]
    assert again["ending"] == [{"name": "chat-0", "host": "gpu1"}]
    assert not again["blocked"]
    # Back to the old version while both run: the new one changes in place, as the old one serves.
    back = change([model("chat")], hosts, both)
    assert list(names(back)) == ["chat-1"]
    assert not back["blocked"]


def test_it_can_be_done_again_and_replicas_can_grow_afterwards() -> None:
    hosts = {"gpu1": machine(3)}
    current = plan([model("chat")], hosts)["instances"]
    seen = []
    for revision in ("two", "three", "four", "five"):
        result = change([model("chat", revision=revision)], hosts, current)
        assert not result["blocked"]
        current = result["instances"]
        seen += list(names(result))
        settled([model("chat", revision=revision)], hosts, result)
    assert len(set(zip(seen, seen[1:]))) == 3, seen
    assert all(one != two for one, two in zip(seen, seen[1:]))
    more = [model("chat", revision="five", replicas=2)]
    result = change(more, hosts, current)
    assert kinds(result) == [("start", [name for name in names(result) if name not in names({"instances": current})])]
    assert len(result["instances"]) == 2
    assert result["ending"] == []
    settled(more, hosts, result)


def test_one_more_is_enough_for_several_replicas() -> None:
    hosts = {"gpu1": machine(3)}
    asked = {"replicas": 2, "min_in_service": 2}
    before = plan([model("chat", **asked)], hosts)["instances"]
    result = change([model("chat", **asked, revision="two")], hosts, before)
    assert not result["blocked"]
    assert kinds(result)[0] == ("start", ["chat-2"])
    assert all(step["in_service"]["chat"]["during"] >= 2 for step in result["steps"] if "chat" in step["in_service"])
    assert len(result["instances"]) == 2
    settled([model("chat", **asked, revision="two")], hosts, result)


def test_without_room_it_is_refused_as_before() -> None:
    hosts = {"gpu1": machine(1, L4, "a"), "gpu2": machine(1, L4, "b")}
    before = plan([model("chat"), model("small", SMALL)], hosts)["instances"]
    result = change([model("chat", revision="two"), model("small", SMALL)], hosts, before)
    assert result["steps"] == []
    (problem,) = result["blocked"]
    assert "taking chat-0 out leaves 0 of 1 in service; a second one needs" in problem["problem"]
    allowed = change([model("chat", revision="two"), model("small", SMALL)], hosts, before, downtime=["chat"])
    assert kinds(allowed) == [("replace", ["chat-0"])]


def test_other_models_stay_as_they_are() -> None:
    hosts = {"gpu1": machine(2), "gpu2": machine(1, prefix="b")}
    models = [model("chat"), model("small", SMALL, replicas=2)]
    before = plan(models, hosts)["instances"]
    result = change([model("chat", revision="two"), models[1]], hosts, before)
    assert {one["name"]: one["action"] for one in result["changes"] if one["name"].startswith("small")} == {
        "small-0": "=",
        "small-1": "=",
    }
    # Whoever starts after the old one at a boot starts after its predecessor then, which restarts nobody.
    old = {one["name"]: {**one, "start_after": None} for one in before}
    for one in result["instances"]:
        assert one["model"] == "chat" or {**one, "start_after": None} == old[one["name"]]


def test_real_traffic_compares_the_new_one_with_the_old_one() -> None:
    hosts = {"gpu1": machine(2)}
    before = plan([model("chat")], hosts)["instances"]
    result = change([model("chat", revision="two")], hosts, before)
    planned = {**result["plan"], "steps": result["steps"], "ending": result["ending"]}
    judged = canary.step(planned, 2, before, 60, 10)
    assert [one["name"] for one in judged["new"]] == ["chat-1"]
    assert [one["name"] for one in judged["old"]] == ["chat-0"]
    assert judged["share"] == {"names": ["chat-1"], "percent": 10}
    machines = {name: {**facts, "address": "10.0.0.5"} for name, facts in hosts.items()}
    both = changes.instances_in_traffic(planned, before, machines, 2, canary=judged["share"])
    assert {one["name"]: (one["new"], one["new_percent"]) for one in both} == {
        "chat-0": (False, 10),
        "chat-1": (True, 10),
    }
    at_the_end = changes.instances_in_traffic(planned, before, machines)
    assert [one["name"] for one in at_the_end] == ["chat-1"]
    undone = rollout.undo_plan(planned, 2, before)
    assert [one["instances"] for one in undone["steps"]] == [[{"name": "chat-1", "host": "gpu1"}]]
    assert undone["steps"][-1]["traffic"] == [["chat-0", "gpu1"]]


def test_an_engine_on_processors_gets_its_second_one_on_another_host() -> None:
    hosts = {"cpu1": cpu(), "cpu2": cpu()}
    before = serving_plan.plan([cpu_model()], hosts)["instances"]
    result = change([cpu_model(revision="two")], hosts, before)
    assert not result["blocked"]
    assert kinds(result) == [("start", ["chat-1"]), ("traffic", ["chat-1"])]
    assert {before[0]["host"], *names(result).values()} == {"cpu1", "cpu2"}
    settled([cpu_model(revision="two")], hosts, result)
    alone = {"cpu1": cpu()}
    before = serving_plan.plan([cpu_model()], alone)["instances"]
    refused = change([cpu_model(revision="two")], alone, before)
    assert refused["blocked"]
    assert names(refused) == {"chat-0": "cpu1"}


def test_a_number_that_was_replaced_is_free_once_its_successor_is_gone() -> None:
    chat = {"name": "chat", "replicas": 2, "hosts": []}
    in_force = {"chat-1": {"model": "chat", "replaces": "chat-0", "host": "a"}}
    assert replicas.numbers(chat, in_force) == [1, 2]
    assert replicas.numbers({**chat, "replicas": 1}, {**in_force, "chat-0": {"model": "chat", "host": "a"}}) == [1]
    assert replicas.numbers(chat, {}) == [0, 1]
    # A model whose name begins alike is another one.
    assert replicas.numbers({**chat, "name": "chat-1"}, in_force) == [0, 1]


def test_no_floor_is_broken_and_nothing_is_lost_in_random_fleets() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        card = rng.choice([H100, L4])
        hosts = {f"gpu{n}": machine(rng.randint(1, 3), card, f"{n}-") for n in range(rng.randint(1, 3))}
        asked = [
            {"name": f"m{n}", "spec": rng.choice([CHAT, SMALL]), "replicas": rng.randint(1, 2)}
            for n in range(rng.randint(1, 3))
        ]
        models = [model(one["name"], one["spec"], replicas=one["replicas"]) for one in asked]
        first = plan(models, hosts)
        if first["problems"]:
            continue
        after = [
            model(one["name"], one["spec"], replicas=one["replicas"], revision=rng.choice(["one", "two"]))
            for one in asked
        ]
        result = change(after, hosts, first["instances"])
        if result["blocked"]:
            assert not any(one.get("replaces") for one in result["instances"]), seed
            continue
        for step in result["steps"]:
            assert all(count["during"] >= count["floor"] for count in step["in_service"].values()), seed
        assert {one["model"] for one in result["instances"]} == {one["name"] for one in asked}, seed
        settled(after, hosts, result)
