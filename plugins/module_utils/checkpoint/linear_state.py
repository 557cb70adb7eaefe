# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute the shape of the state that a linear-attention or state-space layer keeps for one request.

Formulas: `MambaStateShapeCalculator` and `get_mamba_state_shape_from_config` of vLLM 0.32's hybrid models. Shapes are
of the whole model; `sharded` is the index of the dimension that tensor parallelism divides.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import (
    MOST_HEADS,
    MOST_WIDTH,
    ConfigError,
    Values,
)

_FLOATS = ("float32", "float16", "bfloat16")
# A kernel of one would keep no state at all.
_LONGEST_KERNEL = 4096


def _part(shape: list[int], sharded: int, dtype: str | None = None) -> dict[str, Any]:
    return {"shape": shape, "sharded": sharded, "dtype": dtype}


def _float_named(text: Values, name: str, otherwise: str | None) -> str | None:
    dtype = text.text(name)
    if dtype is None or dtype == "auto":
        return otherwise
    if dtype not in _FLOATS:
        text.refuse(name, "one of " + ", ".join(_FLOATS))
    return dtype


def _gated_delta_net(text: Values) -> dict[str, Any]:
    """Qwen3-Next, Qwen3.5, OLMo hybrid."""
    key_heads = text.required("linear_num_key_heads", most=MOST_HEADS)
    value_heads = text.required("linear_num_value_heads", most=MOST_HEADS)
    key_width = text.required("linear_key_head_dim", most=MOST_WIDTH)
    value_width = text.required("linear_value_head_dim", most=MOST_WIDTH)
    kernel = text.required("linear_conv_kernel_dim", most=_LONGEST_KERNEL, least=2)
    mixed = 2 * key_heads * key_width + value_heads * value_width
    return {
        "kind": "gated_delta_net",
        "state": [
            _part([kernel - 1, mixed], 1),
            _part([value_heads, value_width, key_width], 0, _float_named(text, "mamba_ssm_dtype", None)),
        ],
    }


def _kimi_delta(text: Values, inner: Values) -> dict[str, Any]:
    """Kimi Linear; its recurrent state is always float32."""
    heads = inner.required("num_heads", most=MOST_HEADS)
    width = inner.required("head_dim", most=MOST_WIDTH)
    kernel = inner.integer("short_conv_kernel_size", most=_LONGEST_KERNEL, least=2) or 4
    entry: dict[str, Any] = {
        "kind": "kimi_delta_attention",
        "state": [_part([kernel - 1, 3 * heads * width], 1), _part([heads, width, width], 0, "float32")],
    }
    if inner.get("gate_lower_bound") is not None and width == 128:
        # FlashKDA, which exports states inside a prefill, needs both.
        entry["bounded"] = True
    return entry


def _mamba2(text: Values, model_type: str, hidden: int) -> dict[str, Any]:
    """Nemotron-H, Granite 4, Falcon-H1, Bamba, Zamba2, Mamba 2."""
    heads = text.required("mamba_num_heads", "mamba_n_heads", "n_mamba_heads", "num_heads", most=MOST_HEADS)
    groups = text.required("n_groups", "mamba_n_groups", "mamba_ngroups", most=MOST_HEADS)
    state = text.required("ssm_state_size", "mamba_d_state", "state_size", most=MOST_WIDTH)
    kernel = text.required("conv_kernel", "mamba_d_conv", most=_LONGEST_KERNEL, least=2)
    stretch = text.number("mamba_expand", "expand", most=1000.0) or 2.0
    inner = max(1, int(stretch * hidden))
    names = ("mamba_head_dim", "mamba_d_head", "mamba_headdim", *(("head_dim",) if model_type == "mamba2" else ()))
    width = max(1, inner // heads) if text.get(*names) in ("auto", None) else text.required(*names, most=MOST_WIDTH)
    if model_type == "falcon_h1":
        inner = text.integer("mamba_d_ssm", most=MOST_WIDTH) or inner
    elif model_type == "nemotron_h":
        inner = heads * width
    dtype = _float_named(text, "mamba_ssm_cache_dtype", "float32" if model_type == "nemotron_h" else None)
    return {
        "kind": "mamba2",
        # Groups are copied where tensor parallelism has more ranks than there are groups.
        "n_groups": groups,
        "state_size": state,
        "state": [_part([kernel - 1, inner + 2 * groups * state], 1), _part([heads, width, state], 0, dtype)],
    }


def _mamba1(text: Values, hidden: int) -> dict[str, Any]:
    """Jamba, Mamba, Falcon Mamba."""
    stretch = text.number("mamba_expand", "expand", most=1000.0) or 2.0
    inner = max(1, int(stretch * hidden))
    state = text.required("mamba_d_state", "state_size", most=MOST_WIDTH)
    kernel = text.required("mamba_d_conv", "conv_kernel", most=_LONGEST_KERNEL, least=2)
    return {"kind": "mamba1", "state": [_part([kernel - 1, inner], 1), _part([inner, state], 0)]}


def state_of(text: Values, model_type: str) -> dict[str, Any]:
    """Return the entry of one linear-attention layer, without its count.

    Raises `ConfigError` where the config names linear attention but none whose state is known.
    """
    hidden = text.required("hidden_size", "d_model", "n_embd", most=MOST_WIDTH)
    inner = text.inner("linear_attn_config")
    if inner is not None:
        entry = _kimi_delta(text, inner)
    elif text.get("linear_num_value_heads") is not None:
        entry = _gated_delta_net(text)
    elif model_type in ("jamba", "mamba", "falcon_mamba"):
        entry = _mamba1(text, hidden)
    elif text.get("conv_L_cache") is not None:
        kernel = text.required("conv_L_cache", most=_LONGEST_KERNEL, least=2)
        width = text.integer("conv_dim", most=MOST_WIDTH) or hidden
        entry = {"kind": "short_convolution", "state": [_part([kernel - 1, width], 1)]}
    elif text.get("mamba_num_heads", "mamba_n_heads", "n_mamba_heads") is not None or model_type == "mamba2":
        entry = _mamba2(text, model_type, hidden)
    else:
        raise ConfigError(
            f"config.json: {text.path}model_type {model_type} has linear-attention layers, but no field says the size "
            "of their state: it must be a kind of hybrid that can be planned."
        )
    return {"type": "linear_attention", **entry}
