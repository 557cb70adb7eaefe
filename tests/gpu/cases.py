# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The models that are started on a card, in rounds: what stands in one round is planned onto the card together.

Rounds are in the order of what they show; a run whose time is up leaves out the last ones. All models are entries of
tests/catalog/configs.json, but for one of latent attention, as those of the catalogue fit no single card.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CONFIGS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/catalog/configs.json").read_text())


class Model(NamedTuple):
    """A model of a round."""

    source: str
    kind: str
    own: Mapping[str, Any] = MappingProxyType({})
    """What its entry of llm_models says beside name and source."""


# https://huggingface.co/deepseek-ai/DeepSeek-V2-Lite-Chat/blob/main/config.json
MLA = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 100000,
    "eos_token_id": 100001,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v2",
    "moe_intermediate_size": 1408,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_attention_heads": 16,
    "num_experts_per_tok": 6,
    "num_hidden_layers": 27,
    "num_key_value_heads": 16,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 1.0,
    "scoring_func": "softmax",
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "greedy",
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
    "vocab_size": 102400,
}
MLA_NAME, MLA_BYTES = "deepseek-ai/DeepSeek-V2-Lite-Chat", 31_412_968_448

ROUNDS: list[list[Model]] = [
    [
        Model("meta-llama/Llama-3.1-8B-Instruct", "dense"),
        Model(MLA_NAME, "latent attention"),
        Model("Qwen/Qwen3-Embedding-0.6B", "embedding", {"mode": "embedding"}),
    ],
    [
        Model("Qwen/Qwen3-30B-A3B-FP8", "mixture of experts in fp8"),
        Model("LiquidAI/LFM2-1.2B", "hybrid, short convolutions"),
        Model("Qwen/Qwen3-VL-4B-Instruct", "vision"),
    ],
    [
        Model("openai/gpt-oss-20b", "mixture of experts in mxfp4, windows"),
        Model("Qwen/Qwen3-14B-AWQ", "dense, 4 bits"),
        Model("Qwen/Qwen3-8B", "dense, KV cache in fp8", {"args": {"kv-cache-dtype": "fp8"}}),
    ],
    [Model("Qwen/Qwen3-32B-FP8", "dense in fp8")],
    [Model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "hybrid, Mamba with experts")],
    [Model("Qwen/Qwen3-30B-A3B", "mixture of experts")],
    [
        Model("google/gemma-3-12b-it", "vision, windows"),
        Model("ibm-granite/granite-3.3-8b-instruct", "dense"),
        Model("Qwen/Qwen3-0.6B", "dense, small"),
    ],
    [Model("meta-llama/Llama-3.1-8B-Instruct", "dense, alone on the card")],
    [Model("Qwen/Qwen3-VL-8B-Instruct", "vision"), Model("allenai/Olmo-3-7B-Instruct", "dense, windows")],
    [Model("ibm-granite/granite-4.0-h-small", "hybrid, Mamba with experts")],
    [Model("Qwen/Qwen3-32B", "dense, 64 layers")],
]


def config_of(source: str) -> dict[str, Any]:
    """Return the content of a model's config.json."""
    return dict(MLA if source == MLA_NAME else CONFIGS[source]["config"])
