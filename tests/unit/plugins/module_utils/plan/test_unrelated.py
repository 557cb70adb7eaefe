# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models, replicas, gateways and hosts come and go, and nothing else restarts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import replicas
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    CHAT,
    H200,
    SMALL,
    by_name,
    check,
    machine,
    model,
    plan,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GATEWAYS = st.dictionaries(st.sampled_from(["g1", "g2"]), st.sampled_from([1, 4, 32]))


def unrelated(before: dict[str, Any], after: dict[str, Any], models: set[str]) -> list[dict[str, Any]]:
    """Return the changes of instances whose request is the same, without those that a change of replicas stops."""
    found = plan_report.changes(after["instances"], before["instances"])
    return [one for one in found if one["action"] in "~-" and one["name"].rpartition("-")[0] in models]


# --- numbers

RUNNING = st.sets(st.integers(0, 12), max_size=6)


@given(st.integers(1, 6), RUNNING)
def test_who_runs_keeps_his_number_and_the_lowest_free_one_is_next(count: int, running: set[int]) -> None:
    in_force = {f"chat-{number}": {"host": "h"} for number in running}
    # Names of others begin alike.
    in_force |= {"chat-1-0": {"host": "h"}, "chat": {"host": "h"}, "chat-01": {"host": "h"}, "chatty-0": {"host": "h"}}
    numbers = replicas.numbers({"name": "chat", "replicas": count, "hosts": []}, in_force)
    assert len(set(numbers)) == len(numbers) == count
    assert numbers == sorted(numbers)
    kept = sorted(running)[:count]
    assert set(kept) <= set(numbers)
    new = sorted(set(numbers) - set(kept))
    assert new == [number for number in range(count + len(kept)) if number not in kept][: len(new)]
    # What the plan chose is chosen again.
    assert replicas.numbers({"name": "chat", "replicas": count}, {f"chat-{n}": {} for n in numbers}) == numbers


def test_of_two_that_run_the_one_goes_that_may_not_run_where_it_is() -> None:
    in_force = {"chat-0": {"host": "a"}, "chat-1": {"host": "b"}}
    assert replicas.numbers({"name": "chat", "replicas": 1, "hosts": ["b"]}, in_force) == [1]
    assert replicas.numbers({"name": "chat", "replicas": 1, "hosts": ["c"]}, in_force) == [0]


@pytest.mark.parametrize(
    "hosts", [{"h": machine(2)}, {"h": {"device": "cpu", "cpu": {"vcpus": 4, "memory_mib": 64000}}}]
)
def test_replica_1_stays_while_0_goes(hosts: dict[str, Any]) -> None:
    two = plan([model("chat", replicas=2, context=8192)], hosts)
    alone = {"instances": [one for one in two["instances"] if one["replica"] == 1]}
    one = plan([model("chat", context=8192)], hosts, alone)
    assert one["instances"] == alone["instances"]
    # The next one takes the number that became free.
    assert set(by_name(plan([model("chat", replicas=2, context=8192)], hosts, one))) == {"chat-0", "chat-1"}
    three = plan(
        [model("chat", replicas=2, context=8192)], hosts, {"instances": [{**alone["instances"][0], "name": "chat-7"}]}
    )
    assert set(by_name(three)) == {"chat-0", "chat-7"}


@pytest.mark.parametrize("frozen", [False, True])
def test_a_replica_without_a_place_has_a_number_of_its_own(frozen: bool) -> None:
    hosts: dict[str, Any] = {"a": machine(1)}
    two = plan([model("chat", replicas=2)], {"a": machine(2)})
    alone = {"instances": [{**one, "gpus": ["GPU-0"]} for one in two["instances"] if one["replica"] == 1]}
    if frozen:
        hosts["a"]["gpu_facts"] = None
    found = plan([model("chat", replicas=2)], hosts, alone)
    assert set(by_name(found)) == {"chat-1"}
    assert [(one["model"], one["replica"]) for one in found["unplaced"]] == [("chat", 0)]


# --- GPUs

WISHES = st.lists(
    st.tuples(
        st.sampled_from([SMALL, CHAT, "phi-4", "nomic-embed-text-v1.5"]),
        st.integers(1, 3),
        st.sampled_from([2048, "auto"]),
    ),
    min_size=2,
    max_size=4,
)


def request(wishes: list[Any]) -> list[dict[str, Any]]:
    return [model(name, of, replicas=count, context=context) for name, (of, count, context) in zip("abcd", wishes)]


@QUICK
@given(WISHES, st.integers(3, 4), GATEWAYS, GATEWAYS, st.data())
def test_on_gpus_nothing_restarts_when_something_leaves(
    wishes: list[Any], count: int, gateways: dict[str, int], others: dict[str, int], data: st.DataObject
) -> None:
    hosts = {"x": machine(count, prefix="x"), "y": machine(count, prefix="y")}
    asked = request(wishes)
    before = plan(asked, hosts, gateways=gateways)
    fewer = [{**one, "replicas": data.draw(st.integers(0, one["replicas"]))} for one in asked]
    after = plan([one for one in fewer if one["replicas"]], hosts, before, gateways=others)
    names = {one["name"] for one in asked}
    assert [one for one in unrelated(before, after, names) if one["action"] == "~"] == []
    for one in fewer:
        running = len([i for i in before["instances"] if i["model"] == one["name"]])
        left = len([i for i in after["instances"] if i["model"] == one["name"]])
        assert left >= min(running, one["replicas"])


@QUICK
@given(WISHES, WISHES, GATEWAYS, GATEWAYS, st.data())
def test_on_gpus_nothing_restarts_for_what_finds_room(
    wishes: list[Any], more: list[Any], gateways: dict[str, int], others: dict[str, int], data: st.DataObject
) -> None:
    hosts = {"x": machine(3, prefix="x"), "y": machine(2, prefix="y")}
    asked = request(wishes)
    before = plan(asked, hosts, gateways=gateways)
    if before["unplaced"]:
        return
    grown = [{**one, "replicas": one["replicas"] + data.draw(st.integers(0, 2))} for one in asked]
    new = [{**one, "name": f"new-{one['name']}"} for one in request(more)]
    # Each newcomer finds a large GPU of its own on a further host.
    hosts["z"] = machine(24, H200, prefix="z")
    after = plan([*new, *grown], hosts, before, gateways=others)
    check(after, [*new, *grown])
    assert after["unplaced"] == []
    assert unrelated(before, after, {one["name"] for one in asked}) == []


@QUICK
@given(WISHES, WISHES, GATEWAYS)
def test_on_gpus_a_newcomer_changes_at_most_those_whose_memory_it_takes(
    wishes: list[Any], more: list[Any], gateways: dict[str, int]
) -> None:
    hosts = {"x": machine(2, prefix="x"), "y": machine(2, prefix="y")}
    asked = request(wishes)
    before = plan(asked, hosts, gateways=gateways)
    new = [{**one, "name": f"new-{one['name']}"} for one in request(more)[:1]]
    after = plan([*asked, *new], hosts, before, gateways=gateways)
    old, now = by_name(before), by_name(after)
    restarted = [one for one in unrelated(before, after, {one["name"] for one in asked}) if one["action"] == "~"]
    started = {uuid for name, one in now.items() if name not in old for uuid in one["gpus"]}
    moved = {uuid for one in restarted if one["why"] == "it moves" for uuid in now[one["name"]]["gpus"]}
    for one in restarted:
        touched = set(old[one["name"]]["gpus"]) | set(now[one["name"]]["gpus"])
        assert touched & (started | moved), "it shares no GPU with anybody who came"
        assert one["what"]


# --- processors

CPU_WISHES = st.lists(st.integers(1, 2), min_size=1, max_size=4)
CPU_HOSTS = st.lists(st.tuples(st.integers(1, 24), st.integers(12_000, 90_000)), min_size=1, max_size=3)


def cpu_fleet(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    return {
        f"h{number}": {"device": "cpu", "address": "127.0.0.1", "cpu": {"vcpus": vcpus, "memory_mib": memory}}
        for number, (vcpus, memory) in enumerate(sizes)
    }


def cpu_models(wishes: list[int], prefix: str = "m") -> list[dict[str, Any]]:
    return [model(f"{prefix}{number}", SMALL, replicas=count, context=2048) for number, count in enumerate(wishes)]


@QUICK
@given(CPU_WISHES, CPU_HOSTS, GATEWAYS, GATEWAYS, st.data())
def test_on_processors_nothing_restarts_when_something_leaves(
    wishes: list[int],
    sizes: list[tuple[int, int]],
    gateways: dict[str, int],
    others: dict[str, int],
    data: st.DataObject,
) -> None:
    hosts, asked = cpu_fleet(sizes), cpu_models(wishes)
    before = plan(asked, hosts, gateways=gateways)
    if before["problems"]:
        return
    hosts["more"] = cpu_fleet([(8, 64_000)])["h0"]
    fewer = [{**one, "replicas": data.draw(st.integers(0, one["replicas"]))} for one in asked]
    after = plan([one for one in fewer if one["replicas"]], hosts, before, gateways=others)
    assert [one for one in unrelated(before, after, {one["name"] for one in asked}) if one["action"] == "~"] == []
    # Who comes back after that takes what is free, where the host has a core to spare beside those that run.
    again = plan(asked, hosts, after, gateways=others)
    kept = {one["name"] for one in after["instances"]}
    for one in plan_report.changes(again["instances"], after["instances"]):
        if one["action"] == "~" and one["name"] in kept:
            assert why_divided(again, one["name"])
    assert plan(asked, hosts, again, gateways=others) == again


def why_divided(found: dict[str, Any], name: str) -> bool:
    return any("divided anew" in reason for reason in by_name(found)[name]["reasons"])


@QUICK
@given(CPU_WISHES, CPU_HOSTS, CPU_WISHES)
def test_on_processors_a_newcomer_restarts_somebody_only_where_it_finds_no_room(
    wishes: list[int], sizes: list[tuple[int, int]], more: list[int]
) -> None:
    hosts, asked = cpu_fleet(sizes), cpu_models(wishes)
    before = plan(asked, hosts)
    if before["problems"]:
        return
    after = plan([*cpu_models(more, "n"), *asked], hosts, before)
    if after["problems"]:
        return
    old, now = by_name(before), by_name(after)
    for host, facts in hosts.items():
        here = [one for one in now.values() if one["host"] == host]
        new = [one for one in here if one["name"] not in old]
        cores = [core for one in here for core in parse_cores(one["cpu"]["cores"])]
        assert len(cores) == len(set(cores)) <= facts["cpu"]["vcpus"]
        restarted = [one for one in here if one["name"] in old and one["cpu"] != old[one["name"]]["cpu"]]
        assert all(why_divided(after, one["name"]) for one in restarted)
        if not new:
            assert restarted == []
        if restarted:
            held = sum(len(parse_cores(old[one["name"]]["cpu"]["cores"])) for one in here if one["name"] in old)
            room = facts["cpu"]["vcpus"] - held - (facts["cpu"]["vcpus"] > len(here))
            budget = facts["cpu"]["memory_mib"] < 2048 + len(here) * (1664 + 1137 + 4096) * 2
            assert room < len(new) or budget
    assert plan([*cpu_models(more, "n"), *asked], hosts, after) == after


def test_the_largest_gives_up_its_cores_first() -> None:
    hosts = cpu_fleet([(16, 200_000)])
    two = plan(cpu_models([1, 1]), hosts)
    assert [one["cpu"]["cores"] for one in two["instances"]] == ["0-7", "8-14"]
    three = plan(cpu_models([1, 1, 1]), hosts, two)
    assert [one["cpu"]["cores"] for one in three["instances"]] == ["0-3", "8-14", "4-7"]
    (changed, *_others) = plan_report.changes(three["instances"], two["instances"])
    assert (changed["action"], changed["name"]) == ("~", "m0-0")
    assert (
        "cores and memory of h0 are divided anew, as what starts there needs more than is free"
        in plan_report.render(three, two["instances"])
    )
    # Who leaves gives its cores to the next, and nobody else notices.
    left = plan([cpu_models([1, 1, 1])[0], cpu_models([1, 1, 1])[2]], hosts, three)
    assert [one["cpu"]["cores"] for one in left["instances"]] == ["0-3", "4-7"]
    back = plan([*cpu_models([1]), cpu_models([1, 1, 1])[2], *cpu_models([1], "n")], hosts, left)
    assert [one["cpu"]["cores"] for one in back["instances"]] == ["0-3", "4-7", "8-14"]
    # On purpose they are divided anew.
    even = plan([*cpu_models([1]), cpu_models([1, 1, 1])[2]], hosts, left, replan=["all"])
    assert [one["cpu"]["cores"] for one in even["instances"]] == ["0-7", "8-14"]


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu": {"cores": "", "kv_cache_space_gib": 4}},
        {"cpu": {"cores": "0-99", "kv_cache_space_gib": 4}},
        {"cpu": {"cores": "0-2", "kv_cache_space_gib": 9}},
        {"cpu": {"cores": "0-2", "kv_cache_space_gib": None}},
        {"request": None},
        {"host": "elsewhere"},
        {"env": {"VLLM_CPU_KVCACHE_SPACE": "2"}},
    ],
)
def test_what_cannot_stay_is_divided_anew(changes: dict[str, Any]) -> None:
    hosts = cpu_fleet([(4, 64_000)])
    fresh = plan(cpu_models([1]), hosts)
    before = {"instances": [{**one, **changes} for one in fresh["instances"]]}
    assert plan(cpu_models([1]), hosts, before)["instances"] == fresh["instances"]


def test_two_that_claim_a_core_do_not_both_keep_it() -> None:
    hosts = cpu_fleet([(4, 64_000)])
    fresh = plan(cpu_models([1, 1]), hosts)
    assert [one["cpu"]["cores"] for one in fresh["instances"]] == ["0-1", "2"]
    claimed = [{**one, "cpu": {**one["cpu"], "cores": "1-2"}} for one in fresh["instances"]]
    after = plan(cpu_models([1, 1]), hosts, {"instances": claimed})
    cores = [core for one in after["instances"] for core in parse_cores(one["cpu"]["cores"])]
    assert len(cores) == len(set(cores))
