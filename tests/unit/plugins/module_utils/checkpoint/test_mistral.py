# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Mistral's own params.json says, compared with a config.json that says the same."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import ConfigError, describe
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.mistral import config_of

DENSE = {
    "dim": 5120,
    "n_layers": 40,
    "head_dim": 128,
    "hidden_dim": 32768,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 131072,
    "rope_theta": 1000000000.0,
    "norm_eps": 1e-05,
    "max_position_embeddings": 131072,
}
LARGE = {
    **DENSE,
    "dim": 7168,
    "n_layers": 61,
    "n_heads": 128,
    "n_kv_heads": 128,
    "hidden_dim": 16384,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "kv_lora_rank": 512,
    "v_head_dim": 128,
    "moe": {
        "expert_hidden_dim": 4096,
        "num_experts": 128,
        "num_experts_per_tok": 4,
        "first_k_dense_replace": 3,
        "num_shared_experts": 1,
        "route_every_n": 1,
    },
}


def facts(params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return describe(config_of({**params, **more}))


def test_a_dense_model() -> None:
    found = facts(DENSE)
    assert found["layers"] == [
        {"type": "full_attention", "num_kv_heads": 8, "head_size": 128, "head_size_v": 128, "count": 40}
    ]
    assert (found["hidden_size"], found["intermediate_size"], found["vocab_size"]) == (5120, 32768, 131072)
    assert (found["max_position_embeddings"], found["tie_word_embeddings"]) == (131072, False)
    assert found["dtype"] is None
    assert (
        facts({name: value for name, value in DENSE.items() if name != "max_position_embeddings"})[
            "max_position_embeddings"
        ]
        == 128_000
    )


def test_windows_may_be_a_pattern() -> None:
    found = facts(DENSE, sliding_window=[None, 32768, 32768, 32768])
    kinds = {layer["type"]: layer["count"] for layer in found["layers"]}
    assert kinds == {"full_attention": 10, "sliding_attention": 30}
    assert {layer["type"] for layer in facts(DENSE, sliding_window=4096)["layers"]} == {"sliding_attention"}


def test_a_mixture_of_experts_with_latent_attention() -> None:
    found = facts(LARGE)
    assert [(layer["type"], layer["count"]) for layer in found["layers"]] == [("mla", 61)]
    assert (found["num_experts"], found["num_experts_per_tok"]) == (128, 4)
    assert {"name": "mlp.experts", "experts": 4096} in found["projections"]
    assert {"name": "mlp.down_proj", "rows": 16384} in found["projections"]


def test_latent_attention_without_experts() -> None:
    found = facts({name: value for name, value in LARGE.items() if name != "moe"})
    assert [(layer["type"], layer["count"]) for layer in found["layers"]] == [("mla", 61)]
    assert found["num_experts"] is None


@pytest.mark.parametrize(
    ("beside", "model_type", "architecture"),
    [
        ({"vision_encoder": {"hidden_size": 1024}}, "pixtral", "PixtralForConditionalGeneration"),
        (
            {"multimodal": {"vision_encoder_args": {"hidden_size": 1024}}},
            "pixtral",
            "PixtralForConditionalGeneration",
        ),
        (
            {"multimodal": {"whisper_model_args": {"encoder_args": {"dim": 1280}}}},
            "voxtral",
            "VoxtralForConditionalGeneration",
        ),
    ],
)
def test_other_senses(beside: dict[str, Any], model_type: str, architecture: str) -> None:
    found = facts(DENSE, **beside)
    assert (found["model_type"], found["architectures"], found["multimodal"]) == (model_type, [architecture], True)
    assert found["num_hidden_layers"] == 40


@pytest.mark.parametrize(
    ("scheme", "method"),
    [
        ({"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}, "fp8"),
        ({"quant_method": "compressed_tensors", "config_groups": {}}, "compressed-tensors"),
        ({}, None),
    ],
)
def test_quantisation(scheme: dict[str, Any], method: str | None) -> None:
    assert facts(DENSE, quantization=scheme)["quantization"] == method


def test_stretched_positions() -> None:
    yarn = {"factor": 16, "original_max_position_embeddings": 8192, "beta": 32, "alpha": 1}
    assert facts(DENSE, yarn=yarn)["max_position_embeddings"] == 131072


@pytest.mark.parametrize("bad", [{"n_layers": "40"}, {"moe": 3}, {"yarn": []}, {"multimodal": [1]}, {"moe": {"a": 1}}])
def test_malformed_values_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        facts(DENSE, **bad)
