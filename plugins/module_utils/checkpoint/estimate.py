# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Estimate the bytes of a model's weights from its configuration alone, where no header and no index tells them.

The shapes are those that the facts of `config.describe` name; biases and norms are left out.
"""

from __future__ import annotations

from typing import Any, Mapping

# Bits of a value beside the scales that a method stores for it.
_METHOD_BITS = {"mxfp4": 4, "awq": 4, "gptq": 4, "modelopt_fp4": 4}
_SIZES = {"bfloat16": 2, "float16": 2, "float32": 4}
_GATED = 3
"""Matrices of a feed-forward layer: gate, up and down."""
_APART = ("bamba", "falcon_h1", "jamba", "nemotron", "zamba")
"""Types of models whose layers are an attention, a state or a feed-forward layer each, or several at once."""
_SCALE_BITS = 16
_SHARED_SCALE = {16: 8, 32: 8}
"""Bits of a scale by the values that share it: blocks of micro-scaled types have scales of 8 bits. Whole numbers have
scales of 16 bits."""
_BESIDE_EXPERTS = ("gemma4",)
"""Types of models that have a dense feed-forward layer beside the experts of every layer."""
_GATED_ENCODERS = ("pixtral", "gemma4")
"""Types of encoders whose feed-forward layers have a gate, whatever their activation."""


def weight_bytes(facts: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> int | None:
    """Return the estimated bytes of all weights, in the types in which a checkpoint of this configuration has them.

    :param facts: of `config.describe`; ``hidden_size``, ``vocab_size``, ``layers`` and ``projections`` are used.
    :param config: the configuration itself, for encoders of images and sound, which the facts do not describe.
    :returns: null for models whose layers are each but one part, as their shapes are not among the facts.
    """
    if str(facts.get("model_type")).startswith(_APART):
        return None
    whole = _SIZES.get(str(facts.get("dtype")), 2)
    hidden = int(facts["hidden_size"])
    single = facts.get("tie_word_embeddings") or facts.get("encoder_only")
    ends = int(facts["vocab_size"]) * hidden * (1 if single else 2)
    attention = _attention(facts, hidden)
    dense, experts = _feed_forward(facts, hidden)
    bits = _bits(facts)
    outer = whole * 8 if bits is None else bits
    inner = whole * 8 if _experts_alone(facts) else outer
    return int(whole * (ends + _encoders(config or {})) + (attention + dense) * inner / 8 + experts * outer / 8)


def _bits(facts: Mapping[str, Any]) -> float | None:
    """Return the bits that a quantised weight takes with its share of a scale; null for none."""
    method = facts.get("quantization")
    if not method:
        return None
    said = [one for one in facts.get("quantization_sets") or [] if one.get("bits")]
    bits = float(min((one["bits"] for one in said), default=_METHOD_BITS.get(str(method), 8)))
    group = next((int(one["group"]) for one in said if one.get("group")), 32 if method == "mxfp4" else 0)
    whole = any(one.get("kind") == "int" for one in said)
    scale = _SCALE_BITS if whole else _SHARED_SCALE.get(group, _SCALE_BITS)
    return bits + (scale / group if group else 0)


def _experts_alone(facts: Mapping[str, Any]) -> bool:
    """Check whether only routed experts are quantised: those of the projections that share scales."""
    parts = facts.get("projections") or ()
    coded = [str(part["name"]) for part in parts if part.get("group") or part.get("block")]
    return facts.get("quantization") == "mxfp4" or coded == ["mlp.experts"]


def _attention(facts: Mapping[str, Any], hidden: int) -> int:
    """Return the numbers in the projections of all attention and state layers."""
    heads, total, seen = int(facts["num_attention_heads"]), 0, 0
    for layer in facts["layers"]:
        count, kind = int(layer["count"]), layer["type"]
        if kind == "mla":
            rope, rank = int(layer["qk_rope_head_dim"]), int(layer["kv_lora_rank"])
            key, value = int(layer.get("qk_nope_head_dim") or 128), int(layer.get("v_head_dim") or 128)
            query = heads * (key + rope)
            low = int(layer.get("q_lora_rank") or 0)
            queries = low * (hidden + query) if low else hidden * query
            total += count * (queries + hidden * (rank + rope) + rank * heads * (key + value) + heads * value * hidden)
        elif "num_kv_heads" in layer:
            kv, width, width_v = int(layer["num_kv_heads"]), int(layer["head_size"]), int(layer["head_size_v"])
            total += count * hidden * (heads * (width + width_v) + kv * (width + width_v))
        elif kind == "linear_attention":
            total += count * _state(facts, hidden)
        else:
            continue
        seen += count
    if not seen and facts.get("encoder_only"):
        # Encoders keep no cache, so their attention is no entry of layers; its heads are as wide as the model.
        total = int(facts["num_hidden_layers"]) * 4 * hidden * hidden
    return total


def _encoders(config: Mapping[str, Any]) -> int:
    """Return the numbers in encoders of images and sound: attention, and a feed-forward layer of two matrices or, with
    a gate, three."""
    total = 0
    for name in ("vision_config", "audio_config"):
        inner = config.get(name)
        if isinstance(inner, Mapping):
            sizes = [_number(inner, "hidden_size", "embed_dim"), _number(inner, "intermediate_size")]
            depth = _number(inner, "num_hidden_layers", "depth", "num_layers")
            gated = str(inner.get("model_type")).startswith(_GATED_ENCODERS) or inner.get("hidden_act") == "silu"
            total += depth * (4 * sizes[0] + (_GATED if gated else 2) * (sizes[1] or 4 * sizes[0])) * sizes[0]
            total += _mergers(inner, sizes[0]) + _number(inner, "num_position_embeddings") * sizes[0]
    return total


def _mergers(inner: Mapping[str, Any], hidden: int) -> int:
    """Return the numbers in what makes tokens of a square of patches: two matrices, again for each layer that is told
    to the language model by itself (vLLM's Qwen3_VisionPatchMerger).
    """
    side, out = _number(inner, "spatial_merge_size"), _number(inner, "out_hidden_size")
    deep = inner.get("deepstack_visual_indexes")
    count = 1 + (len(deep) if isinstance(deep, (list, tuple)) else 0)
    return count * side**2 * hidden * (side**2 * hidden + out) if side and out else 0


def _number(inner: Mapping[str, Any], *names: str) -> int:
    """Return the first of these values that is a whole number; 0 for none."""
    found = (inner.get(name) for name in names)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), 0)


def _state(facts: Mapping[str, Any], hidden: int) -> int:
    """Return the numbers in one layer with a state: its input and output projections."""
    for part in facts.get("projections") or []:
        if part["name"] == "linear_attn.in_proj_qkvz":
            columns = sum(int(number) * int(size) for number, size in part["columns"])
            values = int(part["columns"][-1][0]) * int(part["columns"][-1][1])
            return hidden * (columns + values)
    # Other states (Mamba, short convolutions) project to about six times the width of the model.
    return 6 * hidden * hidden


def _feed_forward(facts: Mapping[str, Any], hidden: int) -> tuple[int, int]:
    """Return the numbers in dense and shared feed-forward layers, and in routed experts with their routers."""
    layers, sparse = int(facts["num_hidden_layers"]), int(facts.get("expert_layers") or 0)
    experts = int(facts.get("num_experts") or 0)
    parts = {part["name"]: part for part in facts.get("projections") or []}
    dense = int(parts["mlp.down_proj"]["rows"]) if "mlp.down_proj" in parts else 0
    matrices = 2 if facts.get("encoder_only") else _GATED
    plain = (layers - sparse) * matrices * hidden * dense
    if sparse and str(facts.get("model_type")).startswith(_BESIDE_EXPERTS):
        plain += sparse * _GATED * hidden * int(facts.get("intermediate_size") or 0)
    if "mlp.shared_experts.down_proj" in parts:
        plain += sparse * _GATED * hidden * int(parts["mlp.shared_experts.down_proj"]["rows"])
    width = int(parts["mlp.experts"]["experts"]) if "mlp.experts" in parts else 0
    return plain, sparse * experts * hidden * (_GATED * width + 1)
