# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find in a model's text config what each layer keeps in the cache.

Source: `get_kv_cache_spec` of vLLM 0.32's attention layers.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.layer_kinds import (
    BOTH,
    CHUNKED,
    FULL,
    LINEAR,
    NOTHING,
    SLIDING,
    kinds_of_layers,
    window_of,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.linear_state import state_of
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import (
    MOST_HEADS,
    MOST_LAYERS,
    MOST_TOKENS,
    MOST_WIDTH,
    Values,
)

# The keys by which sparse attention (DeepSeek 3.2, GLM 5) chooses what to attend to.
INDEXER = "indexer"
# A window counts the tokens before the current one in these, and the current one too in all others.
_WINDOW_EXCLUDES_CURRENT = {"cohere2"}
# Model types with latent attention, as `is_deepseek_mla` of vLLM's model_arch_config_convertor.py lists them.
_LATENT = {
    "axk1",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "kimi_k2",
    "kimi_linear",
    "longcat_flash",
    "pangu_ultra_moe",
}


def is_latent(text: Values, model_type: str) -> bool:
    """Check whether vLLM caches latent attention (MLA) for this model."""
    return model_type in _LATENT and text.get("kv_lora_rank") is not None


def _attention(text: Values, model_type: str, kind: str, kv_heads: int, width: int) -> dict[str, Any]:
    """Return the entry of one attention layer, without its count."""
    if is_latent(text, model_type):
        return {
            "type": "mla",
            "kv_lora_rank": text.required("kv_lora_rank", most=MOST_WIDTH),
            "qk_rope_head_dim": text.integer("qk_rope_head_dim", most=MOST_WIDTH, least=0) or 0,
            # These are the sizes of the up-projections that vLLM keeps twice; null if the config does not contain them.
            "q_lora_rank": text.integer("q_lora_rank", most=MOST_WIDTH),
            "qk_nope_head_dim": text.integer("qk_nope_head_dim", most=MOST_WIDTH),
            "v_head_dim": text.integer("v_head_dim", most=MOST_WIDTH),
        }
    width_v = width
    if text.get("kv_lora_rank") is None and model_type.startswith("mimo_v2"):
        width_v = text.integer("v_head_dim", most=MOST_WIDTH) or width
    entry: dict[str, Any] = {"type": kind, "num_kv_heads": kv_heads, "head_size": width, "head_size_v": width_v}
    if kind == SLIDING:
        window = window_of(text)
        entry["sliding_window"] = window + 1 if model_type in _WINDOW_EXCLUDES_CURRENT else window
        if model_type.startswith("mimo_v2"):
            entry["num_kv_heads"] = text.integer("swa_num_key_value_heads", most=MOST_HEADS) or kv_heads
            entry["head_size"] = text.integer("swa_head_dim", most=MOST_WIDTH) or width
            entry["head_size_v"] = text.integer("swa_v_head_dim", most=MOST_WIDTH) or width_v
    elif kind == CHUNKED:
        entry["attention_chunk_size"] = text.required("attention_chunk_size", most=MOST_TOKENS)
    elif model_type == "gemma4_text":
        entry["head_size"] = entry["head_size_v"] = text.integer("global_head_dim", most=MOST_WIDTH) or 512
        if text.flag("attention_k_eq_v"):
            entry["num_kv_heads"] = text.integer("num_global_key_value_heads", most=MOST_HEADS) or kv_heads
    return entry


def describe_layers(text: Values, model_type: str, kv_heads: int, width: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Return one entry per distinct kind of layer in order of first occurrence, and the place of every layer's entry.

    The places are what pipeline stages are cut from: -1 for a layer without a cache, -2 for one that has every entry
    (attention and state in Falcon-H1 and Zamba2). Sizes are of the whole model, before tensor parallelism.
    """
    made: dict[str, dict[str, Any]] = {}
    order: list[int] = []
    kinds = kinds_of_layers(text, model_type)
    shared = _shares_index(text, model_type, len(kinds))
    for place, kind in enumerate(kinds):
        parts = _parts(text, model_type, kind)
        if place in shared:
            parts = tuple(part for part in parts if part != INDEXER)
        for part in parts:
            if part not in made:
                made[part] = _entry(text, model_type, part, kv_heads, width)
                made[part]["count"] = 0
            made[part]["count"] += 1
        order.append(list(made).index(parts[0]) if len(parts) == 1 else -len(parts) or -1)
    return list(made.values()), order


def _shares_index(text: Values, model_type: str, count: int) -> set[int]:
    """Return the layers that attend to what an earlier layer's indexer chose (`DeepseekV2MLAAttention`, GLM 5.2)."""
    if not is_latent(text, model_type) or text.get("index_head_dim") is None:
        return set()
    pattern = text.get("index_topk_pattern")
    if isinstance(pattern, (str, list)):
        return {place for place, letter in enumerate(pattern[:count]) if letter == "S"}
    every = text.integer("index_topk_freq", most=MOST_LAYERS) or 1
    offset = text.integer("index_skip_topk_offset", most=MOST_LAYERS, least=0)
    offset = 2 if offset is None else offset
    return {place for place in range(count) if max(place - offset + 1, 0) % every}


def _parts(text: Values, model_type: str, kind: str) -> tuple[str, ...]:
    """Return the caches that one layer of a kind has."""
    if kind == NOTHING:
        return ()
    if kind == BOTH:
        return (FULL, LINEAR)
    if kind == FULL and is_latent(text, model_type) and text.get("index_head_dim") is not None:
        return (FULL, INDEXER)
    return (kind,)


def _entry(text: Values, model_type: str, part: str, kv_heads: int, width: int) -> dict[str, Any]:
    if part == LINEAR:
        return state_of(text, model_type)
    if part == INDEXER:
        return {"type": INDEXER, "head_size": text.required("index_head_dim", most=MOST_WIDTH)}
    return _attention(text, model_type, part, kv_heads, width)
