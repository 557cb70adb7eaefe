# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan against what the pinned vLLM logged on a real H100, where tests/gpu/measure.py started it: data/measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import estimates

ROOT = Path(__file__).resolve().parents[5]
RECORD: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "measured" / "h100-80gb-vllm-0.32.0.json").read_text()
)
CASES: dict[str, dict[str, Any]] = RECORD["cases"]
sys.path.insert(0, str(ROOT / "tests/gpu"))
import cases  # noqa: E402

WHATIF = json.loads((ROOT / "plugins/plugin_utils/whatif/facts.json").read_text())
GIB = 1024**3


def facts_of(source: str) -> dict[str, Any]:
    """Return the facts of a model."""
    return dict(WHATIF[source]) if source in WHATIF else describe(cases.config_of(source))


def weights_of(source: str) -> int:
    """Return the bytes of a model's weights as the plan takes them."""
    return int(WHATIF[source]["weight_bytes"]) if source in WHATIF else cases.MLA_BYTES


@pytest.mark.parametrize("source", CASES)
def test_weights_are_planned_within_two_percent_and_what_torch_adds(source: str) -> None:
    taken = CASES[source]["measured"]["weights"]
    # vLLM logs what torch holds then, which are whole blocks, and the tables of positions.
    assert weights_of(source) <= taken * 1.005
    assert taken - weights_of(source) <= max(0.02 * taken, 0.3 * GIB)


@pytest.mark.parametrize("source", [name for name in CASES if "kv_cache_tokens" in CASES[name]["measured"]])
def test_the_kv_cache_is_what_vllm_made_of_it(source: str) -> None:
    case, flags = CASES[source], CASES[source]["flags"]
    model = {"engine": "vllm", "args": {}}
    layout = registry.of(model).layout(
        facts_of(source),
        compute_capability="9.0",
        args={},
        tensor_parallel_size=1,
        dtype=flags["dtype"],
        kv_cache_dtype=flags["kv_cache_dtype"],
        max_num_batched_tokens=flags["max_num_batched_tokens"],
    )
    found = layout.capacity(flags["kv_cache_memory_bytes"], flags["max_model_len"])
    assert found["kv_cache_tokens"] == case["measured"]["kv_cache_tokens"] == case["planned"]["kv_cache_tokens"]


@pytest.mark.parametrize("source", [name for name in CASES if "cuda_graphs" in CASES[name]["measured"]])
def test_graphs_are_within_the_spread_of_the_table(source: str) -> None:
    kinds = estimates.traits(facts_of(source))
    found = estimates.sized(estimates.GRAPHS, kinds, estimates.HOPPER)
    assert found.low <= CASES[source]["measured"]["cuda_graphs"] <= found.high
