# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defaults of model types for fields that their `config.json` leaves out.

A saved config leaves out what equals its class's default, above all inside `text_config`. Values: the configuration
classes of transformers 5, as vLLM 0.32 loads them; names that a class maps onto another (`n_embd`) are read as aliases.
"""

from __future__ import annotations

from typing import Any, Mapping

_COMMON = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
# model type: the values of _COMMON in that order.
_SIZES: dict[str, tuple[int | None, ...]] = {
    "gemma": (256000, 3072, 24576, 28, 16, 16, 256, 8192),
    "gemma2": (256000, 2304, 9216, 26, 8, 4, 256, 8192),
    "gemma3_text": (262208, 2304, 9216, 26, 8, 4, 256, 131072),
    "gemma3n_text": (262400, 2048, 16384, 35, 8, 2, 256, 32768),
    "gemma4_text": (262144, 2304, 9216, 30, 8, 4, 256, 131072),
    "llama": (32000, 4096, 11008, 32, 32, None, None, 2048),
    "llama4_text": (202048, 5120, 8192, 48, 40, 8, 128, 131072),
    "mistral": (32000, 4096, 14336, 32, 32, 8, None, 131072),
    "ministral": (32000, 4096, 14336, 32, 32, 8, None, 131072),
    "ministral3": (131072, 4096, 14336, 34, 32, 8, 128, 262144),
    "mixtral": (32000, 4096, 14336, 32, 32, 8, None, 131072),
    "qwen2": (151936, 4096, 22016, 32, 32, 32, None, 32768),
    "qwen2_moe": (151936, 2048, 5632, 24, 16, 16, None, 32768),
    "qwen2_vl_text": (152064, 8192, 29568, 80, 64, 8, None, 32768),
    "qwen2_5_vl_text": (152064, 8192, 29568, 80, 64, 8, None, 32768),
    "qwen3": (151936, 4096, 22016, 32, 32, 32, 128, 32768),
    "qwen3_moe": (151936, 2048, 6144, 24, 32, 4, None, 32768),
    "qwen3_next": (151936, 2048, 5632, 48, 16, 2, 256, 32768),
    "qwen3_5_text": (248320, 4096, 12288, 32, 16, 4, 256, 32768),
    "qwen3_5_moe_text": (248320, 2048, None, 40, 16, 2, 256, 32768),
    "qwen3_vl_text": (151936, 4096, 22016, 32, 32, 32, 128, 128000),
    "qwen3_vl_moe_text": (151936, 2048, 5632, 24, 16, 16, None, 128000),
    "qwen3_omni_moe_text": (3584, 2048, 18944, 28, 28, 4, None, 32768),
    "gpt_oss": (201088, 2880, 2880, 36, 64, 8, 64, 131072),
    "phi3": (32064, 3072, 8192, 32, 32, None, None, 4096),
    "phi": (51200, 2048, 8192, 24, 32, None, None, 2048),
    "phimoe": (32064, 4096, 6400, 32, 32, 8, None, 131072),
    "cohere": (256000, 8192, 22528, 40, 64, None, None, 8192),
    "cohere2": (256000, 8192, 22528, 40, 64, None, None, 8192),
    "nomic_bert": (30528, 768, 3072, 12, 12, None, None, 2048),
    "modernbert": (50368, 768, 1152, 22, 12, None, None, 8192),
    "bert": (30522, 768, 3072, 12, 12, None, None, 512),
    "xlm-roberta": (30522, 768, 3072, 12, 12, None, None, 512),
    "roberta": (50265, 768, 3072, 12, 12, None, None, 512),
    "deepseek_v2": (102400, 4096, 11008, 32, 32, None, None, 2048),
    "deepseek_v3": (129280, 7168, 18432, 61, 128, 128, None, 4096),
    "deepseek_v32": (129280, 7168, 18432, 61, 128, 128, 64, 163840),
    "glm4": (151552, 4096, 13696, 40, 32, 2, 128, 131072),
    "glm4_moe": (151552, 4096, 10944, 46, 96, 8, None, 131072),
    "glm4_moe_lite": (154880, 2048, 10240, 47, 20, 20, None, 202752),
    "glm4v_text": (151552, 4096, 13696, 40, 32, 2, None, 32768),
    "exaone4": (102400, 4096, 16384, 32, 32, 32, None, 2048),
    "olmo2": (50304, 4096, 11008, 32, 32, None, None, 2048),
    "olmo3": (50304, 4096, 11008, 32, 32, None, None, 2048),
    "smollm3": (128256, 2048, 11008, 36, 16, 4, None, 32768),
    "nemotron_h": (131072, 4096, 21504, None, 32, 8, 128, 4096),
    "granite": (32000, 4096, 11008, 32, 32, None, None, 2048),
    "granitemoe": (32000, 4096, 11008, 32, 32, None, None, 2048),
    "granitemoehybrid": (32000, 4096, 11008, 32, 32, None, None, 2048),
    "falcon_h1": (128000, 4096, 14336, 32, 32, 8, None, 8192),
    "bamba": (128000, 4096, 14336, 32, 32, 8, None, 262144),
    "jamba": (65536, 4096, 14336, 32, 32, 8, None, 262144),
    "lfm2": (65536, 2560, 12288, 32, 32, 8, None, 128000),
    "gpt_neox": (50432, 6144, 24576, 44, 64, None, None, 2048),
    "starcoder2": (49152, 3072, 12288, 30, 24, 2, None, 4096),
    "stablelm": (50304, 2560, 6912, 32, 32, 32, None, 4096),
    "seed_oss": (155136, 4096, 27648, 64, 80, 8, 128, 524288),
    "ernie4_5": (103424, 1024, 3072, 18, 16, 2, 128, 131072),
    "ernie4_5_moe": (103424, 2560, 12288, 28, 20, 4, None, 131072),
    "hunyuan_v1_dense": (290943, 4096, 11008, 32, 32, None, None, 2048),
    "afmoe": (200192, 2048, 6144, 32, 16, None, 128, 16384),
    "mimo_v2_flash": (152576, 4096, 16384, 48, 64, 4, 192, 131072),
    "kimi_linear": (163840, 2304, 9216, 27, 32, 32, None, 1048576),
}

_MORE: dict[str, dict[str, int | bool]] = {
    "gemma": {"tie_word_embeddings": True},
    "gemma2": {"sliding_window": 4096, "tie_word_embeddings": True},
    "gemma3_text": {"sliding_window": 4096, "tie_word_embeddings": True},
    "gemma3n_text": {"num_kv_shared_layers": 15, "sliding_window": 512, "tie_word_embeddings": True},
    "gemma4_text": {"num_kv_shared_layers": 0, "sliding_window": 512, "tie_word_embeddings": True},
    "llama4_text": {
        "attention_chunk_size": 8192,
        "no_rope_layer_interval": 4,
        "num_experts_per_tok": 1,
        "num_local_experts": 16,
    },
    "mistral": {"sliding_window": 4096},
    "ministral": {"sliding_window": 4096},
    "mixtral": {"num_experts_per_tok": 2, "num_local_experts": 8},
    "qwen2": {"max_window_layers": 28, "sliding_window": 4096},
    "qwen2_moe": {"max_window_layers": 28, "num_experts": 60, "num_experts_per_tok": 4, "sliding_window": 4096},
    "qwen2_vl_text": {"max_window_layers": 80, "sliding_window": 4096},
    "qwen2_5_vl_text": {"max_window_layers": 80, "sliding_window": 4096},
    "qwen3": {"max_window_layers": 28, "sliding_window": 4096},
    "qwen3_moe": {"num_experts": 128, "num_experts_per_tok": 8, "sliding_window": 4096},
    "qwen3_next": {
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
        "num_experts": 512,
        "num_experts_per_tok": 10,
    },
    "qwen3_5_text": {
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
    },
    "qwen3_5_moe_text": {
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
        "num_experts": 256,
        "num_experts_per_tok": 8,
    },
    "qwen3_vl_moe_text": {"num_experts": 60, "num_experts_per_tok": 4, "tie_word_embeddings": True},
    "qwen3_omni_moe_text": {"num_experts": 128, "num_experts_per_tok": 8},
    "gpt_oss": {"num_experts_per_tok": 4, "num_local_experts": 128, "sliding_window": 128},
    "phimoe": {"num_experts_per_tok": 2, "num_local_experts": 16},
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"sliding_window": 4096, "tie_word_embeddings": True},
    "modernbert": {"tie_word_embeddings": True},
    "bert": {"tie_word_embeddings": True},
    "xlm-roberta": {"tie_word_embeddings": True},
    "roberta": {"tie_word_embeddings": True},
    "deepseek_v2": {"kv_lora_rank": 512, "n_routed_experts": 64, "qk_rope_head_dim": 64},
    "deepseek_v3": {"kv_lora_rank": 512, "n_routed_experts": 256, "num_experts_per_tok": 8, "qk_rope_head_dim": 64},
    "deepseek_v32": {"kv_lora_rank": 512, "n_routed_experts": 256, "num_experts_per_tok": 8, "qk_rope_head_dim": 64},
    "glm4_moe": {"n_routed_experts": 128, "num_experts_per_tok": 8},
    "glm4_moe_lite": {"kv_lora_rank": 512, "n_routed_experts": 64, "num_experts_per_tok": 4, "qk_rope_head_dim": 64},
    "exaone4": {"sliding_window": 4096, "sliding_window_pattern": 4},
    "olmo3": {"sliding_window": 4096},
    "smollm3": {"no_rope_layer_interval": 4, "tie_word_embeddings": True},
    "nemotron_h": {
        "conv_kernel": 4,
        "expand": 2,
        "mamba_head_dim": 64,
        "mamba_num_heads": 128,
        "n_groups": 8,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "ssm_state_size": 128,
    },
    "granitemoe": {"num_experts_per_tok": 2, "num_local_experts": 8},
    "granitemoehybrid": {
        "mamba_d_conv": 4,
        "mamba_d_state": 256,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_n_heads": 128,
        "num_experts_per_tok": 2,
        "num_local_experts": 8,
    },
    "falcon_h1": {
        "mamba_d_conv": 4,
        "mamba_d_state": 256,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_n_heads": 128,
    },
    "bamba": {"mamba_d_conv": 4, "mamba_d_state": 256, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 128},
    "jamba": {
        "attn_layer_offset": 4,
        "attn_layer_period": 8,
        "mamba_d_conv": 4,
        "mamba_d_state": 16,
        "mamba_expand": 2,
        "num_experts": 16,
        "num_experts_per_tok": 2,
    },
    "lfm2": {"conv_L_cache": 3, "tie_word_embeddings": True},
    "starcoder2": {"tie_word_embeddings": True},
    "ernie4_5": {"tie_word_embeddings": True},
    "ernie4_5_moe": {"tie_word_embeddings": True},
    "afmoe": {"global_attn_every_n_layers": 4, "num_experts": 64, "num_experts_per_tok": 6, "sliding_window": 1024},
    "mimo_v2_flash": {"n_routed_experts": 256, "num_experts_per_tok": 8, "sliding_window": 129, "v_head_dim": 128},
    "kimi_linear": {
        "kv_lora_rank": 512,
        "linear_conv_kernel_dim": 4,
        "num_experts_per_tok": 8,
        "num_local_experts": 256,
        "qk_rope_head_dim": 64,
    },
}

# A config of its own states these; only a nested one may leave them out.
_CORE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")


def _table() -> dict[str, dict[str, int | bool]]:
    table: dict[str, dict[str, int | bool]] = {}
    for model_type, sizes in _SIZES.items():
        row: dict[str, int | bool] = {name: size for name, size in zip(_COMMON, sizes) if size is not None}
        row.update(_MORE.get(model_type, {}))
        table[model_type] = row
    return table


_NESTED = _table()
_ROOT = {
    model_type: {name: value for name, value in row.items() if name not in _CORE} for model_type, row in _NESTED.items()
}


def defaults_of(model_type: str, *, nested: bool) -> Mapping[str, Any]:
    """Return what the model type's configuration class fills in; empty for one that is not known.

    A `nested` config (`text_config`) may leave out anything, one of its own may not leave out its sizes.
    """
    return (_NESTED if nested else _ROOT).get(model_type, {})
