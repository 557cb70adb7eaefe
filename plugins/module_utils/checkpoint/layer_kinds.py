# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the kind of each layer in a model's text config: full attention, attention to a window, or a state.

Source: the configuration classes of transformers 5, whose `layer_types` vLLM 0.32 goes by.
"""

from __future__ import annotations

from typing import Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import (
    MOST_LAYERS,
    MOST_TOKENS,
    ConfigError,
    Values,
    shown,
)

FULL = "full_attention"
SLIDING = "sliding_attention"
CHUNKED = "chunked_attention"
LINEAR = "linear_attention"
BOTH = "attention_and_linear_attention"
NOTHING = "nothing"

# Names that configs use or used for a kind of layer.
_KINDS = {
    FULL: FULL,
    "attention": FULL,
    "global_attention": FULL,
    "global": FULL,
    "indexed_attention": FULL,
    "deepseek_sparse_attention": FULL,
    SLIDING: SLIDING,
    "local_attention": SLIDING,
    "sliding_window": SLIDING,
    CHUNKED: CHUNKED,
    LINEAR: LINEAR,
    "mamba": LINEAR,
    "mamba2": LINEAR,
    "conv": LINEAR,
    "kda": LINEAR,
    "mlp": NOTHING,
    "moe": NOTHING,
    "hybrid": BOTH,
}
_PATTERN_LETTERS = {"M": LINEAR, "*": FULL, "-": NOTHING, "E": NOTHING}
# Every n-th layer attends to everything, the others to a window, where the config does not list its layers.
_EVERY_NTH_FULL = {
    "gemma2": 2,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "cohere2": 4,
    "olmo3": 4,
    "gpt_oss": 2,
    "exaone4": 4,
    "exaone_moe": 4,
}


def number_of_layers(text: Values, model_type: str) -> int:
    """Return how many layers the model has; Nemotron-H counts them in its pattern alone."""
    pattern = text.text("hybrid_override_pattern")
    if pattern is not None:
        if not 1 <= len(pattern) <= MOST_LAYERS:
            text.refuse("hybrid_override_pattern", f"1 to {MOST_LAYERS} letters")
        return len(pattern)
    if model_type == "nemotron_h":
        blocks = text.texts("layers_block_type", "layer_types")
        if blocks:
            return len(blocks)
    if model_type == "longcat_flash":
        # Each of its layers attends twice.
        return 2 * text.required("num_layers", most=MOST_LAYERS)
    return text.required("num_hidden_layers", "n_layer", "n_layers", "num_layers", most=MOST_LAYERS)


def _listed(text: Values, count: int) -> list[str] | None:
    """Return the kinds of a config that lists its layers one by one, or None."""
    pattern = text.text("hybrid_override_pattern")
    if pattern is not None:
        if set(pattern) - set(_PATTERN_LETTERS):
            text.refuse("hybrid_override_pattern", "made of the letters M, E, * and -")
        return [_PATTERN_LETTERS[letter] for letter in pattern]
    name = text.named("layer_types", "layers_block_type")
    blocks = text.texts("layer_types", "layers_block_type")
    if blocks is None:
        return None
    if len(blocks) < count:
        text.refuse(name, f"a list of one kind for each of the {count} layers")
    unknown = next((kind for kind in blocks[:count] if kind not in _KINDS), None)
    if unknown is not None:
        raise ConfigError(
            f"config.json: {text.path}{name} names {shown(unknown)}: it must name kinds that can be planned, "
            f"which are {', '.join(sorted(_KINDS))}."
        )
    return [_KINDS[kind] for kind in blocks[:count]]


def attention_blocks(text: Values) -> list[Values | None] | None:
    """Return the attention part of every block of a searched architecture (Nemotron NAS), None for a block without."""
    blocks = text.get("block_configs")
    if blocks is None:
        return None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        text.refuse("block_configs", "a list of objects")
    parts = []
    for place, block in enumerate(blocks[: MOST_LAYERS + 1]):
        part = Values(block, f"{text.path}block_configs[{place}].").inner("attention")
        absent = part is None or part.flag("no_op") or part.flag("replace_with_linear")
        parts.append(None if absent else part)
    return parts


def _blocks(text: Values, count: int) -> list[str] | None:
    parts = attention_blocks(text)
    if parts is None:
        return None
    if len(parts) < count:
        text.refuse("block_configs", f"a list of one block for each of the {count} layers")
    return [NOTHING if part is None else FULL for part in parts[:count]]


def _by_position(count: int, is_first: Callable[[int], bool], first: str, other: str) -> list[str]:
    return [first if is_first(position) else other for position in range(count)]


def _at_places(count: int, places: list[int]) -> list[str]:
    attend = set(places)
    return [FULL if position in attend else LINEAR for position in range(count)]


def _linear_by_position(text: Values, model_type: str, count: int) -> list[str] | None:
    """Return the kinds of layers of a hybrid model whose config gives the places of its attention layers as numbers, or
    None.
    """
    inner = text.inner("linear_attn_config")
    if inner is not None:
        # Kimi counts its layers from one.
        places = inner.integers("full_attn_layers", most=MOST_LAYERS, least=1) or []
        return _at_places(count, [place - 1 for place in places])
    if model_type == "falcon_h1":
        return [BOTH] * count
    if model_type == "jamba":
        period = text.integer("attn_layer_period", most=MOST_LAYERS) or 8
        offset = text.integer("attn_layer_offset", most=MOST_LAYERS, least=0) or 0
        return _by_position(count, lambda position: position % period == offset, FULL, LINEAR)
    for name in ("attn_layer_indices", "full_attn_idxs"):
        listed = text.integers(name, most=MOST_LAYERS)
        if listed is not None:
            return _at_places(count, listed)
    if text.get("linear_num_value_heads") is not None:
        interval = text.integer("full_attention_interval", most=MOST_LAYERS) or 4
        return _by_position(count, lambda position: (position + 1) % interval == 0, FULL, LINEAR)
    if model_type in ("mamba", "mamba2", "falcon_mamba", "granitemoehybrid"):
        return [LINEAR] * count
    return None


def window_of(text: Values) -> int:
    """Return the tokens of the window, 0 for none."""
    return text.integer("sliding_window", "sliding_window_size", most=MOST_TOKENS, least=0) or 0


def _windowed_by_position(text: Values, model_type: str, count: int) -> list[str]:
    """Return the kinds of layers of a model whose config gives the places of its windowed layers as numbers."""
    marks = text.integers("hybrid_layer_pattern", most=1)
    if marks is not None:
        if len(marks) < count:
            text.refuse("hybrid_layer_pattern", f"a list of {count} zeros and ones")
        return [SLIDING if mark else FULL for mark in marks[:count]]
    if model_type == "llama4_text":
        if not text.integer("attention_chunk_size", most=MOST_TOKENS, least=0):
            return [FULL] * count
        rotary = text.integers("no_rope_layers", most=1)
        if rotary:
            if len(rotary) < count:
                text.refuse("no_rope_layers", f"a list of {count} zeros and ones")
            return [CHUNKED if mark else FULL for mark in rotary[:count]]
        interval = text.integer("no_rope_layer_interval", most=MOST_LAYERS) or 4
        return _by_position(count, lambda position: (position + 1) % interval == 0, FULL, CHUNKED)
    if not window_of(text):
        return [FULL] * count
    pattern = text.get("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
    if isinstance(pattern, str):
        if not 0 < len(pattern) <= MOST_LAYERS or set(pattern) - set("LG"):
            text.refuse("sliding_window_pattern", "a whole number or letters L and G")
        kinds = [SLIDING if pattern[position % len(pattern)] == "L" else FULL for position in range(count)]
        return [*kinds[:-1], FULL]
    every = text.integer(
        "sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers", most=MOST_LAYERS
    )
    every = every or _EVERY_NTH_FULL.get(model_type)
    if every is not None:
        nth = every
        return _by_position(count, lambda position: (position + 1) % nth == 0, FULL, SLIDING)
    if "use_sliding_window" in text.given or model_type.startswith("qwen"):
        if not text.flag("use_sliding_window"):
            return [FULL] * count
        first = text.integer("max_window_layers", most=MOST_LAYERS, least=0) or 0
        return _by_position(count, lambda position: position < first, FULL, SLIDING)
    return [SLIDING] * count


def kinds_of_layers(text: Values, model_type: str) -> list[str]:
    """Return the kind of every layer, in order; a layer that keeps nothing of its own is NOTHING.

    Raises `ConfigError` for a list that is too short or names a kind that is not known.
    """
    count = number_of_layers(text, model_type)
    kinds = (
        _blocks(text, count)
        or _listed(text, count)
        or _linear_by_position(text, model_type, count)
        or _windowed_by_position(text, model_type, count)
    )
    if model_type == "gemma4_text":
        kinds[-1] = FULL
    if not window_of(text):
        kinds = [FULL if kind == SLIDING else kind for kind in kinds]
    shared = text.integer("num_kv_shared_layers", most=count, least=0) or 0
    # The last layers share the cache of earlier ones.
    return kinds[: count - shared] + [NOTHING] * shared
