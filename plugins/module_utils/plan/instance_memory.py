# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory that one instance of a model needs on each of its GPUs, in addition to the KV cache, and for the KV cache.

Pure functions; no Ansible, no files, no network. All sizes are bytes of one rank.
"""

from __future__ import annotations

import math
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils import estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answered_layout import corrected
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers, key_of
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import shown

# A model without a requested context gets at least this one, or its maximum. Fewer GPUs with a useless context would be
# no saving.
LEAST_CONTEXT = 8192
# Parts of an instance's memory that are estimated until a start has measured them.
ESTIMATED = ("activation", "cuda_graphs", "other")
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
    return registry.of(model).pinned(model["args"], flag)


def pinned_share(model: dict[str, Any]) -> float | None:
    """Return the share of a GPU that a model's args pin by gpu-memory-utilization; null for none."""
    try:
        share = float(model["args"]["gpu-memory-utilization"])
    except (KeyError, TypeError, ValueError):
        return None
    return share if 0 < share <= 1 else None


def context_bytes(record: Mapping[str, Any], total: int) -> int:
    """Return the bytes of a GPU that an instance takes in addition to what its engine counts: its CUDA context.

    :param record: a model or an instance.
    :param total: bytes of the GPU.
    """
    return int(total * registry.of(record).context_share)


class Shape:
    """One way to run a model: the number of GPUs, the batch, and the memory of each GPU that this needs."""

    def __init__(
        self,
        model: dict[str, Any],
        device: Device,
        parallel: tuple[int, int, int],
        batched_tokens: int,
        sequences: int,
        overheads: list[dict[str, Any]],
        answers: Answers | None = None,
    ) -> None:
        facts = model["facts"]
        self.model = model
        self.tensor, self.pipeline, self.data = parallel
        self.batched_tokens, self.sequences = batched_tokens, sequences
        engine = registry.of(model)
        self.dtype, self.dtype_reason = engine.dtype(model["args"], facts, device)
        self.kv_dtype, self.refusal = engine.kv_dtype(model["args"], facts, device)
        self.width = self.tensor * self.pipeline * self.data
        self.geometry = engine.layout(
            facts,
            tensor_parallel_size=self.tensor,
            pipeline_parallel_size=self.pipeline,
            dtype=self.dtype,
            kv_cache_dtype=self.kv_dtype,
            block_size=pinned(model, "block-size"),
            max_num_batched_tokens=batched_tokens,
            compute_capability=".".join(map(str, device.capability)),
            args=model["args"],
        )
        self.weights = engine.rank_weight_bytes(facts, model["args"], device, self.dtype, parallel)
        self.estimates = dict(
            engine.overheads(facts, model["args"], device, self.geometry, self.tensor, batched_tokens, sequences)
        )
        self.activation, self.cuda_graphs, self.other = (self.estimates[part].planned for part in ESTIMATED)
        self.refused = self._answered(device, answers or Answers())
        """What the engine answered if it refuses this."""
        self.least = math.ceil((pinned_share(model) or 0) * device.total)
        """Bytes that the engine asks for in any case, as gpu-memory-utilization is pinned."""
        self.measured = self._measured(device, overheads)
        self.margin = estimate.margin(self.estimates.values())
        """Bytes by which what is estimated may exceed its plan."""

    def _answered(self, device: Device, answers: Answers) -> Mapping[str, Any] | None:
        """Take the engine's own figures where it was asked; return its refusal of the context that is asked for."""
        if not answers:
            return None
        sizes = {
            "tensor_parallel_size": self.tensor,
            "pipeline_parallel_size": self.pipeline,
            "data_parallel_size": self.data,
            "dtype": self.dtype,
            "kv_cache_dtype": self.kv_dtype,
            "max_num_batched_tokens": self.batched_tokens,
        }
        wanted = key_of(self.model, "cuda", device.name, sizes, answers.release(self.model))
        figures = answers.figures(wanted)
        if figures:
            self.weights = int(figures["weights"])
            self.geometry = corrected(self.geometry, figures)
        return answers.refused(wanted, asked_context(self.model)[1])

    def _measured(self, device: Device, overheads: list[dict[str, Any]]) -> str:
        key = overhead_key(self.model, device.name, self)
        for entry in overheads:
            # Earlier versions did not note the quantisation.
            noted = {"quantization": key["quantization"], **entry}
            if self.geometry.limits_sequences and int(noted.get("max_num_seqs") or 0) < self.sequences:
                # The plan gave that instance no more sequences than it had blocks.
                noted["max_num_seqs"] = self.sequences
            if all(noted.get(name) == value for name, value in key.items()):
                self._take(entry)
                return str(entry.get("measured_on") or "an earlier start")
        return ""

    def _take(self, entry: dict[str, Any]) -> None:
        """Take the sizes that a start measured instead of the estimates."""
        engine = registry.of(self.model)
        if entry.get("weights") is not None:
            self.weights = int(entry["weights"])
        for part in ESTIMATED:
            if entry.get(part) is not None:
                self.estimates[part] = estimate.exact(int(entry[part]), part, str(entry.get("measured_on") or ""))
        proof = entry.get("proof") or {}
        if proof.get("short"):
            # It ran out of memory with this much less beside the KV cache.
            more = self.estimates["other"].planned + int(proof["short"])
            self.estimates["other"] = estimate.exact(more, "other memory", str(entry.get("measured_on") or ""))
        # The peak that an engine logs may not include sampling, so both may be there at once.
        logged, sampling = self.estimates["activation"], engine.sampling(self.model["facts"], self.sequences)
        if entry.get("activation") is not None:
            self.estimates["activation"] = logged._replace(
                planned=max(logged.planned, sampling), high=logged.high + sampling
            )
        if proof.get("used") and not proof.get("left_out"):
            self._take_loaded(proof, entry)
        self.activation, self.cuda_graphs, self.other = (self.estimates[part].planned for part in ESTIMATED)

    def _take_loaded(self, proof: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        """Take what was in use on a GPU after the load to all extremes: it is all that there is beside weights, KV
        cache and context, so that only the sum matters.
        """
        beside = int(proof["used"]) - int(proof["kv_cache"]) - self.weights
        beside -= context_bytes(self.model, int(proof["total"]))
        parts = [self.estimates[part].planned for part in ("cuda_graphs", "other")]
        source = str(entry.get("measured_on") or "")
        self.estimates = {part: estimate.exact(size, part, source) for part, size in zip(ESTIMATED[1:], parts)}
        self.estimates["activation"] = estimate.exact(max(0, beside - sum(parts)), "activation", source)

    @property
    def fixed(self) -> int:
        """Return the bytes of each GPU that are no KV cache."""
        return self.weights + self.activation + self.cuda_graphs + self.other

    def held(self, kv: int) -> int:
        """Return the bytes of each GPU that the engine counts as its own, with so much KV cache."""
        return max(self.fixed + kv, self.least)

    def budget(self, kv: int) -> int:
        """Return the bytes of each GPU that it may come to: what the engine counts as its own, and the margin."""
        return max(self.fixed + self.margin + kv, self.least)

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


def quantization(model: dict[str, Any]) -> str | None:
    """Return how the weights of a model are quantised: in its files, or by its args while they are loaded."""
    method = model["facts"].get("quantization") or model["args"].get("quantization")
    return None if method is None else str(method)


def overhead_key(model: dict[str, Any], product_name: str, shape: Shape) -> dict[str, Any]:
    """Return the key of a measurement: the same model, GPU and flags that affect memory."""
    return {
        "source": model["source"],
        "revision": model["revision"],
        "product_name": product_name,
        "tensor_parallel_size": shape.tensor,
        "pipeline_parallel_size": shape.pipeline,
        "dtype": shape.dtype,
        "quantization": quantization(model),
        "max_num_batched_tokens": shape.batched_tokens,
        "max_num_seqs": shape.sequences,
    }


def positions(model: dict[str, Any], asked: bool = False) -> int:
    """Return the longest context in tokens that a model takes unasked, or the longest that it takes when asked for it.

    They differ for LongRoPE, which serves its original length unless a longer one is asked for.
    """
    facts = model["facts"]
    most = int(facts["max_position_embeddings"])
    if asked:
        most = max(most, int(facts.get("max_model_len_limit") or 0))
    return min(most, int(model["max_positions"])) if model.get("max_positions") else most


def unservable(model: dict[str, Any]) -> tuple[str, str] | None:
    """Return the request of a model that no GPU can satisfy, and the remedy; null if there is none."""
    args = model["args"]
    for flag in NUMBERS:
        if args.get(flag) is not None and pinned(model, flag) is None and str(args[flag]) not in ("auto", "-1"):
            return f"args {flag} is {shown(args[flag])}", "write a whole number above 0, or leave it out"
    share = args.get("gpu-memory-utilization")
    if share is not None and pinned_share(model) is None:
        return f"args gpu-memory-utilization is {shown(share)}", "write a number above 0, up to 1, or leave it out"
    most, least = positions(model, asked=True), asked_context(model)[0]
    if least > most and not registry.of(model).stretched(args, model["env"]):
        text = f"it is asked for context {least}, and {model['source']} has {most} positions"
        return text, f"ask for {most} or fewer, write auto, or stretch the model with args hf-overrides"
    return None


def asked_context(model: dict[str, Any]) -> tuple[int, int]:
    """Return the minimum and maximum context in tokens for a model."""
    most = positions(model)
    context = pinned(model, "max-model-len") or model["context"]
    if isinstance(context, dict):
        least = int(context["min"])
        # Whoever asks for more than the model gives unasked gets what else fits too.
        return least, max(positions(model, asked=least > most), least)
    if context == "auto":
        return min(most, LEAST_CONTEXT), most
    return int(context), int(context)


def asked_concurrency(model: dict[str, Any]) -> int:
    """Return the number of parallel requests of full context for one replica: its share, rounded up."""
    return -(-int(model["concurrency"] or 1) // int(model["replicas"]))
