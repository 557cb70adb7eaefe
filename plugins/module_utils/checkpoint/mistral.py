# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mistral's own layout: what its `params.json` means in the words of transformers' `config.json`.

Pure. Names and defaults are those of `transformers_utils/configs/mistral.py` (`adapt_config_dict`) of vLLM 0.32.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import Values

PARAMS = "params.json"
_NAMES = {
    "dim": "hidden_size",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "tied_embeddings": "tie_word_embeddings",
}
_EXPERTS = {
    "route_every_n": "moe_layer_freq",
    "first_k_dense_replace": "first_k_dense_replace",
    "num_experts_per_tok": "num_experts_per_tok",
    "num_experts": "n_routed_experts",
    "expert_hidden_dim": "moe_intermediate_size",
    "num_shared_experts": "n_shared_experts",
}
_YARN = {
    "factor": "factor",
    "original_max_position_embeddings": "original_max_position_embeddings",
    "beta": "beta_fast",
    "alpha": "beta_slow",
}
_POSITIONS = 128_000


def config_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of transformers that says the same.

    :raises ConfigError: it is of a kind that vLLM does not serve from this layout.
    """
    given = Values(params)
    config = {_NAMES.get(name, name): value for name, value in params.items()}
    config.setdefault("max_position_embeddings", _POSITIONS)
    config.setdefault("tie_word_embeddings", False)
    config["model_type"] = "transformer"
    config["architectures"] = ["MistralForCausalLM"]
    _windows(given, config)
    _quantization(given, config)
    experts = given.inner("moe")
    if experts is None and params.get("qk_nope_head_dim"):
        # Latent attention comes with experts in vLLM's class; a dense model has none in its layers.
        config.update(n_routed_experts=None, model_type="deepseek_v3", architectures=["MistralLarge3ForCausalLM"])
    elif experts is not None and experts.get("num_shared_experts"):
        config.update({name: experts.given[old] for old, name in _EXPERTS.items() if old in experts.given})
        config.update(model_type="deepseek_v3", architectures=["MistralLarge3ForCausalLM"])
    elif experts is not None:
        given.refuse("moe", "of a model with shared experts: others are served from a config.json alone")
    yarn = given.inner("yarn")
    if yarn is not None:
        rope = {name: yarn.given[old] for old, name in _YARN.items() if old in yarn.given}
        config["rope_parameters"] = {"rope_type": "yarn", "rope_theta": params.get("rope_theta"), **rope}
    return _senses(given, config)


def _windows(given: Values, config: dict[str, Any]) -> None:
    """Write a window, or a repeated pattern of windows, as layers and their one width."""
    window, layers = given.get("sliding_window"), given.get("n_layers")
    if not window or not isinstance(layers, int):
        return
    pattern = window if isinstance(window, list) else [window]
    widths = {width for width in pattern if width is not None}
    if len(widths) > 1 or layers % len(pattern):
        given.refuse("sliding_window", "one width, or a pattern of one width and null that the layers repeat")
    kinds = ["full_attention" if width is None else "sliding_attention" for width in pattern]
    config["layer_types"] = kinds * (layers // len(pattern))
    config["sliding_window"] = next(iter(widths), None)


def _quantization(given: Values, config: dict[str, Any]) -> None:
    scheme = given.inner("quantization")
    config.pop("quantization", None)
    if scheme is None or not scheme.given:
        return
    method = str(scheme.get("quant_method") or "").lower().replace("_", "-")
    if scheme.get("qformat_weight") == "fp8_e4m3":
        config["quantization_config"] = {"quant_method": "fp8"}
    elif method == "compressed-tensors":
        config["quantization_config"] = {**scheme.given, "quant_method": method}
    else:
        given.refuse("quantization", "fp8_e4m3 or compressed-tensors, which vLLM reads in this layout")


def _senses(given: Values, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with what a multimodal model has beside its language model."""
    beside = given.inner("multimodal")
    vision = given.inner("vision_encoder") or (beside.inner("vision_encoder_args") if beside else None)
    audio = beside.inner("whisper_model_args") if beside else None
    text = {name: value for name, value in config.items() if name not in ("multimodal", "vision_encoder")}
    for name, inner, kind, architecture in (
        ("vision_config", vision, "pixtral", "PixtralForConditionalGeneration"),
        ("audio_config", audio, "voxtral", "VoxtralForConditionalGeneration"),
    ):
        if inner is not None and inner.given:
            shared = {key: text[key] for key in ("quantization_config",) if key in text}
            return {
                "model_type": kind,
                "architectures": [architecture],
                "text_config": text,
                name: dict(inner.given),
                "tie_word_embeddings": text["tie_word_embeddings"],
                **shared,
            }
    return text
