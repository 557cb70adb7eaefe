# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measured speeds: what a host remembers, which instance they are of, and what the plan says of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import speeds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import cost

SPEED: dict[str, Any] = {
    "engine": "vllm",
    "source": "hf://a/b",
    "device": "cuda",
    "product_name": "NVIDIA L4",
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "dtype": "bfloat16",
    "quantization": None,
    "kv_cache_dtype": "auto",
    "when": "2026-11-28T10:00:00Z",
    "release": "0.32.0",
    "digest": "d1",
    "through": "gateway",
    "input_len": 1024,
    "output_len": 128,
    "at_once": 16,
    "tokens_per_second": 800.0,
    "of_one": 55.0,
}


def instance(**more: Any) -> dict[str, Any]:
    return {**{name: SPEED[name] for name in speeds.KEY}, "model": "chat", **more}


def test_the_latest_speed_of_a_plan_counts_and_their_number_is_bounded() -> None:
    newer = {**SPEED, "tokens_per_second": 900.0}
    assert speeds.merged([SPEED], newer) == [newer]
    other = {**SPEED, "digest": "d2"}
    assert speeds.merged([SPEED], other) == [other, SPEED]
    many = [{**SPEED, "digest": str(number)} for number in range(30)]
    assert len(speeds.merged(many, SPEED)) == speeds.MOST


def test_facts_beside_the_inventory_get_speeds_of_hosts_that_they_have() -> None:
    known = {"hosts": {"gpu1": {"device": "cuda"}}, "models": {}}
    assert speeds.remembered(known, "gpu1", [SPEED])["hosts"]["gpu1"] == {"device": "cuda", "speeds": [SPEED]}
    assert speeds.remembered(known, "gpu2", [SPEED]) == known
    assert speeds.remembered({}, "gpu1", [SPEED]) == {}


@pytest.mark.parametrize("name", speeds.KEY)
def test_a_speed_is_one_of_equal_instances_alone(name: str) -> None:
    assert speeds.of(instance(), [SPEED]) == SPEED
    assert speeds.of(instance(**{name: "another"}), [SPEED]) is None


def test_the_plan_tells_what_was_measured_and_what_was_not() -> None:
    old = {**SPEED, "when": "2026-11-01T10:00:00Z", "tokens_per_second": 1.0}
    hosts = {"gpu1": {"speeds": [old]}, "gpu2": {"speeds": [SPEED]}, "gpu3": {}}
    text = speeds.note([instance(), instance(model="code", source="hf://a/c")], hosts)
    assert (
        "chat: 800 tokens per second of 16 answers at once (1024 tokens in, 128 out, release 0.32.0, 2026-11-28)"
        in text
    )
    assert "code: not measured, so nobody knows: playbooks/benchmark.yml -e model=code" in text
    assert speeds.note([instance()], {"gpu3": {}}) == ""


@pytest.mark.parametrize(
    ("given", "users", "replicas", "total"),
    [
        (cost.Given(), 16, 1, 800.0),
        (cost.Given(), 100, 1, 800.0),
        (cost.Given(), 100, 2, 1600.0),
        (cost.Given(), 4, 1, 200.0),
        (cost.Given(tokens_per_second=10.0), 4, 1, 40.0),
    ],
)
def test_measured_speed_gives_tokens_and_cost(given: cost.Given, users: int, replicas: int, total: float) -> None:
    found = cost.of(given._replace(cost_per_hour=0.72), users, SPEED, replicas)
    assert found["tokens_per_second"] == total
    assert found["cost_per_million_tokens"] == pytest.approx(200.0 / total)
    assert bool(found["measured"]) == (given.tokens_per_second is None)
