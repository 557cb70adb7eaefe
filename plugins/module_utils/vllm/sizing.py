# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory of a GPU that vLLM needs in addition to the KV cache, and its defaults, which depend on a GPU's memory.

Pure functions; no Ansible, no files, no network. All sizes are bytes of one rank.
"""

from __future__ import annotations

from typing import Any, Mapping, Protocol

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kernels
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import text_only

GIB = 1024**3
# Activation, CUDA graphs and the rest, as measured with vLLM 0.33 on public logs: 2 x T x hidden x c, c by the width of
# tensor parallelism, dense and mixture of experts; graphs; non-torch growth.
ACTIVATION = {False: {1: 11.0, 2: 6.5, 4: 5.0, 8: 5.0}, True: {1: 22.0, 2: 13.0, 4: 10.0, 8: 10.0}}
# Sampling holds the logits of all sequences in fp32 about three times: 1.6 to 4.9 times on an H100 that served 1,024 of
# them (tests/unit/plugins/module_utils/data/measured). What vLLM logs as its peak of activations leaves that out.
LOGITS_COPIES = 3
GRAPHS = GIB
GRAPHS_LARGE = int(2.5 * GIB)
OTHER = int(0.6 * GIB)
# The vision tower of a multimodal model profiles with its largest image: 9.96 GiB for a 4B model at 16,384 tokens.
ENCODER_PER_TOKEN = GIB // 2048
# That of a hybrid, by major compute capability: a 27B one in fp8 left 41.0 GiB for its cache on an H100 at 0.95 and
# 44.9 GiB on an RTX PRO 6000 at 0.92, both with 8,192 tokens; less is planned than was left. Its kernels there keep
# whole images in memory.
HYBRID_ENCODER_PER_TOKEN = {9: GIB // 8192, 12: GIB * 9 // 10240}
# One video of Gemma 4 takes so many tokens of a step, and cannot be cut (`_get_min_mm_batched_tokens`).
GEMMA_4_VIDEO_TOKENS = 2496
# vLLM's own defaults: max-num-batched-tokens and max-num-seqs by the memory of a GPU (engine/arg_utils.py).
LARGE_BYTES, VAST_BYTES = 70 * GIB, 160 * GIB
SMALL_DEFAULTS, LARGE_DEFAULTS, VAST_DEFAULTS = (2048, 256), (8192, 1024), (16384, 1024)
# vLLM supports GPUs from this compute capability on.
LEAST_CAPABILITY = (7, 5)
# Share of a GPU that CUDA context, NCCL and cuBLAS take before vLLM looks at what is free. vLLM does not charge it to
# gpu-memory-utilization: the highest that starts is about 0.98 on an H100 at TP 4.
CONTEXT_SHARE = 0.02
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


def activation(facts: Mapping[str, Any], tensor_parallel_size: int, batched_tokens: int, sequences: int) -> int:
    """Return the peak of activations in one profiling step, estimated; see the constants above."""
    experts = bool(facts.get("num_experts"))
    table = ACTIVATION[experts]
    factor = table[max(width for width in table if width <= max(1, tensor_parallel_size))]
    step = 2 * batched_tokens * int(facts["hidden_size"]) * factor
    return int(step) + logits(facts, sequences)


def encoder_per_token(capability: tuple[int, int], hybrid: bool) -> int:
    """Return the bytes that encoders for images need for each token of a step, estimated; see the constants above.

    :param hybrid: whether the model has layers with a state.
    """
    return HYBRID_ENCODER_PER_TOKEN.get(capability[0], ENCODER_PER_TOKEN) if hybrid else ENCODER_PER_TOKEN


def least_tokens(facts: Mapping[str, Any], args: Mapping[str, Any]) -> int:
    """Return the fewest tokens of one step with which vLLM starts a model; an image mask does not let items be cut."""
    masked = facts.get("image_prefix") and not text_only(args)
    return GEMMA_4_VIDEO_TOKENS if masked and str(facts.get("model_type")).startswith("gemma4") else 1


def logits(facts: Mapping[str, Any], sequences: int) -> int:
    """Return the bytes that sampling needs for so many sequences at once; encoders do not sample."""
    return 0 if facts.get("encoder_only") else sequences * int(facts["vocab_size"]) * 4 * LOGITS_COPIES
