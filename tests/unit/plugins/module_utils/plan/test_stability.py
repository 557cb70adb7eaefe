# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs stays where it is: every second plan is the first one, but for what the request changed."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    BIG,
    CHAT,
    FACTS,
    H100,
    L4,
    MIB,
    SMALL,
    by_name,
    check,
    counted,
    gpu,
    machine,
    model,
    places,
    plan,
)


def fleet() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    asked = [
        model("chat", replicas=2, context=16384),
        model("big", BIG),
        model("small", SMALL, replicas=3),
        model("embed", "nomic-embed-text-v1.5", mode="embedding"),
        model("eyes", "gemma-3-27b-it", concurrency=8),
    ]
    return asked, {"a": machine(4, prefix="a"), "b": machine(4, prefix="b")}


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return what happens to every instance that does not stay."""
    found = plan_report.changes(after["instances"], before["instances"])
    return {one["name"]: one["action"] for one in found if one["action"] != "="}


def test_the_same_request_gives_the_same_plan() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    check(before, asked)
    assert before["unplaced"] == []
    after = plan(asked, hosts, before)
    assert after == before
    assert plan(asked, hosts, after) == before


def test_a_second_run_with_everything_up_gives_the_same_plan() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    running = copy.deepcopy(hosts)
    pids = iter(range(100, 1000))
    for name, facts in running.items():
        own = []
        for one in facts["gpu_facts"]["gpus"]:
            for instance in before["instances"]:
                if one["uuid"] in instance["gpus"]:
                    # Engines hold somewhat more than was planned, as their CUDA context is not counted.
                    own.append(next(pids))
                    used = counted(instance) // MIB + 900
                    one["processes"].append({"pid": own[-1], "name": "VLLM::Worker", "used_memory_mib": used})
                    one["memory_used_mib"] += used
        running[name]["own_pids"] = own
    assert plan(asked, running, before) == before
    # Containers may hide their processes: memory in use up to what was planned is ours then as well.
    for facts in running.values():
        for one in facts["gpu_facts"]["gpus"]:
            one["processes"] = []
    assert plan(asked, running, before) == before


def test_a_stranger_beside_a_running_engine_does_not_restart_it() -> None:
    asked = [model("chat")]
    hosts = {"h": machine(1)}
    before = plan(asked, hosts)
    hosts["h"]["gpu_facts"]["gpus"][0]["processes"] = [{"pid": 7, "name": "Xorg", "used_memory_mib": 700}]
    assert plan(asked, hosts, before)["instances"] == before["instances"]
    # What cannot be there beside it makes it smaller.
    hosts["h"]["gpu_facts"]["gpus"][0]["processes"] = [{"pid": 7, "name": "Xorg", "used_memory_mib": 9000}]
    after = plan(asked, hosts, before)
    check(after, asked)
    assert after["instances"][0]["kv_cache_memory_bytes"] < before["instances"][0]["kv_cache_memory_bytes"]


def test_one_changed_model_changes_its_instances_alone() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    asked[0] = model("chat", replicas=2, context=8192)
    after = plan(asked, hosts, before)
    check(after, asked)
    assert changed(before, after) == {"chat-0": "~", "chat-1": "~"}
    assert places(after) == places(before)
    old, new = by_name(before), by_name(after)
    for name in set(old) - {"chat-0", "chat-1"}:
        assert old[name] == new[name]


def test_an_alias_restarts_no_engine() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    asked[0] = {**asked[0], "aliases": ["assistant"]}
    after = plan(asked, hosts, before)
    assert changed(before, after) == {}
    assert next(one["aliases"] for one in after["instances"] if one["model"] == asked[0]["name"]) == ["assistant"]


def test_what_grew_stays_in_its_place_in_the_order_of_starts() -> None:
    hosts = {"h": machine(1)}
    asked = [model(name, SMALL, context=2048) for name in "abc"]
    before = plan(asked, hosts)
    assert [one["start_after"] for one in before["instances"]] == [None, "a-0", "b-0"]
    # The first of a chain changes: nobody may wait for somebody who waits for him.
    asked[0] = model("a", SMALL, context=1024)
    after = plan(asked, hosts, before)
    check(after, asked)
    assert [one["start_after"] for one in after["instances"]] == [None, "a-0", "b-0"]
    # The one between leaves: the others close up.
    last = plan([asked[0], asked[2]], hosts, after)
    assert [one["start_after"] for one in last["instances"]] == [None, "a-0"]
    assert plan([asked[0], asked[2]], hosts, last) == last


def test_an_instance_over_two_gpus_starts_after_everybody_on_both() -> None:
    hosts = {"h": machine(2)}
    asked = [
        model("one", SMALL, replicas=2, args={"kv-cache-memory-bytes": "4G"}),
        model("wide", args={"tensor-parallel-size": 2}),
    ]
    found = plan(asked, hosts)
    check(found, asked)
    assert plan(asked, hosts, found) == found


def test_a_newcomer_over_two_gpus_joins_their_rows() -> None:
    hosts = {"h": machine(2)}
    share = {"gpu-memory-utilization": 0.2}
    asked = [model("a", SMALL, args=share), model("b", SMALL, args=share, replicas=2)]
    before = plan(asked, hosts)
    assert len({one["gpus"][0] for one in before["instances"]}) == 2
    asked.append(model("wide", args={"tensor-parallel-size": 2, "kv-cache-memory-bytes": "2G"}))
    after = plan(asked, hosts, before)
    check(after, asked)
    assert changed(before, after) == {"wide-0": "+"}
    assert sum(1 for one in after["instances"] if one["start_after"] is None) == 1
    assert plan(asked, hosts, after) == after
    # When it leaves, what was joined may start at once again.
    last = plan(asked[:2], hosts, after)
    check(last, asked[:2])


def test_records_that_wait_for_each_other_are_put_in_order() -> None:
    hosts = {"h": machine(1)}
    asked = [model(name, SMALL, context=1024) for name in "ab"]
    before = plan(asked, hosts)
    before["instances"][0]["start_after"] = "b-0"
    after = plan(asked, hosts, before)
    check(after, asked)
    assert plan(asked, hosts, after) == after


def test_a_model_more_takes_free_gpus_before_anybody_shrinks() -> None:
    hosts = {"h": machine(2)}
    asked = [model("old")]
    before = plan(asked, hosts)
    asked.append(model("new"))
    after = plan(asked, hosts, before)
    check(after, asked)
    assert changed(before, after) == {"new-0": "+"}
    assert by_name(after)["old-0"] == by_name(before)["old-0"]


def test_a_model_more_on_a_full_gpu_makes_its_neighbour_smaller() -> None:
    hosts = {"h": machine(1)}
    asked = [model("old")]
    before = plan(asked, hosts)
    asked.append(model("new"))
    after = plan(asked, hosts, before)
    check(after, asked)
    assert changed(before, after) == {"old-0": "~", "new-0": "+"}
    assert by_name(after)["new-0"]["start_after"] == "old-0"
    assert plan(asked, hosts, after) == after


def test_no_more_neighbours_shrink_than_must() -> None:
    hosts = {"h": machine(4)}
    asked = [model("old", replicas=4)]
    before = plan(asked, hosts)
    asked.append(model("new"))
    after = plan(asked, hosts, before)
    check(after, asked)
    assert sorted(changed(before, after).values()) == ["+", "~"]


def test_one_instance_moves_where_that_is_all_it_takes() -> None:
    # Two small ones on one GPU each, and a model that needs a whole one.
    hosts = {"h": machine(2)}
    share = {"gpu-memory-utilization": 0.4}
    asked = [model("a", SMALL, args=share, hosts=["h"]), model("b", SMALL, args=share, replicas=2)]
    before = plan(asked[:1], hosts)
    before = plan([asked[0], model("b", SMALL, args=share)], hosts, before)
    before["instances"][1]["gpus"], before["instances"][1]["start_after"] = ["GPU-1"], None
    asked = [asked[0], model("b", SMALL, args=share), model("large", args={"gpu-memory-utilization": 0.9})]
    after = plan(asked, hosts, before)
    check(after, asked)
    assert sorted(changed(before, after).values()) == ["+", "~"]
    moved = next(name for name, action in changed(before, after).items() if action == "~")
    assert any(reason.startswith("moved from h: ") for reason in by_name(after)[moved]["reasons"])


def test_nobody_who_runs_is_given_up_for_a_newcomer() -> None:
    hosts = {"h": machine(1)}
    asked = [model("old", args={"gpu-memory-utilization": 0.9})]
    before = plan(asked, hosts)
    asked = [model("x", SMALL, args={"gpu-memory-utilization": 0.4}), model("y", SMALL, context=128), *asked]
    after = plan(asked, hosts, before)
    assert by_name(after)["old-0"] == by_name(before)["old-0"]
    assert "x" in [one["model"] for one in after["unplaced"]]


def test_fewer_replicas_leave_the_first_ones_alone() -> None:
    hosts = {"h": machine(2)}
    before = plan([model("chat", replicas=2)], hosts)
    after = plan([model("chat")], hosts, before)
    assert after["instances"] == before["instances"][:1]


def test_a_gpu_more_moves_nothing() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    hosts["a"]["gpu_facts"]["gpus"].append(gpu(4, H100, "a"))
    hosts["c"] = machine(4, prefix="c")
    after = plan(asked, hosts, before)
    assert after["instances"] == before["instances"]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_keys_means_nothing(seed: int) -> None:
    shuffle = random.Random(seed)

    def mixed(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            shuffle.shuffle(keys)
            return {key: mixed(value[key]) for key in keys}
        return [mixed(item) for item in value] if isinstance(value, list) else value

    asked, hosts = fleet()
    before = plan(asked, hosts)
    assert plan(mixed(asked), {name: mixed(facts) for name, facts in hosts.items()}) == before
    current = mixed(before["instances"])
    shuffle.shuffle(current)
    assert plan(asked, hosts, {"instances": current}) == before


def test_hosts_that_nobody_reached_keep_their_instances_as_they_are() -> None:
    asked, hosts = fleet()
    before = plan(asked, hosts)
    hosts["a"]["gpu_facts"] = None
    asked[0] = model("chat", replicas=2, context=8192)
    after = plan(asked, hosts, before)
    old, new = by_name(before), by_name(after)
    assert set(new) == set(old)
    for name, one in old.items():
        if one["host"] == "a":
            said = "nothing is known of its host or model now: it stays as it was planned last"
            assert new[name] == {**one, "reasons": [said, *one["reasons"]]}
    assert "a" not in after["hosts"]
    # A model that may not run there any more goes away from it.
    asked[0] = model("chat", replicas=2, context=8192, hosts=["b"])
    assert {one["host"] for one in plan(asked, hosts, before)["instances"] if one["model"] == "chat"} == {"b"}


@pytest.mark.parametrize("facts", [None, {"error": "the hub does not answer"}, {**FACTS[CHAT], "weight_bytes": None}])
def test_a_model_of_which_nothing_is_known_goes_on(facts: Any) -> None:
    hosts = {"h": machine(1)}
    asked = [model("chat", context=8192)]
    before = plan(asked, hosts)
    blind = [model("chat", context=8192, replicas=2, facts=facts), model("new", SMALL)]
    after = plan(blind, hosts, before)
    kept = by_name(after)["chat-0"]
    assert {**kept, "reasons": []} == {**by_name(before)["chat-0"], "reasons": []}
    assert [(one["model"], one["replica"]) for one in after["unplaced"] if one["model"] == "chat"] == [("chat", 1)]
    # Its memory is not given to others, and who comes starts after it.
    new = by_name(after).get("new-0")
    (device,) = after["hosts"]["h"]["gpus"]
    assert device["headroom"] >= 0
    if new:
        assert counted(new) + counted(kept) <= device["total"] * 0.93
        assert new["start_after"] == "chat-0"
    assert "chat-0" in device["instances"]
    again = plan(blind, hosts, after)
    assert again["instances"] == after["instances"]
    # When it is known again, everything is as before.
    assert plan(asked, hosts, again) == before


def test_facts_of_another_place_are_the_same_request() -> None:
    hosts = {"h": machine(1)}
    before = plan([model("chat", facts={**FACTS[CHAT], "weight_bytes_source": "index", "parameters": None})], hosts)
    staged = {**FACTS[CHAT], "weight_bytes_source": "headers", "parameters": 8030261248, "source": "/srv/m"}
    assert plan([model("chat", facts=staged)], hosts, before) == before


def test_a_record_without_numbers_is_planned_anew() -> None:
    hosts = {"h": machine(1)}
    asked = [model("chat")]
    first = plan(asked, hosts)
    bare = {
        "instances": [{"name": "chat-0", "model": "chat", "replica": 0, "host": "h", "port": 8107, "gpus": ["GPU-0"]}]
    }
    after = plan(asked, hosts, bare)
    assert [{**one, "port": 0, "address": ""} for one in after["instances"]] == [
        {**one, "port": 0, "address": ""} for one in first["instances"]
    ]
    assert after["instances"][0]["port"] == 8107


def test_an_instance_that_outgrows_its_gpus_moves_to_more() -> None:
    hosts = {"h": machine(4, L4)}
    before = plan([model("phi", SMALL)], hosts)
    asked = [model("phi", "phi-4", context=2048)]
    after = plan(asked, hosts, before)
    check(after, asked)
    assert len(by_name(after)["phi-0"]["gpus"]) == 2
    assert any(
        "moved from h: it does not fit there any more" in reason for reason in by_name(after)["phi-0"]["reasons"]
    )
