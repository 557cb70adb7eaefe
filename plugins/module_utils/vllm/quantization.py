# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which quantisations vLLM has, and which models, cards and data types it refuses because of them.

Rules of the pinned release (`model_executor/layers/quantization/`, `config/vllm.py:
_get_quantization_config`, `config/model.py: _verify_quantization`). Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Tuple

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import nearest, shown
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import PINNED
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.sizing import Gpu, power

RELEASE = ".".join(map(str, PINNED))

Refusal = Tuple[str, str]
"""Why something is refused, and the remedy."""

HALVES = ("bfloat16", "float16")
FLOATS = (*HALVES, "float32")


class Method(NamedTuple):
    """A quantisation method of vLLM."""

    capability: tuple[int, int] = (7, 5)
    """The least compute capability (`get_min_capability`)."""
    dtypes: tuple[str, ...] = HALVES
    """What it computes in (`get_supported_act_dtypes`)."""
    deprecated: bool = False


AMPERE = (8, 0)
METHODS: Mapping[str, Method] = {
    "auto_awq": Method(),
    "auto_gptq": Method(),
    "awq": Method(),
    "awq_marlin": Method(),
    "compressed-tensors": Method(dtypes=FLOATS),
    "experts_int8": Method(AMPERE),
    "fbgemm_fp8": Method(AMPERE, deprecated=True),
    "fp8": Method(),
    "fp_quant": Method((10, 0), ("bfloat16",), deprecated=True),
    "gpt_oss_mxfp4": Method(AMPERE, ("bfloat16",)),
    "gptq": Method(),
    "gptq_marlin": Method(),
    "humming": Method(),
    "inc": Method(),
    "modelopt": Method(AMPERE),
    "modelopt_fp4": Method(),
    "modelopt_mixed": Method(),
    "modelopt_mxfp8": Method(AMPERE, ("bfloat16",)),
    "moe_wna16": Method(),
    "mxfp4": Method(AMPERE, ("bfloat16",)),
    "mxfp8": Method(AMPERE, ("bfloat16",)),
    "quark": Method(),
    "torchao": Method(dtypes=FLOATS),
}
# Bits of a weight and whether all linear layers are quantised, or experts alone (`_ONLINE_SHORTHANDS`), by what args
# quantization says of a checkpoint that is not quantised. fp8 is an older name of fp8_per_tensor.
AT_LOAD: Mapping[str, tuple[float, bool]] = {
    "experts_int8": (8, False),
    "fp8": (8, True),
    "fp8_per_block": (8, True),
    "fp8_per_channel": (8, True),
    "fp8_per_tensor": (8, True),
    "int8_per_channel_weight_only": (8, False),
    "mxfp4": (4.25, True),
    "mxfp8": (8.25, True),
    "nvfp4_per_token": (4.5, False),
}
# The only card family with kernels for it (`online/nvfp4.py`).
_BLACKWELL_ONLY = "nvfp4_per_token"
# One method under several names, which args may use for each other (`override_quantization_method`).
_FAMILIES = (
    ("gptq", "auto_gptq", "gptq_marlin", "marlin"),
    ("awq", "auto_awq", "awq_marlin", "marlin"),
    ("mxfp4", "gpt_oss_mxfp4"),
    ("mxfp8", "modelopt_mxfp8"),
    ("inc", "auto-round"),
)
# Methods that take checkpoints of others on request.
_TAKES_OTHERS = ("humming", "moe_wna16", "online")
# Bits for which there are kernels, and methods whose values are symmetric (`TYPE_MAP`).
_SYMMETRIC = ("gptq", "auto_gptq", "gptq_marlin")
_BITS = {**dict.fromkeys(_SYMMETRIC, (4, 8)), **dict.fromkeys(("awq", "auto_awq", "awq_marlin"), (4,))}
# Methods of common variants, which a remedy names where the card or the processor runs them.
_COMMON = ("awq", "gptq", "fp8", "compressed-tensors", "mxfp4")
# Methods without a kernel on any processor (`_POSSIBLE_*_KERNELS` of `kernels/linear`, `fused_moe/oracle`).
_FOR_CARDS = ("modelopt_fp4", "modelopt_mxfp8", "mxfp8")
_ON_PROCESSORS = ("awq", "gptq", "compressed-tensors")


def at_load(facts: Mapping[str, Any], args: Mapping[str, Any]) -> str | None:
    """Return how vLLM quantises a model while it loads it, as a key of `AT_LOAD`; null where it does not."""
    asked = args.get("quantization")
    if facts.get("quantization") or not asked:
        return None
    return str(asked) if asked in AT_LOAD else None


def method_of(facts: Mapping[str, Any], args: Mapping[str, Any]) -> str | None:
    """Return the method that vLLM runs a model with, by its own or its checkpoint's name; null for none."""
    own = facts.get("quantization")
    asked = args.get("quantization")
    if own == "auto-round":
        own = "inc"
    if asked in _TAKES_OTHERS[:2] or not own:
        return str(asked) if asked else None
    return str(own)


def dtypes_of(facts: Mapping[str, Any], args: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the data types that the method of a model computes in; all without one."""
    method = method_of(facts, args)
    if method is None:
        return FLOATS
    if at_load(facts, args):
        return HALVES
    return METHODS[method].dtypes if method in METHODS else FLOATS


def refusal(facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu | None) -> Refusal | None:
    """Return why vLLM refuses a model's quantisation, on this kind of GPU or on every one, and the remedy.

    :param device: null for processors; which of them has a kernel for bits, groups or blocks is not known.
    """
    method = method_of(facts, args)
    if method is None:
        return None
    refused = _unknown(method, facts, args, device)
    if not refused and device is None and method in _FOR_CARDS:
        refused = f"vLLM {RELEASE} has no kernel for {method} on processors", _instead(device)
    if refused or device is None:
        return refused
    return _unsupported(method, facts, device) or _too_old(method, facts, args, device)


def _instead(device: Gpu | None) -> str:
    """Return what to choose instead of a variant that vLLM cannot read."""
    if device is None:
        known, whole = list(_ON_PROCESSORS), ""
    else:
        known = [name for name in _COMMON if device.capability >= METHODS[name].capability]
        whole = " and args {quantization: fp8_per_tensor}"
    return f"choose a variant in {', '.join(known[:-1])} or {known[-1]}, or the model without quantisation{whole}"


def _unknown(method: str, facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu | None) -> Refusal | None:
    own, asked = facts.get("quantization"), args.get("quantization")
    if not own:
        if method in AT_LOAD or method in ("online", "humming", "torchao"):
            return None
        text = f"args quantization is {shown(asked)}, and the checkpoint is not quantised"
        if method in METHODS:
            return text, "leave it out, or take a checkpoint in that format"
        return f"{text}: vLLM {RELEASE} does not know it", nearest(method, AT_LOAD)
    if method not in METHODS:
        return f"vLLM {RELEASE} has no quantisation {method}, in which the checkpoint is stored", _instead(device)
    if METHODS[method].deprecated and not args.get("allow-deprecated-quantization"):
        text = f"vLLM {RELEASE} runs {method} only on request, as it is deprecated"
        return text, "set args {allow-deprecated-quantization: true}, or choose another variant"
    if asked and asked not in _TAKES_OTHERS and asked != own and not _same(str(asked), str(own)):
        text = f"args quantization is {shown(asked)}, and the checkpoint is stored in {own}: vLLM takes no other"
        return text, "leave it out, so that the checkpoint decides"
    return None


def _same(asked: str, own: str) -> bool:
    return any(asked in family and own in family for family in _FAMILIES)


def _unsupported(method: str, facts: Mapping[str, Any], device: Gpu) -> Refusal | None:
    """Return why no kernel reads what a checkpoint stores."""
    for entry in facts.get("quantization_sets") or ():
        bits, known = entry.get("bits"), _BITS.get(method)
        if known and bits is not None and bits not in known:
            said = " or ".join(map(str, known))
            return f"vLLM {RELEASE} reads {method} with {said} bits, the checkpoint has {bits}", _instead(device)
        if method in _SYMMETRIC and entry.get("symmetric") is False:
            return f"vLLM {RELEASE} reads {method} with symmetric values, those of the checkpoint are not", _instead(
                device
            )
    return None


def _too_old(method: str, facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu) -> Refusal | None:
    least = METHODS[method].capability if method in METHODS else Method().capability
    if method in AT_LOAD and at_load(facts, args) and method != "experts_int8":
        # Schemes of quantisation at load share one class, which runs from 7.5 on.
        least = Method().capability
    for entry in facts.get("quantization_sets") or ():
        least = max(least, _least_of_set(method, entry))
    named = f"{device.name} has {power(device)}"
    if method == _BLACKWELL_ONLY and device.capability[0] != 10:
        return (
            f"{method} needs compute capability 10, {named}",
            "choose a host with newer GPUs, or another quantisation",
        )
    if device.capability >= least:
        return None
    text = f"{method} needs compute capability {'.'.join(map(str, least))}, {named}"
    return text, "choose a host with newer GPUs, or a variant of the model that these can run"


def _least_of_set(method: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return the least compute capability of a scheme of compressed-tensors (its `get_min_capability`)."""
    if method == "compressed-tensors" and entry.get("bits") == 4:
        activations = entry.get("activations")
        if entry.get("kind") == "int" and activations == "fp8":
            return (9, 0)
        if entry.get("kind") == "float" and entry.get("group") == 32:
            return AMPERE
    return Method().capability
