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
    """Return ``multimodal``, ``image_prefix`` (attention in both directions within images), ``attention_sinks`` and
    ``uncut_parameters``, the numbers in encoders that every tensor-parallel rank holds whole.
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
        "uncut_parameters": _uncut(root) if outer.startswith(_UNCUT) else 0,
    }


def _uncut(root: Values) -> int:
    """Return the numbers in encoders of images and sound: attention and a gated layer of each, and positions."""
    total = 0
    for name in ("vision_config", "audio_config"):
        inner = root.inner(name)
        if inner is None or not inner.given:
            continue
        hidden = inner.integer("hidden_size", most=MOST_WIDTH) or 0
        width = inner.integer("intermediate_size", most=MOST_WIDTH) or 4 * hidden
        layers = inner.integer("num_hidden_layers", most=MOST_LAYERS) or 0
        places = inner.integer("position_embedding_size", most=MOST_WIDTH) or 0
        total += layers * (4 * hidden + 3 * width) * hidden + 2 * places * hidden
    return total
