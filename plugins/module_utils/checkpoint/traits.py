# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Traits of a model on which attention kernels depend: other senses, image masks, attention sinks.

Sources, vLLM 0.32: `is_mm_prefix_lm` of `transformers_utils/model_arch_config_convertor.py`, and its model classes.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import (
    MOST_LAYERS,
    MOST_WIDTH,
    Values,
)

# Keys under which multimodal models have the config of an encoder for images, video or sound.
_OTHER_SENSES = (
    "audio_config",
    "audio_encoder_config",
    "audio_processor",
    "audio_tower_config",
    "embd_layer",
    "encoder_config",
    "image_config",
    "img_processor",
    "mm_vision_tower",
    "sound_config",
    "speech_config",
    "thinker_config",
    "vision_args",
    "vision_cfg",
    "vision_config",
    "vision_encoder",
    "vision_encoder_config",
    "vision_model_config",
    "vision_tower",
    "vision_tower_config",
    "visual",
    "vit_config",
    "vq_config",
)
# Models that attend in both directions within an image, if they have images.
_IMAGE_PREFIX = ("bagel", "gemma3", "molmo2", "moondream3", "paligemma")
_IMAGE_PREFIX_IF_SAID = ("diffusion_gemma", "gemma4")
_SINKS = ("gpt_oss", "mimo_v2")
# Their encoders are those of transformers, which vLLM does not divide.
_UNCUT = ("gemma4",)


def is_multimodal(root: Values) -> bool:
    """Check whether a model takes more than text."""
    return any(root.get(name) not in (None, False, {}, []) for name in _OTHER_SENSES)


def traits(root: Values, text: Values, model_type: str) -> dict[str, Any]:
    """Return ``multimodal``, ``image_prefix`` (attention in both directions within images), ``attention_sinks``,
    ``encoder_parameters``, about the numbers in encoders of images and sound, and ``uncut_parameters``, those of them
    that every tensor-parallel rank holds whole.
    """
    outer = root.text("model_type") or model_type
    senses = is_multimodal(root)
    said = root.get("is_mm_prefix_lm")
    prefix = outer in _IMAGE_PREFIX
    if outer.startswith(_IMAGE_PREFIX_IF_SAID):
        prefix = text.get("use_bidirectional_attention") == "vision"
    if isinstance(said, bool):
        prefix = said
    sinks = text.get("attention_sinks")
    return {
        "multimodal": senses,
        "image_prefix": senses and prefix,
        "attention_sinks": sinks if isinstance(sinks, bool) else model_type.startswith(_SINKS),
        "encoder_parameters": _encoders(root, outer.startswith(_UNCUT)),
        "uncut_parameters": _encoders(root, gated=True) if outer.startswith(_UNCUT) else 0,
    }


def _encoders(root: Values, gated: bool) -> int:
    """Return the numbers in encoders of images and sound: attention and a feed-forward layer of each, positions, and
    what merges neighbours (`Qwen3_VisionPatchMerger`).

    :param gated: whether the feed-forward layers have a gate, whatever their activation.
    """
    total = 0
    for name in ("vision_config", "audio_config"):
        inner = root.inner(name)
        if inner is None or not inner.given:
            continue
        hidden = inner.integer("hidden_size", most=MOST_WIDTH) or 0
        width = inner.integer("intermediate_size", most=MOST_WIDTH) or 4 * hidden
        layers = inner.integer("num_hidden_layers", "depth", most=MOST_LAYERS) or 0
        places = inner.integer("position_embedding_size", most=MOST_WIDTH) or 0
        has_gate = inner.text("hidden_act") == "silu" or inner.text("model_type") == "pixtral"
        matrices = 3 if gated or has_gate else 2
        total += layers * (4 * hidden + matrices * width) * hidden + 2 * places * hidden
        total += _merged(inner, hidden)
    return total


def _merged(inner: Values, hidden: int) -> int:
    """Return the numbers in what merges neighbouring patches, at the end and at some layers before it."""
    output = inner.integer("out_hidden_size", most=MOST_WIDTH)
    side = inner.integer("spatial_merge_size", most=MOST_LAYERS)
    if not output or not side:
        return 0
    apart = inner.get("deepstack_visual_indexes")
    number = 1 + (len(apart) if isinstance(apart, list) else 0)
    wide = hidden * side * side
    return number * wide * (wide + output)
