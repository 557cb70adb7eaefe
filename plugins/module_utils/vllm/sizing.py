# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory of a GPU that vLLM needs in addition to the KV cache, and its defaults, which depend on a GPU's memory.

Pure functions; no Ansible, no files, no network. All sizes are bytes of one rank.
"""

from __future__ import annotations

from typing import Any, Mapping, Protocol

from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate, together
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import estimates, kernels
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import text_only

GIB = 1024**3
# Sampling holds the logits of all sequences in fp32 about three times: 1.6 to 4.9 times on an H100 that served 1,024 of
# them (tests/unit/plugins/module_utils/data/measured). What vLLM logs as its peak of activations leaves that out.
LOGITS_COPIES = 3
# One video of Gemma 4 takes so many tokens of a step, and cannot be cut (`_get_min_mm_batched_tokens`).
GEMMA_4_VIDEO_TOKENS = 2496
# vLLM's own defaults: max-num-batched-tokens and max-num-seqs by the memory of a GPU (engine/arg_utils.py).
LARGE_BYTES, VAST_BYTES = 70 * GIB, 160 * GIB
SMALL_DEFAULTS, LARGE_DEFAULTS, VAST_DEFAULTS = (2048, 256), (8192, 1024), (16384, 1024)
# vLLM supports GPUs from this compute capability on.
LEAST_CAPABILITY = (7, 5)
CONTEXT_SHARE = estimates.row(estimates.CONTEXT, (), estimates.ANY).values[0]
# Less than this per step starves long prompts; it is what is tried when a model does not fit with the default.
FRUGAL_BATCHED_TOKENS = 2048
FRUGAL_SEQUENCES = 64


class Gpu(Protocol):
    """The properties of a GPU that the sizes depend on."""

    name: str
    capability: tuple[int, int]
    total: int


def serve_defaults(device: Gpu) -> tuple[int, int]:
    """Return vLLM's defaults of max-num-batched-tokens and max-num-seqs on a GPU."""
    if device.total >= VAST_BYTES:
        return VAST_DEFAULTS
    if device.total >= LARGE_BYTES and not {"A100", "GB10"} & set(device.name.replace("-", " ").split()):
        return LARGE_DEFAULTS
    return SMALL_DEFAULTS


def power(device: Gpu) -> str:
    """Return the compute capability of a GPU as people write it."""
    return ".".join(map(str, device.capability))


def kv_dtype_for(args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
    """Return the dtype of the KV cache, and why there can be none, if so: no attention backend on the card has it."""
    asked = str(args.get("kv-cache-dtype") or "auto")
    declared = facts.get("kv_cache_quantization") if asked == "auto" else None
    return asked, kernels.fp8_refusal(facts, str(declared or asked), device.capability, device.name)


def overheads(
    facts: Mapping[str, Any],
    args: Mapping[str, Any],
    device: Gpu,
    layout: Any,
    tensor: int,
    tokens: int,
    sequences: int,
) -> dict[str, Estimate]:
    """Return activations with sampling and images, CUDA graphs, and other memory, estimated; see `estimates`."""
    kinds, cards = estimates.traits(facts, layout, tensor), estimates.card_class(device.capability)
    step = 2 * tokens * int(facts["hidden_size"])
    sampled = logits(facts, sequences)
    used = [
        estimates.sized(estimates.ACTIVATION, kinds, cards, step, tensor),
        Estimate(sampled, sampled // LOGITS_COPIES, sampled),
    ]
    if facts.get("multimodal") and not text_only(args):
        used.append(estimates.sized(estimates.ENCODER, kinds, cards, tokens))
    graphs = Estimate(0, 0, 0) if args.get("enforce-eager") else estimates.sized(estimates.GRAPHS, kinds, cards)
    other = estimates.sized(estimates.OTHER, kinds, cards)
    return {"activation": together(used), "cuda_graphs": graphs, "other": other}


def least_tokens(facts: Mapping[str, Any], args: Mapping[str, Any]) -> int:
    """Return the fewest tokens of one step with which vLLM starts a model; an image mask does not let items be cut."""
    masked = facts.get("image_prefix") and not text_only(args)
    return GEMMA_4_VIDEO_TOKENS if masked and str(facts.get("model_type")).startswith("gemma4") else 1


def logits(facts: Mapping[str, Any], sequences: int) -> int:
    """Return the bytes that sampling needs for so many sequences at once; encoders do not sample."""
    return 0 if facts.get("encoder_only") else sequences * int(facts["vocab_size"]) * 4 * LOGITS_COPIES
