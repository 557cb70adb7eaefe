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
    assert tower == 24 * 1024 * (4 * 1024 + 3 * 4096) * 2


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


def quantised(bits: int, kind: str, group: int, coded: list[str]) -> dict[str, Any]:
    """Return the facts of a mixture of experts of which some projections are quantised."""
    widths = {"mlp.down_proj": {"rows": 256}, "mlp.experts": {"experts": 64}}
    parts = [{"name": name, **width, **({"group": group} if name in coded else {})} for name, width in widths.items()]
    layer = {"type": "full_attention", "count": 2, "num_kv_heads": 2, "head_size": 32, "head_size_v": 32}
    return {
        "model_type": "kimi_k2",
        "dtype": "bfloat16",
        "quantization": "compressed-tensors",
        "quantization_sets": [{"bits": bits, "kind": kind, "group": group}],
        "hidden_size": 128,
        "vocab_size": 10,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_experts": 8,
        "expert_layers": 1,
        "layers": [layer],
        "projections": parts,
    }


# Attention of two layers and one dense feed-forward layer; the router is counted with the experts.
PLAIN, EXPERTS, ENDS = 2 * 128 * (4 + 2) * 64 + 3 * 128 * 256, 8 * 128 * (3 * 64 + 1), 2 * 10 * 128


@pytest.mark.parametrize(
    ("facts", "plain", "expert"),
    [
        # Whole numbers have scales of 16 bits, micro-scaled types of 8.
        (quantised(4, "int", 32, ["mlp.experts"]), 16, 4.5),
        (quantised(4, "int", 128, ["mlp.experts"]), 16, 4.125),
        (quantised(4, "float", 32, ["mlp.experts"]), 16, 4.25),
        (quantised(4, "float", 16, ["mlp.experts", "mlp.down_proj"]), 4.5, 4.5),
        (quantised(8, "int", 128, ["mlp.experts", "mlp.down_proj"]), 8.125, 8.125),
    ],
)
def test_what_is_not_quantised_is_in_sixteen_bits(facts: dict[str, Any], plain: float, expert: float) -> None:
    assert estimate.weight_bytes(facts) == int(2 * ENDS + PLAIN * plain / 8 + EXPERTS * expert / 8)


@pytest.mark.parametrize(("kind", "layers"), [("gemma4", 2), ("gemma4_text", 2), ("qwen3_moe", 0)])
def test_a_dense_layer_beside_experts_counts(kind: str, layers: int) -> None:
    facts = {**quantised(4, "int", 32, []), "quantization": None, "expert_layers": 2, "intermediate_size": 200}
    facts["projections"] = [{"name": "mlp.experts", "experts": 64}]
    alone = 2 * (ENDS + 2 * 128 * (4 + 2) * 64 + 2 * EXPERTS)
    assert estimate.weight_bytes({**facts, "model_type": kind}) == alone + 2 * layers * 3 * 128 * 200
