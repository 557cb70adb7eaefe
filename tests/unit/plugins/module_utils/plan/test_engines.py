# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan asks each model's own engine which GPUs it supports, and what it takes beside its own count."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import too_old
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.engine import Vllm
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    H100,
    L4,
    SMALL,
    T4,
    gpu,
    host,
    machine,
    model,
    places,
    plan,
)

V100: dict[str, Any] = {"name": "Tesla V100", "mib": 16384, "reserved": 0, "power": "7.0"}


class Other(Vllm):
    """An engine that supports only newer GPUs and takes more beside its own count."""

    name = "other"
    title = "Other"
    least_capability = (8, 9)
    context_share = 0.1


class Veteran(Vllm):
    """An engine that supports older GPUs."""

    name = "veteran"
    title = "Veteran"
    least_capability = (7, 0)


@pytest.fixture(autouse=True)
def _engines(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"vllm": registry.of({}), "other": Other(), "veteran": Veteran()}
    monkeypatch.setattr(registry, "_ENGINES", known)


@pytest.mark.parametrize(
    ("record", "share"),
    [({}, 0.02), ({"engine": "vllm"}, 0.02), ({"engine": "other"}, 0.1), ({"engine": "unknown"}, 0.02)],
)
def test_an_instance_takes_the_share_of_its_engine(record: dict[str, Any], share: float) -> None:
    assert context_bytes(record, 1000) == int(1000 * share)


def test_an_engine_from_outside_has_defaults() -> None:
    plain = PlainEngine("x")
    assert (plain.least_capability, plain.context_share) == ((0, 0), 0.02)


def test_what_an_engine_takes_beside_its_count_is_nobody_elses() -> None:
    sizes = {}
    for name in ("vllm", "other"):
        found = plan([model("chat", SMALL, engine=name)], {"h": machine(1, H100)})
        (device,) = found["hosts"]["h"]["gpus"]
        (one,) = found["instances"]
        counted = sum(one["memory"][part] for part in ("weights", "activation", "cuda_graphs", "other", "kv_cache"))
        sizes[name] = device["planned"] - counted
        assert sizes[name] == int(device["total"] * registry.of(one).context_share)
        # The next plan counts the same for the instance in force.
        again = plan([model("chat", SMALL, engine=name)], {"h": machine(1, H100)}, found)
        assert again["hosts"]["h"]["gpus"][0]["planned"] == device["planned"]
        assert again["instances"] == found["instances"]
    assert sizes["other"] > sizes["vllm"]


@pytest.mark.parametrize(
    ("engine", "place"),
    [("veteran", "GPU-0"), ("vllm", "GPU-1"), ("other", "GPU-2")],
)
def test_a_model_runs_only_on_gpus_that_its_engine_supports(engine: str, place: str) -> None:
    """The oldest of these GPUs has the least memory, so it is the best place for a small model if it is supported."""
    cards = host(gpu(0, {**V100, "mib": 14000}), gpu(1, T4), gpu(2, L4))
    asked = [model("chat", SMALL, engine=engine), model("old", SMALL, engine="veteran", args={"max-num-seqs": 1})]
    assert places(plan(asked[:1], {"h": cards})) == {"chat-0": ("h", (place,))}
    # Another model whose engine supports the oldest GPU does not change that.
    assert engine == "veteran" or places(plan(asked, {"h": cards}))["chat-0"] == ("h", (place,))


def test_a_gpu_that_is_too_old_is_named_with_each_engine_that_needs_more() -> None:
    both = [model("chat", SMALL), model("more", SMALL, engine="other")]
    found = plan(both, {"h": host(gpu(0, V100))})
    assert found["hosts"]["h"]["unusable"] == [
        "GPU 0 (Tesla V100) has compute capability 7.0: vLLM needs 7.5, Other needs 8.9"
    ]
    one = plan([both[1], model("old", SMALL, engine="veteran")], {"h": host(gpu(0, V100))})
    assert one["hosts"]["h"]["unusable"] == []
    (missing,) = one["unplaced"]
    assert missing["reason"] == "h: GPU 0 (Tesla V100) has compute capability 7.0: Other needs 8.9"
    assert missing["remedy"] == "choose a host with newer GPUs, or another engine"


@pytest.mark.parametrize(("power", "said"), [((7, 0), "7.0"), ((0, 0), "unknown")])
def test_what_is_said_of_an_old_gpu(power: tuple[int, int], said: str) -> None:
    assert too_old(power, [Vllm()]) == f"has compute capability {said}: vLLM needs 7.5"
