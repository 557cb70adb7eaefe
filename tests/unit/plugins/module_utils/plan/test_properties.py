# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every plan of whatever fleet, and how fast a large one is planned."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    A100,
    BIG,
    CHAT,
    H100,
    H200,
    L4,
    SMALL,
    T4,
    by_name,
    check,
    gpu,
    machine,
    model,
    places,
    plan,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = st.sampled_from([T4, L4, A100, H100, H200])
NAMES = "abcd"


# Machines: so many GPUs of a kind, NVLink, MiB that others hold of the first ones. Models: of which, replicas, context,
# concurrency, args.
MACHINES = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 4, 8]), KINDS, st.booleans(), st.lists(st.sampled_from([0, 0, 300, 8000]), max_size=4)
    ),
    min_size=1,
    max_size=3,
)
WISHES = st.lists(
    st.tuples(
        st.sampled_from([SMALL, CHAT, BIG, "phi-4", "gemma-3-27b-it", "nomic-embed-text-v1.5"]),
        st.integers(1, 3),
        st.sampled_from(["auto", 1024, 2048, '{"min": 512}']),
        st.sampled_from([None, None, 1, 16]),
        st.sampled_from(
            ["{}", "{}", "{}", '{"max-num-seqs": 16}', '{"kv-cache-dtype": "fp8"}', '{"tensor-parallel-size": 2}']
        ),
    ),
    min_size=1,
    max_size=4,
)


def fleet(machines: list[Any]) -> dict[str, Any]:
    hosts = {}
    for name, (count, kind, nvlink, foreign) in zip(NAMES, machines):
        hosts[name] = machine(count, kind, name, nvlink=nvlink)
        for one, used in zip(hosts[name]["gpu_facts"]["gpus"], foreign):
            one["processes"] = [{"pid": 1, "name": "x", "used_memory_mib": used}] if used else []
    return hosts


def request(wishes: list[Any]) -> list[dict[str, Any]]:
    return [
        model(
            name,
            of,
            replicas=replicas,
            context=json.loads(context) if str(context).startswith("{") else context,
            concurrency=concurrency,
            args=json.loads(args),
        )
        for name, (of, replicas, context, concurrency, args) in zip(NAMES, wishes)
    ]


@QUICK
@given(WISHES, MACHINES)
def test_no_plan_breaks_a_rule(wishes: list[Any], machines: list[Any]) -> None:
    asked, hosts = request(wishes), fleet(machines)
    found = plan(asked, hosts)
    check(found, asked)
    assert all(one["reason"] and one["remedy"] for one in found["unplaced"])
    # Planning twice is planning once.
    assert plan(asked, hosts) == found
    again = plan(asked, hosts, found)
    if found["unplaced"]:
        # What runs may make room for somebody who found no place at first; nobody loses his by it.
        check(again, asked)
        assert set(places(found)) <= set(places(again))
    else:
        assert again == found


@QUICK
@given(WISHES, MACHINES, KINDS, st.integers(1, 8))
def test_more_hardware_loses_nothing(wishes: list[Any], machines: list[Any], kind: dict[str, Any], count: int) -> None:
    asked, hosts = request(wishes), fleet(machines)
    before = plan(asked, hosts)
    first = next(iter(hosts.values()))["gpu_facts"]["gpus"]
    first.append(gpu(len(first), kind, "more"))
    hosts["z"] = machine(count, kind, "z")
    after = plan(asked, hosts, before)
    check(after, asked)
    placed = places(after)
    # Where somebody found no place, others may have made room for him; else nothing moves.
    assert set(places(before)) <= set(placed)
    if not before["unplaced"]:
        assert after["instances"] == before["instances"]
        # On the larger fleet everybody would find a place from the beginning, too.
        assert plan(asked, hosts)["unplaced"] == []


@QUICK
@given(WISHES, WISHES, MACHINES)
def test_a_changed_request_gives_a_plan_that_holds(first: list[Any], second: list[Any], machines: list[Any]) -> None:
    asked, then, hosts = request(first), request(second), fleet(machines)
    before = plan(asked, hosts)
    after = plan(then, hosts, before)
    check(after, then)
    if not after["unplaced"]:
        assert plan(then, hosts, after) == after
    # What is asked for as before goes on, somewhere.
    same = {one["name"] for one, two in zip(asked, then) if one == two}
    kept = {one["name"] for one in before["instances"] if one["model"] in same}
    assert kept <= set(by_name(after))


def large() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    asked = [model(f"m{n:02d}", SMALL if n % 3 else CHAT, replicas=20, context=8192) for n in range(48)]
    asked += [model("big1", BIG, replicas=20), model("big2", "Qwen3-Next-80B-A3B-Instruct", replicas=20)]
    return asked, {f"h{n:03d}": machine(8, prefix=f"{n}-") for n in range(500)}


def test_a_large_fleet_is_planned_in_no_time() -> None:
    asked, hosts = large()
    start = time.process_time()
    before = plan(asked, hosts)
    first = time.process_time() - start
    assert (len(before["instances"]), before["unplaced"]) == (1000, [])
    check(before, asked)
    # One model changes: its instances, in their places, and nothing else.
    asked[5] = model("m05", SMALL, replicas=20, context=16384)
    start = time.process_time()
    after = plan(asked, hosts, before)
    second = time.process_time() - start
    check(after, asked)
    assert places(after) == places(before)
    old, new = by_name(before), by_name(after)
    assert {name.rpartition("-")[0] for name in old if old[name] != new[name]} == {"m05"}
    # One that fits nowhere costs no search for what could move.
    start = time.process_time()
    last = plan([*asked, model("ds", "DeepSeek-V3", replicas=5)], hosts, after)
    third = time.process_time() - start
    assert (last["instances"], len(last["unplaced"])) == (after["instances"], 5)
    print(f"500 hosts x 8 GPUs, 50 models x 20 replicas: {first:.2f} s,", end=" ")
    print(f"one changed {second:.2f} s, one that fits nowhere {third:.2f} s")
    assert max(first, second, third) < 4


def test_a_full_large_fleet_says_so_in_no_time() -> None:
    share = {"gpu-memory-utilization": 0.9}
    asked = [model(f"m{n:02d}", SMALL, replicas=20, args=share) for n in range(50)]
    hosts = {f"h{n:03d}": machine(8, prefix=f"{n}-") for n in range(125)}
    start = time.process_time()
    before = plan(asked, hosts)
    first = time.process_time() - start
    assert before["unplaced"] == []
    start = time.process_time()
    after = plan([*asked, model("late", SMALL, args=share)], hosts, before)
    spent = time.process_time() - start
    assert after["instances"] == before["instances"]
    assert [one["model"] for one in after["unplaced"]] == ["late"]
    print(f"125 full hosts x 8 GPUs, 1000 instances and one more: {spent:.2f} s, without it {first:.2f} s")
    # 7.5 times, also while covered lines are counted, which multiplies both by more than three.
    assert spent < 20 * first


def test_a_large_fleet_is_planned_in_little_memory() -> None:
    asked, hosts = large()
    tracemalloc.start()
    try:
        plan(asked, hosts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"500 hosts x 8 GPUs, 50 models x 20 replicas: {peak / 1024**2:.0f} MiB")
    assert peak < 200 * 1024**2
