# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Describe a model from its `config.json`: what the planner has to know of it, less its weights.

Pure: the config is handed in as a mapping. Field names and defaults follow transformers 5 and vLLM 0.32
(`model_arch_config_convertor.py`, `ModelConfig.get_and_verify_max_len`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.experts import expert_layers
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.layer_kinds import (
    attention_blocks,
    number_of_layers,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.layers import describe_layers, is_latent
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.positions import buffer_bytes, longest_context
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.projections import projections
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.quantization import scheme_of
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.traits import traits
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.type_defaults import defaults_of
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import (
    MOST_HEADS,
    MOST_WIDTH,
    ConfigError,
    Values,
    check_shape,
)

__all__ = ["ConfigError", "describe"]

# Keys under which multimodal models have the config of their language model; an "omni" model nests it once more.
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "language_model_config")
_DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
    "float32": "float32",
    "float": "float32",
}
# These models attend in both directions and keep no cache: vLLM's `attn_type` "encoder_only".
_ENCODER_TYPES = {
    "bert",
    "nomic_bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "modernbert",
    "distilbert",
    "electra",
    "mpnet",
    "deberta",
    "deberta-v2",
    "ernie",
    "eurobert",
    "gte",
    "new",
    "clip",
    "siglip",
}
_ENCODER_ARCHITECTURES = ("Bert", "BERT", "Roberta", "Bidirectional", "GteModel", "GteNewModel", "NewModel", "NewFor")
_EXPERTS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k",
)
_KV_HEADS = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_INTERMEDIATE = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim")
# These models keep compressed, summarised or mixed states in their own layouts; a wrong plan would be worse than none.
_NOT_PLANNED = (
    "bailing_hybrid",
    "bailing_moe_linear",
    "bailing_moe_v3",
    "deepseek_v4",
    "dots3",
    "glm5_next",
    "hy_v4",
    "inkling",
    "kimi_k3",
    "minimax_m3",
    "qwen4_exp",
    "step5",
)
_WITHOUT_ATTENTION = ("mamba", "mamba2", "falcon_mamba")


def _text_of(root: Values) -> tuple[Values, str]:
    """Return the language model's config and its model type."""
    here = root.inner("thinker_config") or root
    for name in _TEXT_CONFIGS:
        inner = here.inner(name)
        if inner is not None and inner.given:
            model_type = inner.text("model_type") or root.text("model_type") or ""
            return inner._replace(defaults=defaults_of(model_type, nested=True)), model_type
    model_type = here.text("model_type") or ""
    return here._replace(defaults=defaults_of(model_type, nested=here is not root)), model_type


def _dtype(root: Values, text: Values) -> str | None:
    """Return the dtype that the config names, or None for none or one that vLLM does not run in."""
    for values in (root, text):
        named = values.text("dtype", "torch_dtype")
        if named is not None:
            return _DTYPES.get(named[len("torch.") :] if named.startswith("torch.") else named)
    return None


def _kv_heads(text: Values, model_type: str, heads: int) -> int:
    """Return the heads that keys and values have; as many as queries where the config says nothing."""
    if model_type in ("falcon", "RefinedWeb", "RefinedWebModel", "gpt_bigcode"):
        grouped = model_type != "gpt_bigcode" and text.flag("new_decoder_architecture")
        if not grouped and text.flag("multi_query", default=True):
            return 1
    blocks = [block for block in attention_blocks(text) or [] if block is not None]
    if blocks:
        shared = {block.required("n_heads_in_group", most=heads) for block in blocks}
        if len(shared) > 1:
            text.refuse("block_configs", "of one n_heads_in_group, as layers of different heads are not planned")
        return max(1, heads // shared.pop())
    inner = text.inner("attn_config")
    if inner is not None:
        given = inner.integer("kv_n_heads", most=MOST_HEADS)
        if given is not None:
            return given
    return text.integer(*_KV_HEADS, most=MOST_HEADS) or heads


def _experts(text: Values, names: tuple[str, ...]) -> int | None:
    """Return a number of experts; some configs give one per layer, all alike."""
    value = text.get(*names)
    if isinstance(value, list):
        return max(text.integers(*names, most=MOST_HEADS) or [0]) or None
    return text.integer(*names, most=MOST_HEADS, least=0) or None


def _intermediate(text: Values) -> int | None:
    """Return the width of the dense feed-forward layers; the widest where each layer has its own."""
    if text.get("block_ff_dim") is not None:
        return _adjusted(text)
    value = text.get(*_INTERMEDIATE)
    if isinstance(value, list):
        return max(text.integers(*_INTERMEDIATE, most=MOST_WIDTH) or [0]) or None
    return text.integer(*_INTERMEDIATE, most=MOST_WIDTH, least=0) or None


def _adjusted(text: Values) -> int | None:
    """Return the width of LFM2's feed-forward layers: two thirds of what is said, rounded up (vLLM's ``Lfm2MLP``)."""
    width = text.integer("block_ff_dim", most=MOST_WIDTH) or 0
    if text.get("block_auto_adjust_ff_dim") is not False:
        factor, multiple = (
            text.get("block_ffn_dim_multiplier"),
            text.integer("block_multiple_of", most=MOST_WIDTH) or 256,
        )
        width = 2 * width // 3
        width = int(factor * width) if isinstance(factor, (int, float)) else width
        width = -(-width // multiple) * multiple
    return width or None


def _encoder_only(root: Values, text: Values, model_type: str, architectures: list[str]) -> bool:
    for values in (root, text):
        if not values.flag("is_causal", default=True) or not values.flag("causal", default=True):
            return True
    if text.get("use_bidirectional_attention") is True:
        return True
    named = (model_type, root.text("model_type"))
    return any(name in _ENCODER_TYPES for name in named) or any(
        mark in architecture for architecture in architectures for mark in _ENCODER_ARCHITECTURES
    )


def digest_of(config: Any) -> str:
    """Return the digest by which two configs are the same, whatever the order of their keys: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def describe(config: Any) -> dict[str, Any]:
    """Return the facts of a model, less those about its weights; sizes are in tokens and bytes, of the whole model.

    `layers` has one entry per kind of layer in order of first occurrence; `layer_order` the place of each layer's entry
    (-1: no cache of its own, -2: all of them). `max_position_embeddings` is the longest context that vLLM takes
    unasked, `max_model_len_limit` the longest that it takes when asked. Raises `ConfigError`, and nothing else, for a
    config that is malformed, hostile or of a kind that cannot be planned.
    """
    check_shape(config)
    root = Values(config)
    architectures = root.texts("architectures") or []
    text, model_type = _text_of(root)
    attention_free = model_type in _WITHOUT_ATTENTION
    for values in (root, text):
        if (values.text("model_type") or "").startswith(_NOT_PLANNED):
            values.refuse("model_type", "of a kind whose cache can be planned")
    if root.flag("is_encoder_decoder"):
        root.refuse("is_encoder_decoder", "false, as encoder-decoder models are not planned")

    hidden = text.required(*_HIDDEN, most=MOST_WIDTH)
    heads = 0 if attention_free else text.required(*_HEADS, most=MOST_HEADS)
    kv_heads = 0 if attention_free else _kv_heads(text, model_type, heads)
    width = 0 if attention_free else _head_size(text, hidden, heads)
    encoder_only = _encoder_only(root, text, model_type, architectures)
    layers, order = ([], []) if encoder_only else describe_layers(text, model_type, kv_heads, width)
    count = number_of_layers(text, model_type)
    dtype = _dtype(root, text)
    scheme = scheme_of(root, text)
    intermediate, experts = _intermediate(text), _experts(text, _EXPERTS)
    length, limit = longest_context(root, text, model_type)
    tied = root.get("tie_word_embeddings")
    return {
        "config_digest": digest_of(config),
        "architectures": architectures,
        "model_type": root.text("model_type") or model_type,
        "dtype": dtype,
        "quantization": scheme.method,
        "quantization_sets": [coded.facts() for coded in scheme.sets],
        "kv_cache_quantization": scheme.kv_cache,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "vocab_size": text.required("vocab_size", "padded_vocab_size", most=MOST_WIDTH),
        "max_position_embeddings": length,
        "max_model_len_limit": limit,
        "num_hidden_layers": count,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "layers": layers,
        "layer_order": order,
        "projections": projections(text, model_type, layers, count, heads, intermediate, experts, scheme),
        "num_experts": experts,
        "expert_layers": expert_layers(text, count, experts),
        "num_experts_per_tok": _experts(text, _EXPERTS_PER_TOKEN),
        **traits(root, text, model_type),
        "encoder_only": encoder_only,
        "tie_word_embeddings": root.flag("tie_word_embeddings")
        if tied is not None
        else text.flag("tie_word_embeddings"),
        "num_nextn_predict_layers": text.integer(
            "num_nextn_predict_layers", "mtp_num_hidden_layers", most=1000, least=0
        )
        or 0,
        "buffer_bytes": buffer_bytes(
            text,
            model_type,
            # Rotary positions turn the whole head, or the part of a latent one that is kept for them.
            width=(text.integer("qk_rope_head_dim", most=MOST_WIDTH) or width)
            if is_latent(text, model_type)
            else width,
            attention_layers=count
            if encoder_only
            else sum(entry["count"] for entry in layers if entry["type"] != "linear_attention"),
            dtype=dtype,
        ),
    }


def _head_size(text: Values, hidden: int, heads: int) -> int:
    """Return the width of one head, as `get_head_size` of vLLM's convertor finds it."""
    given = text.integer(
        "head_dim", "attention_head_dim", "hidden_size_per_head", "kv_channels", most=MOST_WIDTH, least=0
    )
    if given:
        return given
    if hidden < heads:
        text.refuse(text.named(*_HIDDEN), f"at least the {heads} attention heads")
    return hidden // heads
