# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which starts are proven, and what becomes of one that ran out of memory: here, on equal hosts, in the next plan."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import measured, proofs
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    CHAT,
    FACTS,
    GIB,
    H100,
    L4,
    SMALL,
    by_name,
    check,
    layout_of,
    machine,
    model,
    plan,
)

PACKAGES = {"vllm": {"digest": "abc"}}
# A host without GPUs.
PROCESSORS = {"device": "cpu", "address": "10.0.0.9", "cpu": {"memory_mib": 65536, "vcpus": 8, "cores": 8}}


def single(asked: dict[str, Any], **more: Any) -> dict[str, Any]:
    (found,) = plan([asked], {"h": machine(1, more.pop("kind", H100))}, **more)["instances"]
    one: dict[str, Any] = found
    return one


def proof(instance: dict[str, Any], outcome: str = proofs.HELD, **more: Any) -> dict[str, Any]:
    """Return what the module prove_engines says of an instance."""
    combined = proofs.combination(instance, PACKAGES)
    about = {"instance": instance["name"], "combination": combined, "host": instance["host"], **proofs.room(instance)}
    return {**about, "outcome": outcome, "at": "70 sequences", "done": [], "left_out": [], **more}


def test_a_combination_is_all_that_an_engine_is_started_with() -> None:
    one = single(model("chat", context=8192))
    same = {**one, "name": "chat-1", "host": "other", "gpus": ["x"], "port": 1, "model": "guide"}
    assert proofs.combination(one, PACKAGES) == proofs.combination(same, PACKAGES)
    others = [
        {**one, "revision": "r"},
        {**one, "product_name": "NVIDIA L4"},
        {**one, "max_model_len": 1},
        {**one, "args": {"enable-lora": True}},
        {**one, "env": {"A": "b"}},
    ]
    found = {proofs.combination(other, PACKAGES) for other in [one, *others]}
    assert len(found | {proofs.combination(one, {"vllm": {"digest": "new"}})}) == len(others) + 2


def test_each_unproven_combination_is_loaded_where_least_is_left() -> None:
    found = plan([model("a", context=8192, replicas=2), model("b", SMALL)], {"h": machine(3)})["instances"]
    one, two, small = found
    assert one["memory"]["headroom"] > two["memory"]["headroom"]

    def names(*known: dict[str, Any], packages: dict[str, Any] = PACKAGES) -> list[str]:
        instances = [{key: value for key, value in one.items() if key != "host"} for one in found]
        return [one["name"] for one in proofs.unproven(instances, known, packages, "h")]

    assert names() == ["a-1", "b-0"]
    assert names({"proof": proof(two)}, {"instance": "z-0"}) == ["b-0"]
    assert names({"proof": proof(one)}, {"proof": proof(small)}) == ["a-1"]
    assert names({"proof": proof(two)}, packages={}) == ["a-1", "b-0"]
    assert names({"proof": proof(two, proofs.RAN_OUT)}) == ["a-1", "b-0"]


def test_a_proof_counts_with_as_much_memory_beside_it() -> None:
    one = single(model("chat", context=8192))
    combined, said = proofs.combination(one, PACKAGES), proof(one)
    assert proofs.proves(said, one, combined, "another host")
    tighter = {**one, "memory": {**one["memory"], "headroom": one["memory"]["headroom"] - 1}}
    assert not proofs.proves(said, tighter, combined, "h")
    assert proofs.proves(proof(tighter), one, combined, "h")
    assert not proofs.proves(said, {**one, "memory": {**one["memory"], "total": 1}}, combined, "h")


def test_on_processors_it_counts_on_its_host_alone() -> None:
    one = plan([model("chat", SMALL)], {"h": PROCESSORS})["instances"][0]
    assert one["cpu"]["kv_cache_space_gib"] == 4
    known = [{"proof": proof(one)}]
    assert proofs.unproven([{**one, "host": None}], known, PACKAGES, "h") == []
    assert proofs.unproven([one], known, PACKAGES, "other") == [one]
    combined, said = proofs.combination(one, PACKAGES), proof(one)
    assert proofs.proves(said, one, combined, "h")
    assert not proofs.proves(said, one, combined, "other")
    assert not proofs.proves(proof({**one, "cpu": {"kv_cache_space_gib": 2}}), one, combined, "h")


def test_an_engine_that_is_not_loaded_needs_no_proof() -> None:
    from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine

    engine = PlainEngine("plain")
    assert engine.loads is False
    assert (list(engine.load({})), engine.ran_out("CUDA out of memory")) == ([], None)


def test_a_cache_becomes_smaller_by_what_was_lacking() -> None:
    asked = model("chat")
    one = single(asked, kind=L4)
    less = proofs.smaller(one, asked, GIB)
    assert less is not None
    layout = layout_of(one, FACTS[CHAT])
    assert one["kv_cache_memory_bytes"] - less["kv_cache_memory_bytes"] == GIB
    assert less["max_model_len"] == layout.longest(less["kv_cache_memory_bytes"], 131072) < one["max_model_len"]
    assert less["kv_cache_tokens"] == less["kv_cache_blocks"] * 16
    assert less["memory"]["margin"] == one["memory"]["margin"] + GIB
    assert less["memory"]["headroom"] == one["memory"]["headroom"] + GIB
    share = (one["gpu_memory_utilization"] - less["gpu_memory_utilization"]) * one["memory"]["total"]
    assert share == pytest.approx(GIB, rel=0.01)
    # What was asked for holds, or there is none.
    fixed = model("chat", context=16384)
    assert proofs.smaller(single(fixed, kind=L4), fixed, GIB)["max_model_len"] == 16384  # type: ignore[index]
    assert proofs.smaller(single(fixed, kind=L4), fixed, 3 * GIB) is None
    pinned = model("chat", args={"gpu-memory-utilization": 0.9})
    assert proofs.smaller(single(pinned), pinned, GIB) is None


def test_requests_at_full_length_stay_what_was_asked_for() -> None:
    asked = model("chat", concurrency=4)
    one = single(asked)
    less = proofs.smaller(one, asked, GIB)
    assert less is not None
    layout = layout_of(one, FACTS[CHAT])
    blocks = less["kv_cache_blocks"] - 1
    assert layout.blocks_for(less["max_model_len"]) * 4 <= blocks < layout.blocks_for(less["max_model_len"] + 16) * 4


def test_a_cache_on_processors_is_halved_down_to_one() -> None:
    asked = model("chat", SMALL)
    one = plan([asked], {"h": PROCESSORS})["instances"][0]
    less = proofs.smaller(one, asked, proofs.shortage(one, 0))
    assert less is not None
    assert (less["cpu"]["kv_cache_space_gib"], less["memory"]["kv_cache"]) == (2, 2 * GIB)
    assert less["kv_cache_tokens"] == one["kv_cache_tokens"] // 2
    least = {**one, "cpu": {**one["cpu"], "kv_cache_space_gib": 1}}
    assert proofs.smaller(least, asked, proofs.shortage(least, 0)) is None


def test_equal_instances_of_all_hosts_become_smaller() -> None:
    asked = [model("chat", replicas=2), model("small", SMALL)]
    found = plan(asked, {"g": machine(1, prefix="g"), "h": machine(1, prefix="h"), "i": machine(1, prefix="i")})
    first = by_name(found)["chat-0"]
    ran_out = [proof(first, proofs.RAN_OUT, short=2 * GIB)]
    after = by_name(proofs.corrected(found, asked, ran_out, PACKAGES))
    for name in ("chat-0", "chat-1"):
        assert by_name(found)[name]["kv_cache_memory_bytes"] - after[name]["kv_cache_memory_bytes"] == 2 * GIB
        assert after[name]["reasons"][-1].startswith("its first start ran out of memory: 2.0 GiB less")
    assert after["small-0"] == by_name(found)["small-0"]


def entry(instance: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return the measurement of a host with a proof."""
    (found,) = measured.merge([instance], {}, [], PACKAGES, [said])
    return {**found, "measured_on": "h"}


def test_the_next_plan_uses_what_was_measured() -> None:
    asked = model("chat")
    one = single(asked)
    short = entry(one, proof(one, proofs.RAN_OUT, short=3 * GIB))
    found = plan([asked], {"other": machine(1)}, overheads=[short])
    check(found, [asked])
    again = by_name(found)["chat-0"]
    assert again["memory"]["other"] == one["memory"]["other"] + 3 * GIB
    assert 2.5 * GIB < one["kv_cache_memory_bytes"] - again["kv_cache_memory_bytes"] < 3.2 * GIB
    assert "overheads measured on h" in again["reasons"]


def test_what_was_in_use_after_the_load_leaves_a_small_margin() -> None:
    asked = model("chat")
    one = single(asked)
    beside, context = 4 * GIB, int(0.02 * one["memory"]["total"])
    used = one["memory"]["weights"] + one["kv_cache_memory_bytes"] + beside + context
    again = single(asked, overheads=[entry(one, proof(one, used=used))])
    memory = again["memory"]
    assert memory["activation"] + memory["cuda_graphs"] + memory["other"] == beside
    assert memory["margin"] < 0.05 * beside < one["memory"]["margin"]
    assert again["kv_cache_memory_bytes"] > one["kv_cache_memory_bytes"]
    # A load that left something out is none to plan from.
    partly = single(asked, overheads=[entry(one, proof(one, used=used, left_out=["70 sequences (late)"]))])
    assert partly["memory"]["activation"] == one["memory"]["activation"]


def test_a_proof_stays_with_its_measurements() -> None:
    one = single(model("chat"))
    said = proof(one)
    first = measured.merge([one], {}, [], PACKAGES, [said])
    assert first[0]["proof"] == said
    assert measured.merge([one], {}, first, PACKAGES) == first
    assert measured.merge([{**one, "max_num_seqs": 3}], {}, first, PACKAGES) == []


def test_a_cache_on_processors_stays_small_on_the_host_where_it_was_too_large() -> None:
    asked = model("chat", SMALL)
    one = plan([asked], {"h": PROCESSORS})["instances"][0]
    smaller = {**one, "cpu": {**one["cpu"], "kv_cache_space_gib": 2}}
    for said in (proof(one, proofs.RAN_OUT, short=2 * GIB), proof(smaller, short=2 * GIB)):
        (again,) = plan([asked], {"h": PROCESSORS}, overheads=[entry(one, said)])["instances"]
        assert again["cpu"]["kv_cache_space_gib"] == 2
        (other,) = plan([asked], {"i": PROCESSORS}, overheads=[entry(one, said)])["instances"]
        assert other["cpu"]["kv_cache_space_gib"] == 4
