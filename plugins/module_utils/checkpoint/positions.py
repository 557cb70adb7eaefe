# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute the longest context of a model, and the memory of its position tables.

Formulas: `ModelConfig.get_and_verify_max_len` of vLLM 0.32 and the caches of its rotary embeddings.
"""

from __future__ import annotations

from typing import Iterator

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import MOST_TOKENS, Values

_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
# vLLM assumes this length for a config without one.
_ASSUMED_LENGTH = 2048
# Their `max_position_embeddings` is already scaled.
_SCALED = {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"}
_LARGEST_FACTOR = 100_000.0
# Learned positions start after the padding token, which is not counted as usable.
_PADDED_POSITIONS = {"roberta", "xlm-roberta", "camembert"}
# Four float32 scales (q, k, v, probabilities) that every attention layer keeps.
_SCALE_BYTES = 16


def _rotations(values: Values) -> Iterator[Values]:
    """Yield the rotary parameters: one set, or one per kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        inner = values.inner(name)
        if inner is None or not inner.given:
            continue
        nested = [inner.inner(kind) for kind, value in inner.given.items() if isinstance(value, dict)]
        if nested:
            yield from (part for part in nested if part is not None and part.given)
        else:
            yield inner
        return


def _kind(rotation: Values) -> str:
    return rotation.text("rope_type", "type") or "default"


def _scaling(values: Values, model_type: str) -> float:
    """Return what the configured length is multiplied with."""
    if "gemma3" in model_type:
        return 1.0
    factor = 1.0
    for rotation in _rotations(values):
        if _kind(rotation) not in _SCALED:
            factor = rotation.number("factor", most=_LARGEST_FACTOR) or factor
    return factor


def _configured(text: Values) -> int:
    """Return the smallest length that the config names, or what vLLM assumes."""
    explicit = text.integer("model_max_length", most=MOST_TOKENS)
    if explicit is not None:
        return explicit
    lengths = [text.integer(name, most=MOST_TOKENS) for name in _LENGTHS]
    return min([length for length in lengths if length is not None], default=_ASSUMED_LENGTH)


def longest_context(root: Values, text: Values, model_type: str) -> tuple[int, int]:
    """Return the longest context in tokens that vLLM takes unasked, and the longest that it takes at all.

    They differ for LongRoPE, which serves its original length unless a longer one is asked for.
    """
    configured = _configured(text)
    if model_type in _PADDED_POSITIONS and text.text("position_embedding_type") in (None, "absolute"):
        padding = text.integer("pad_token_id", most=MOST_TOKENS, least=0)
        configured = max(1, configured - (1 if padding is None else padding) - 1)
    # vLLM reads the scaling of the outer config alone.
    limit = min(int(configured * _scaling(root, root.text("model_type") or model_type)), MOST_TOKENS)
    limit = max(1, limit)
    if any(_kind(rotation) in ("longrope", "su") for rotation in _rotations(root)):
        original = root.integer("original_max_position_embeddings", most=MOST_TOKENS)
        return min(original or limit, limit), limit
    return limit, limit


def buffer_bytes(text: Values, model_type: str, *, width: int, attention_layers: int, dtype: str | None) -> int:
    """Return the bytes that each rank keeps besides weights: rotary tables and the scales of its attention layers.

    Tensor-parallel ranks do not share tables. A vision tower's own (a few hundred KiB) are not counted.
    """
    share = text.number("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction", most=1.0)
    rotary = int(width * (1.0 if share is None or model_type.startswith("deepseek") else share))
    positions = _configured(text)
    table = positions
    rotations = list(_rotations(text))
    for rotation in rotations[:1] if not model_type.startswith("gemma3") else rotations:
        factor = rotation.number("factor", most=_LARGEST_FACTOR) or 1.0
        if _kind(rotation) == "linear":
            table = int(positions * factor)
        elif _kind(rotation) == "yarn":
            original = rotation.integer("original_max_position_embeddings", most=MOST_TOKENS) or positions
            table = int(original * factor)
    # gpt-oss builds its table in float32; vLLM runs float32 encoders in half precision.
    size = 4 if model_type == "gpt_oss" else 2
    rows = table + (positions if model_type in ("gemma3_text", "gemma3n_text", "gemma4_text") else 0)
    has_rotation = bool(rotations) or text.get("rope_theta", "rotary_emb_base", "rope_parameters") is not None
    if not (has_rotation or model_type.startswith("gemma3")):
        rows = 0
    return rows * rotary * size + attention_layers * _SCALE_BYTES
