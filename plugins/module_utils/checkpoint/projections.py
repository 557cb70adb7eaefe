# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Widths of the projections of a model that tensor parallelism cuts, and how the checkpoint stores them.

Pure. Model classes of vLLM 0.32 cut outputs of queries, keys, values, gates and ups (column parallel), and inputs of
what follows them (row parallel). The facts say what there is to cut; whether that may be is the engine's matter.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.quantization import Scheme
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import MOST_LAYERS, MOST_WIDTH, Values

_MOE_WIDTHS = ("moe_intermediate_size", "expert_ffn_hidden_size", "expert_hidden_dim")
_SHARED_WIDTHS = (
    "shared_expert_intermediate_size",
    "shared_intermediate_size",
    "moe_shared_expert_intermediate_size",
)
# In these the width of the feed-forward layers is that of an expert.
_EXPERTS_ALONE = {
    "flex_olmo",
    "gpt_oss",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "jamba",
    "llama4_text",
    "minimax",
    "minimax_m2",
    "mixtral",
    "olmoe",
    "phimoe",
}
# Experts of these have no gate.
_WITHOUT_GATE = ("nemotron_h",)
_SHARED_EXPERTS = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
# Names of one module in different model classes, from the layer on; the first is the one in messages.
_NAMES = {
    "self_attn.o_proj": ("self_attn.o_proj", "attention.wo", "attn.o_proj", "mixer.o_proj"),
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.qkv_proj", "attention.wqkv", "attn.q_proj", "mixer.q_proj"),
    "linear_attn.out_proj": ("linear_attn.out_proj",),
    "linear_attn.in_proj_qkvz": ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv"),
    "mlp.down_proj": ("mlp.down_proj", "feed_forward.w2", "feed_forward.down_proj", "mixer.down_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.gate_up_proj", "feed_forward.w1", "feed_forward.gate_proj"),
    "mlp.shared_experts.down_proj": (
        "mlp.shared_experts.down_proj",
        "mlp.shared_expert.down_proj",
        "feed_forward.shared_expert.down_proj",
        "mixer.shared_experts.down_proj",
    ),
    "mlp.experts": ("mlp.experts", "block_sparse_moe.experts", "feed_forward.experts", "mixer.experts"),
}


def projections(
    text: Values,
    model_type: str,
    layers: Sequence[Mapping[str, Any]],
    count: int,
    heads: int,
    intermediate: int | None,
    experts: int | None,
    scheme: Scheme,
) -> list[dict[str, Any]]:
    """Return the projections of a model, each with its name and what tensor parallelism cuts.

    `rows` is the width of an input, `columns` a list of [heads, size of one] of outputs, `experts` the width of one
    routed expert, with `inputs` where it does not read the hidden state itself and `matrices` where it has no three.
    `group` and `block` say how quantised ones share scales.

    :param layers: of the facts.
    :param count: number of layers.
    :param intermediate: width of the dense feed-forward layers.
    :param experts: number of routed experts.
    """
    found = _attention(layers, heads) + _linear_attention(text)
    moe, dense = _widths(text, model_type, intermediate, experts)
    if dense:
        found += [{"name": "mlp.down_proj", "rows": dense}, {"name": "mlp.gate_up_proj", "columns": [[dense, 1]] * 2}]
    shared = _shared(text, model_type, moe)
    if experts and shared:
        found.append({"name": "mlp.shared_experts.down_proj", "rows": shared, "columns": [[shared, 1]] * 2})
    if experts and moe:
        found.append({"name": "mlp.experts", "experts": moe, **_unusual(text, model_type)})
    for part in found:
        coded = scheme.of([f"layers.{layer}.{name}" for name in _NAMES[part["name"]]] for layer in range(count))
        if coded is not None:
            part.update(coded.sharing())
    return found


def _attention(layers: Sequence[Mapping[str, Any]], heads: int) -> list[dict[str, Any]]:
    """Return the projections of the kinds of attention; those of different widths are told apart."""
    found: list[dict[str, Any]] = []
    for layer in layers:
        if layer["type"] == "mla":
            value, key = layer["v_head_dim"], layer["qk_nope_head_dim"]
            if value and key is not None:
                found.append({"name": "self_attn.o_proj", "rows": heads * value})
        elif "num_kv_heads" in layer:
            kv, size, size_v = layer["num_kv_heads"], layer["head_size"], layer["head_size_v"]
            found.append({"name": "self_attn.o_proj", "rows": heads * size_v})
            found.append({"name": "self_attn.qkv_proj", "columns": [[heads, size], [kv, size], [kv, size_v]]})
    unique: list[dict[str, Any]] = []
    for part in found:
        if part not in unique:
            unique.append(part)
    return unique


def _linear_attention(text: Values) -> list[dict[str, Any]]:
    """Return the projections of gated delta nets."""
    keys, values = (text.integer(f"linear_num_{name}_heads", most=MOST_WIDTH) for name in ("key", "value"))
    key, value = (text.integer(f"linear_{name}_head_dim", most=MOST_WIDTH) for name in ("key", "value"))
    if keys is None or values is None or key is None or value is None:
        return []
    return [
        {"name": "linear_attn.out_proj", "rows": values * value},
        {"name": "linear_attn.in_proj_qkvz", "columns": [[keys, key], [keys, key], [values, value], [values, value]]},
    ]


def _unusual(text: Values, model_type: str) -> dict[str, int]:
    """Return what of routed experts is not as usual: the width of their input, and the number of their matrices."""
    latent = text.integer("moe_latent_size", most=MOST_WIDTH, least=0)
    return {**({"inputs": latent} if latent else {}), **({"matrices": 2} if model_type in _WITHOUT_GATE else {})}


def _widths(
    text: Values, model_type: str, intermediate: int | None, experts: int | None
) -> tuple[int | None, int | None]:
    """Return the width of a routed expert, and of the dense feed-forward layers where there are some."""
    if not experts:
        return None, intermediate
    given = text.get(*_MOE_WIDTHS)
    widths = given if isinstance(given, list) else [given]
    whole = {width for width in widths if isinstance(width, int) and not isinstance(width, bool)}
    # Llama 4 names the width of its dense layers apart.
    apart = text.integer("intermediate_size_mlp", most=MOST_WIDTH, least=0)
    if not whole:
        return intermediate if model_type in _EXPERTS_ALONE else None, apart if _has_dense(text) else None
    return (whole.pop() if len(whole) == 1 else None), (apart or intermediate) if _has_dense(text) else None


def _has_dense(text: Values) -> bool:
    """Check whether some layers of a mixture of experts are dense."""
    kinds = text.get("mlp_layer_types")
    if isinstance(kinds, list) and "dense" in kinds:
        return True
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return 0 in frequency
    steps = [text.get(name) for name in ("decoder_sparse_step", "moe_layer_interval", "interleave_moe_layer_step")]
    starts = [text.get(name) for name in ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers")]
    return (
        bool(text.get("mlp_only_layers"))
        or any(isinstance(step, int) and step > 1 for step in [*steps, frequency])
        or any(isinstance(start, int) and start > 0 for start in starts)
    )


def _shared(text: Values, model_type: str, moe: int | None) -> int | None:
    """Return the width of the shared experts, which vLLM makes one layer of."""
    if model_type == "llama4_text":
        return moe
    width = text.integer(*_SHARED_WIDTHS, most=MOST_WIDTH, least=0)
    if width is not None:
        return width or None
    number = text.integer(*_SHARED_EXPERTS, most=MOST_LAYERS, least=0)
    return number * moe if number and moe else None
