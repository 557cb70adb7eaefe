# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data type that vLLM computes with, and what it refuses of it.

Rules of `config/model.py: _get_and_verify_dtype` and of `platforms/cuda.py: supported_dtypes`. Pure functions; no
Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import quantization
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.quantization import FLOATS, Refusal
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.sizing import Gpu, power

# Model types that are numerically unstable in float16 (`_FLOAT16_NOT_SUPPORTED_MODELS`).
NO_FLOAT16 = ("gemma2", "gemma3", "gemma3_text", "glm4")
BFLOAT16_CAPABILITY = (8, 0)
_NAMES = {"half": "float16", "float": "float32"}
# Endings of architectures that pool, and of those that generate (`_SUFFIX_TO_DEFAULTS`): the first that fits decides.
_GENERATING = ("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel")
_POOLING = ("ForTextEncoding", "Model", "Classification", "ForRewardModeling")
_LEAVE_OUT = "take dtype out of args, so that the plan chooses, or choose a host with newer GPUs"


def dtype_for(args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
    """Return the data type that an instance computes with, and why, if that is not the model's own.

    Without one in args it is what vLLM's `auto` takes: the checkpoint's, or 16 bits for one in float32.
    """
    asked = _asked(args)
    if asked:
        return asked, ""
    supported = _supported(facts, device)
    preferred = "float16" if _pools(args, facts) and "float16" in supported else supported[0]
    own = facts.get("dtype") or "float32"
    chosen = preferred if own == "float32" or own not in supported else own
    taken = quantization.dtypes_of(facts, args)
    if chosen not in taken:
        chosen = next((dtype for dtype in supported if dtype in taken), chosen)
    if own == "bfloat16" and device.capability < BFLOAT16_CAPABILITY:
        why = f"{chosen}: compute capability {power(device)} has no bfloat16"
        unstable = facts.get("model_type") in NO_FLOAT16
        return chosen, f"{why}, and vLLM refuses {facts['model_type']} in float16" if unstable else why
    return chosen, ""


def refusal(facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu) -> Refusal | None:
    """Return why vLLM refuses the data type of an instance on a GPU, and the remedy."""
    asked, kind = _asked(args), facts.get("model_type")
    if asked == "bfloat16" and device.capability < BFLOAT16_CAPABILITY:
        return (
            f"args dtype is bfloat16, which needs compute capability 8.0, {device.name} has {power(device)}",
            _LEAVE_OUT,
        )
    if asked == "float16" and kind in NO_FLOAT16:
        return f"args dtype is float16, in which vLLM refuses {kind} as numerically unstable", _LEAVE_OUT
    dtype, taken = dtype_for(args, facts, device)[0], quantization.dtypes_of(facts, args)
    if dtype in FLOATS and dtype not in taken:
        method = quantization.method_of(facts, args)
        said = f"args dtype is {dtype}" if asked else f"{device.name} leaves {kind} nothing but {dtype}"
        return f"vLLM runs {method} in {' or '.join(taken)}, and {said}", _LEAVE_OUT
    return None


def _asked(args: Mapping[str, Any]) -> str | None:
    asked = str(args.get("dtype") or "auto").lower()
    return None if asked == "auto" else _NAMES.get(asked, asked)


def _supported(facts: Mapping[str, Any], device: Gpu) -> list[str]:
    """Return the data types of a GPU in which vLLM runs a model, the one that it prefers first."""
    dtypes = FLOATS if device.capability >= BFLOAT16_CAPABILITY else FLOATS[1:]
    return [dtype for dtype in dtypes if dtype != "float16" or facts.get("model_type") not in NO_FLOAT16]


def _pools(args: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Check whether vLLM takes a model for one that embeds, classifies or scores."""
    runner = str(args.get("runner") or "auto")
    if runner != "auto":
        return runner == "pooling"
    if str(args.get("convert") or "auto") not in ("auto", "none") or facts.get("encoder_only"):
        return True
    for architecture in facts.get("architectures") or ():
        if architecture.endswith(_GENERATING):
            return False
        if architecture.endswith(_POOLING):
            return True
    return False
