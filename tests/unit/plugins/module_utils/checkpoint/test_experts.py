# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers with routed experts, other senses, image masks and sinks, as configs say them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.experts import expert_layers
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.layers import _shares_index
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.traits import traits
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import Values


@pytest.mark.parametrize(
    ("config", "count", "found"),
    [
        ({}, 48, 48),
        ({"first_k_dense_replace": 3}, 61, 58),
        ({"first_k_dense_replace": 1, "moe_layer_freq": 1}, 27, 26),
        ({"moe_layer_freq": [0, 1, 1, 1]}, 4, 3),
        ({"decoder_sparse_step": 2, "mlp_only_layers": []}, 24, 12),
        ({"decoder_sparse_step": 1, "mlp_only_layers": [0, 1]}, 24, 22),
        ({"interleave_moe_layer_step": 2}, 48, 24),
        ({"moe_layers": [1, 3, 5]}, 48, 3),
        ({"expert_layer_period": 2, "expert_layer_offset": 1}, 32, 16),
        ({"mlp_layer_types": ["dense"] * 3 + ["sparse"] * 75}, 78, 75),
        ({"hybrid_override_pattern": "MEM*E"}, 5, 2),
        ({"layers_block_type": ["mamba", "moe", "attention", "moe"]}, 4, 2),
        ({"num_dense_layers": 2}, 32, 30),
    ],
)
def test_layers_with_experts(config: dict[str, Any], count: int, found: int) -> None:
    assert expert_layers(Values(config), count, 8) == found
    assert expert_layers(Values(config), count, None) == 0


@pytest.mark.parametrize(
    ("root", "model_type", "senses", "prefix", "sinks"),
    [
        ({"model_type": "llama"}, "llama", False, False, False),
        ({"model_type": "gemma3", "vision_config": {"depth": 1}}, "gemma3_text", True, True, False),
        ({"model_type": "gemma3_text"}, "gemma3_text", False, False, False),
        ({"model_type": "paligemma", "vision_config": {"depth": 1}}, "gemma2", True, True, False),
        ({"model_type": "molmo2", "vit_config": {"depth": 1}}, "molmo2_text", True, True, False),
        ({"model_type": "phi3_v", "img_processor": {"name": "clip"}}, "phi3_v", True, False, False),
        ({"model_type": "phi4mm", "embd_layer": {"image": {}}}, "phi4mm", True, False, False),
        ({"model_type": "chameleon", "vq_config": {"depth": 1}}, "chameleon", True, False, False),
        ({"model_type": "qwen", "visual": {"width": 1}}, "qwen", True, False, False),
        ({"model_type": "x", "vision_config": {}}, "x", False, False, False),
        ({"model_type": "x", "vision_config": {"depth": 1}, "is_mm_prefix_lm": True}, "x", True, True, False),
        ({"model_type": "gpt_oss"}, "gpt_oss", False, False, True),
        ({"model_type": "mimo_v2_flash"}, "mimo_v2_flash", False, False, True),
        ({"model_type": "granite", "attention_sinks": True}, "granite", False, False, True),
    ],
)
def test_traits(root: dict[str, Any], model_type: str, senses: bool, prefix: bool, sinks: bool) -> None:
    found = traits(Values(root), Values(root), model_type)
    expected = {"multimodal": senses, "image_prefix": prefix, "attention_sinks": sinks, "uncut_parameters": 0}
    assert found == {**expected, "encoder_parameters": 0}


@pytest.mark.parametrize(
    ("name", "config", "numbers"),
    [
        ("gemma4", {"vision_config": {"hidden_size": 10, "intermediate_size": 30, "num_hidden_layers": 2}}, 2600),
        ("gemma4", {"vision_config": {"hidden_size": 10, "num_hidden_layers": 2, "position_embedding_size": 7}}, 3340),
        ("gemma4", {"audio_config": {"hidden_size": 10, "intermediate_size": 30, "num_hidden_layers": 1}}, 1300),
        ("gemma4", {"audio_config": None}, 0),
        ("gemma3", {"vision_config": {"hidden_size": 10, "num_hidden_layers": 2}}, 0),
    ],
)
def test_encoders_that_are_not_divided(name: str, config: dict[str, Any], numbers: int) -> None:
    root = Values({"model_type": name, **config})
    assert traits(root, Values({}), f"{name}_text")["uncut_parameters"] == numbers


@pytest.mark.parametrize(("attention", "prefix"), [("vision", True), ("all", False), (None, False)])
def test_gemma_4_says_itself_how_images_attend(attention: str | None, prefix: bool) -> None:
    text = Values({"use_bidirectional_attention": attention})
    root = Values({"model_type": "gemma4", "vision_config": {"depth": 1}})
    assert traits(root, text, "gemma4_text")["image_prefix"] is prefix


@pytest.mark.parametrize(
    ("config", "shared"),
    [
        ({}, set()),
        ({"index_topk_freq": 1}, set()),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 3}, {3, 4, 5, 7}),
        ({"index_topk_freq": 2}, {2, 4, 6}),
        ({"index_topk_pattern": "FSSFFSFF"}, {1, 2, 5}),
        ({"index_topk_pattern": ["F", "S", "F"]}, {1}),
    ],
)
def test_layers_that_share_an_indexers_choice(config: dict[str, Any], shared: set[int]) -> None:
    sparse = {"kv_lora_rank": 512, "index_head_dim": 128, **config}
    assert _shares_index(Values(sparse), "glm_moe_dsa", 8) == shared
    assert _shares_index(Values(config), "glm_moe_dsa", 8) == set()


SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}
MERGED = {**SIGLIP, "depth": 27, "out_hidden_size": 3584, "spatial_merge_size": 2}


@pytest.mark.parametrize(
    ("name", "config", "millions"),
    [
        # Without patches, positions and projectors, which are small, the towers of published models.
        ("gemma3", {"vision_config": SIGLIP}, 411.1),
        (
            "mistral3",
            {"vision_config": {**SIGLIP, "hidden_size": 1024, "intermediate_size": 4096, "hidden_act": "silu"}},
            453.0,
        ),
        (
            "qwen2_5_vl",
            {"vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "hidden_act": "silu"}},
            630.0,
        ),
        ("qwen3_vl", {"vision_config": MERGED}, 448.8),
        ("qwen3_vl", {"vision_config": {**MERGED, "deepstack_visual_indexes": [8, 16, 24]}}, 562.1),
        ("gemma4", {"vision_config": SIGLIP}, 545.0),
        ("llama", {}, 0),
        ("llava", {"vision_config": {"model_type": "clip"}}, 0),
    ],
)
def test_encoders_by_their_widths(name: str, config: dict[str, Any], millions: float) -> None:
    found = traits(Values({"model_type": name, **config}), Values({}), f"{name}_text")
    assert found["encoder_parameters"] / 1e6 == pytest.approx(millions, rel=0.001)
