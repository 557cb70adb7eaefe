# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one instance of a model takes of each of its GPUs, beside the KV cache, and how many bytes of that it needs.

Pure functions; no Ansible, no files, no network. All sizes are bytes of one rank.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.models import stretched, whole
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import GIB, Device
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import shown
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kv_cache

# A model without wishes is served with at least this context, or all it has: fewer GPUs for a context of which nobody
# could say what it is good for would be no saving.
LEAST_CONTEXT = 8192
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
# vLLM's own defaults: max-num-batched-tokens and max-num-seqs by the memory of a GPU (engine/arg_utils.py).
LARGE_BYTES, VAST_BYTES = 70 * GIB, 160 * GIB
SMALL_DEFAULTS, LARGE_DEFAULTS, VAST_DEFAULTS = (2048, 256), (8192, 1024), (16384, 1024)
# From here on GPUs compute with fp8.
FP8_KV_CAPABILITY = (8, 9)
# Less than this per step starves long prompts; it is what is tried when a model does not fit with the default.
FRUGAL_BATCHED_TOKENS = 2048
FRUGAL_SEQUENCES = 64
# Whole numbers as vLLM's command line takes them: 16k is 16,000, 16K is 16,384; a fraction goes with the former alone.
READABLE = re.compile(r"(\d+(?:\.\d+)?)([kmgt])|(\d+)([KMGT])")
# Flags that are whole numbers.
NUMBERS = (
    "block-size",
    "data-parallel-size",
    "kv-cache-memory-bytes",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "pipeline-parallel-size",
    "tensor-parallel-size",
)


def pinned(model: dict[str, Any], flag: str) -> int | None:
    """Return the whole number above 0 that a model's args pin a flag to; null for none, and for what is no number."""
    value = model["args"].get(flag)
    match = READABLE.fullmatch(str(value))
    if not match:
        return whole(value)
    decimal, small, binary, large = match.groups()
    if small:
        return int(Fraction(decimal) * 1000 ** ("kmgt".index(small) + 1)) or None
    return int(binary) * 1024 ** ("KMGT".index(large) + 1) or None


def pinned_share(model: dict[str, Any]) -> float | None:
    """Return the share of a GPU that a model's args pin by gpu-memory-utilization; null for none."""
    try:
        share = float(model["args"]["gpu-memory-utilization"])
    except (KeyError, TypeError, ValueError):
        return None
    return share if 0 < share <= 1 else None


def serve_defaults(device: Device) -> tuple[int, int]:
    """Return vLLM's defaults of max-num-batched-tokens and max-num-seqs on a GPU."""
    if device.total >= VAST_BYTES:
        return VAST_DEFAULTS
    if device.total >= LARGE_BYTES and not {"A100", "GB10"} & set(device.name.replace("-", " ").split()):
        return LARGE_DEFAULTS
    return SMALL_DEFAULTS


def dtype_for(model: dict[str, Any], facts: dict[str, Any], device: Device) -> tuple[str, str]:
    """Return the dtype that an instance computes with, and why, if that is not the model's own."""
    pinned = model["args"].get("dtype")
    own = facts.get("dtype") or "float16"
    own = "float16" if own == "float32" else own
    if pinned and pinned != "auto":
        return str({"half": "float16"}.get(pinned, pinned)), ""
    if own == "bfloat16" and device.capability < (8, 0):
        power = ".".join(map(str, device.capability))
        return "float16", f"float16: compute capability {power} has no bfloat16"
    return own, ""


def kv_dtype_for(model: dict[str, Any], device: Device) -> tuple[str, str]:
    """Return the dtype of the KV cache, and why it cannot be, if it cannot."""
    asked = str(model["args"].get("kv-cache-dtype") or "auto")
    if asked.startswith("fp8") and device.capability < FP8_KV_CAPABILITY:
        power = ".".join(map(str, device.capability))
        return asked, f"an fp8 KV cache needs compute capability 8.9, {device.name} has {power}"
    return asked, ""


class Shape:
    """One way to run a model: on how many GPUs, with which batch; and what it takes of each GPU by that."""

    def __init__(
        self,
        model: dict[str, Any],
        device: Device,
        parallel: tuple[int, int, int],
        batched_tokens: int,
        sequences: int,
        overheads: list[dict[str, Any]],
    ) -> None:
        facts = model["facts"]
        self.model = model
        self.tensor, self.pipeline, self.data = parallel
        self.batched_tokens, self.sequences = batched_tokens, sequences
        self.dtype, self.dtype_reason = dtype_for(model, facts, device)
        self.kv_dtype, self.refusal = kv_dtype_for(model, device)
        self.width = self.tensor * self.pipeline * self.data
        self.geometry = kv_cache.geometry(
            facts,
            tensor_parallel_size=self.tensor,
            pipeline_parallel_size=self.pipeline,
            dtype=self.dtype,
            kv_cache_dtype=self.kv_dtype,
            block_size=pinned(model, "block-size"),
            max_num_batched_tokens=batched_tokens,
            compute_capability=".".join(map(str, device.capability)),
        )
        self.weights = kv_cache.rank_weight_bytes(facts, self.tensor, self.pipeline)
        self.activation = activation(facts, self.tensor, batched_tokens, sequences)
        eager = bool(model["args"].get("enforce-eager"))
        self.cuda_graphs = 0 if eager else GRAPHS_LARGE if self.geometry.limits_sequences or self.tensor > 1 else GRAPHS
        self.other = OTHER
        self.least = math.ceil((pinned_share(model) or 0) * device.total)
        """Bytes that vLLM asks for in any case, as gpu-memory-utilization is pinned."""
        self.measured = self._measured(device, overheads)

    def _measured(self, device: Device, overheads: list[dict[str, Any]]) -> str:
        key = overhead_key(self.model, device.name, self)
        for entry in overheads:
            if all(entry.get(name) == value for name, value in key.items()):
                for part in ("weights", "activation", "cuda_graphs", "other"):
                    if entry.get(part) is not None:
                        setattr(self, part, int(entry[part]))
                self.activation = max(self.activation, logits(self.model["facts"], self.sequences))
                return str(entry.get("measured_on") or "an earlier start")
        return ""

    @property
    def fixed(self) -> int:
        """Return the bytes of each GPU that are no KV cache."""
        return self.weights + self.activation + self.cuda_graphs + self.other

    def held(self, kv: int) -> int:
        """Return the bytes of each GPU that vLLM counts as its own, with so much KV cache."""
        return max(self.fixed + kv, self.least)

    def kv_bytes(self, length: int, concurrency: int) -> int:
        """Return the bytes of KV cache with which so many requests of that length run at once."""
        if not self.model["facts"]["layers"]:
            return 0
        blocks = self.geometry.blocks_for(length) * concurrency + 1
        return int(blocks * self.geometry.bytes_per_block)

    def longest(self, kv: int, most: int, concurrency: int) -> int:
        """Return the longest context with which so many requests run at once in so much KV cache; 0 for none."""
        if concurrency == 1:
            return int(self.geometry.longest(kv, most))
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.kv_bytes(middle, concurrency) <= kv:
                low = middle
            else:
                high = middle - 1
        return low


def overhead_key(model: dict[str, Any], product_name: str, shape: Shape) -> dict[str, Any]:
    """Return by what a measurement is found again: the same model, GPU and flags that move memory."""
    return {
        "source": model["source"],
        "revision": model["revision"],
        "product_name": product_name,
        "tensor_parallel_size": shape.tensor,
        "pipeline_parallel_size": shape.pipeline,
        "dtype": shape.dtype,
        "max_num_batched_tokens": shape.batched_tokens,
        "max_num_seqs": shape.sequences,
    }


def activation(facts: dict[str, Any], tensor_parallel_size: int, batched_tokens: int, sequences: int) -> int:
    """Return the peak of activations in one profiling step, estimated; see the constants above."""
    experts = bool(facts.get("num_experts"))
    table = ACTIVATION[experts]
    factor = table[max(width for width in table if width <= max(1, tensor_parallel_size))]
    step = 2 * batched_tokens * int(facts["hidden_size"]) * factor
    encoder = batched_tokens * ENCODER_PER_TOKEN if facts.get("multimodal") else 0
    return int(step) + logits(facts, sequences) + encoder


def logits(facts: dict[str, Any], sequences: int) -> int:
    """Return the bytes that sampling needs for so many sequences at once; encoders do not sample."""
    return 0 if facts.get("encoder_only") else sequences * int(facts["vocab_size"]) * 4 * LOGITS_COPIES


def positions(model: dict[str, Any]) -> int:
    """Return the longest context in tokens that a model is made for."""
    most = int(model["facts"]["max_position_embeddings"])
    return min(most, int(model["max_positions"])) if model.get("max_positions") else most


def unservable(model: dict[str, Any]) -> tuple[str, str] | None:
    """Return which wish of a model no GPU can meet, and the remedy; null if there is none."""
    args = model["args"]
    for flag in NUMBERS:
        if args.get(flag) is not None and pinned(model, flag) is None and str(args[flag]) not in ("auto", "-1"):
            return f"args {flag} is {shown(args[flag])}", "write a whole number above 0, or leave it out"
    share = args.get("gpu-memory-utilization")
    if share is not None and pinned_share(model) is None:
        return f"args gpu-memory-utilization is {shown(share)}", "write a number above 0, up to 1, or leave it out"
    most, least = positions(model), asked_context(model)[0]
    if least > most and not stretched(args, model["env"]):
        text = f"it is asked for context {least}, and {model['source']} has {most} positions"
        return text, f"ask for {most} or fewer, write auto, or stretch the model with args hf-overrides"
    return None


def asked_context(model: dict[str, Any]) -> tuple[int, int]:
    """Return the least and the most context in tokens that a model may be given."""
    most = positions(model)
    context = pinned(model, "max-model-len") or model["context"]
    if isinstance(context, dict):
        return int(context["min"]), max(most, int(context["min"]))
    if context == "auto":
        return min(most, LEAST_CONTEXT), most
    return int(context), int(context)


def asked_concurrency(model: dict[str, Any]) -> int:
    """Return how many requests one replica is to serve at once at its full context: its share, rounded up."""
    return -(-int(model["concurrency"] or 1) // int(model["replicas"]))
