# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weights that are estimated from a configuration against those that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe

ROOT = Path(__file__).resolve().parents[5]
CONFIGS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/catalog/configs.json").read_text())
SIZES = {name: entry.get("weight_bytes") or entry.get("published_bytes") for name, entry in CONFIGS.items()}
KNOWN = sorted(name for name, size in SIZES.items() if size)
# Their own names for widths are not among the facts.
FURTHER = {"LiquidAI/LFM2-1.2B": 0.08, "nomic-ai/nomic-embed-text-v1.5": 0.6}


@pytest.mark.parametrize("name", KNOWN)
def test_it_is_within_two_percent(name: str) -> None:
    entry = CONFIGS[name]
    found = estimate.weight_bytes(describe(entry["config"]), entry["config"])
    assert found == pytest.approx(SIZES[name], rel=FURTHER.get(name, 0.02))


def test_models_whose_layers_are_one_part_each_are_not_estimated() -> None:
    entry = CONFIGS["nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"]
    assert estimate.weight_bytes(describe(entry["config"]), entry["config"]) is None


def test_encoders_of_images_count_with_their_config() -> None:
    config = CONFIGS["mistralai/Mistral-Small-3.2-24B-Instruct-2506"]["config"]
    facts = describe(config)
    tower = (estimate.weight_bytes(facts, config) or 0) - (estimate.weight_bytes(facts) or 0)
    # 24 layers of 1024 x (4 x 1024 + 2 x 4096) numbers in 16 bits.
    assert tower == 24 * 1024 * (4 * 1024 + 2 * 4096) * 2


def test_four_bits_count_with_their_scales() -> None:
    facts = describe(CONFIGS["Qwen/Qwen3-14B-AWQ"]["config"])
    whole = describe(CONFIGS["Qwen/Qwen3-14B"]["config"])
    ends = 2 * facts["vocab_size"] * facts["hidden_size"] * 2
    inner, quantised = (estimate.weight_bytes(whole) or 0) - ends, (estimate.weight_bytes(facts) or 0) - ends
    # Four bits, and 16 for each group of 128.
    assert quantised / inner == pytest.approx((4 + 16 / 128) / 16, rel=0.001)


@pytest.mark.parametrize(
    ("own", "numbers"),
    [
        ({}, 0),
        ({"spatial_merge_size": 2}, 0),
        # 2 x 2 patches of 8 numbers become a token of 16.
        ({"spatial_merge_size": 2, "out_hidden_size": 16}, 32 * (32 + 16)),
        ({"spatial_merge_size": 2, "out_hidden_size": 16, "deepstack_visual_indexes": [1, 2]}, 3 * 32 * (32 + 16)),
        ({"num_position_embeddings": 100}, 800),
        ({"spatial_merge_size": "2", "out_hidden_size": None, "deepstack_visual_indexes": 7}, 0),
    ],
)
def test_what_connects_a_tower_to_the_language_model_counts(own: dict[str, Any], numbers: int) -> None:
    tower = {"hidden_size": 8, "intermediate_size": 16, "depth": 1}
    alone = estimate._encoders({"vision_config": tower})
    assert estimate._encoders({"vision_config": {**tower, **own}}) - alone == numbers
