# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vLLM as an engine: what the plan, the checks of the inventory and the wiring ask of one (engines/base.py)."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.shared_memory import ENGINE_SHARED_MIB
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import (
    conformance,
    divisions,
    drafters,
    dtypes,
    extras,
    extremes,
    flags,
    interfaces,
    kernels,
    kv_cache,
    launch,
    log,
    quantization,
    questions,
    sizing,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import Geometry
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import loaded, stage_weight_bytes

CPU_FIELD_FLAGS = ("max-model-len", "max-num-seqs", "stream-interval")
# If a model's args pin one of these flags, the plan has stored it as a field of the instance.
FIELD_FLAGS = (
    "data-parallel-size",
    "dtype",
    "gpu-memory-utilization",
    "kv-cache-dtype",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "pipeline-parallel-size",
    "stream-interval",
    "tensor-parallel-size",
)
# With one of these a model may go beyond its own positions, so that vLLM decides.
STRETCHERS = ("hf-overrides", "hf-config-path")


class Vllm:
    """vLLM, as of the release in roles/vllm/files."""

    name = "vllm"
    title = "vLLM"
    litellm_provider = "hosted_vllm"
    health_path = "/health"
    metrics_path = "/metrics"
    busy_metrics: Mapping[str, str] = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}
    # A prompt is counted when all of it has been read, which may take minutes; the KV cache fills with each chunk.
    progress_metrics: Sequence[str] = (
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
        "vllm:request_success_total",
        "vllm:kv_cache_usage_perc",
    )
    # Those of v1/metrics/loggers.py, and of the middleware prometheus_fastapi_instrumentator that counts answers.
    traffic_metrics: Mapping[str, str] = {
        "requests": "vllm:request_success_total",
        "errors": 'vllm:request_success_total{finished_reason="error"}',
        "aborts": 'vllm:request_success_total{finished_reason="abort"}',
        "failed_answers": 'http_requests_total{method="POST",status="5xx"}',
        "preemptions": "vllm:num_preemptions_total",
        "first_token": "vllm:time_to_first_token_seconds",
        "token": "vllm:inter_token_latency_seconds",
    }
    devices: Sequence[str] = ("cpu", "cuda")
    least_capability = sizing.LEAST_CAPABILITY
    context_share = sizing.CONTEXT_SHARE
    shared_memory_mib = ENGINE_SHARED_MIB
    # API server, engine and worker, each with torch loaded, held 1,475 MiB with vLLM 0.32 and the demo's model: an
    # eighth more must be there, and more than that is planned for activations.
    cpu_least_mib = 1664
    cpu_planned_mib = 2048
    # Its default of max-num-batched-tokens on processors (engine/arg_utils.py).
    cpu_batched_tokens = 2048
    cpu_cache_variable = "VLLM_CPU_KVCACHE_SPACE"
    # Its max-num-seqs on GPUs with less than 70 GiB, its smallest default (engine/arg_utils.py).
    default_sequences = 256
    reserved_args: Mapping[str, str] = {
        "api-key": "it is made by the collection",
        "host": "the listening address follows from the plan",
        "middleware": "leave it out, the engine's own checks its key",
        "model": "use source",
        "port": "the port follows from the plan",
        "revision": "use revision",
        "served-model-name": "use name and aliases",
        "uds": "engines listen on a port",
    }
    auto_context: Mapping[str, Any] = {"max-model-len": "auto"}
    has_torch = True
    can_be_asked = True
    loads = True

    def field_flags(self, device: str) -> Sequence[str]:
        """Return the flags that are fields of an instance."""
        return FIELD_FLAGS if device == "cuda" else CPU_FIELD_FLAGS

    def pinned(self, args: Mapping[str, Any], flag: str) -> int | None:
        """Return the whole number that args pin a flag to, as vLLM's command line reads it."""
        return flags.pinned(args, flag)

    def stretched(self, args: Mapping[str, Any], env: Mapping[str, Any]) -> bool:
        """Check whether a model may exceed the positions of its configuration, so that only vLLM can judge."""
        return any(flag in args for flag in STRETCHERS) or bool(env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN"))

    def serve_defaults(self, device: sizing.Gpu) -> tuple[int, int]:
        """Return vLLM's max-num-batched-tokens and max-num-seqs on a GPU."""
        return sizing.serve_defaults(device)

    def frugal(self) -> tuple[int, int]:
        """Return what is tried where the defaults do not fit."""
        return sizing.FRUGAL_BATCHED_TOKENS, sizing.FRUGAL_SEQUENCES

    def least_tokens(self, facts: Mapping[str, Any], args: Mapping[str, Any]) -> int:
        """Return the fewest tokens of one step with which vLLM starts the model."""
        return sizing.least_tokens(facts, args)

    def dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: sizing.Gpu) -> tuple[str, str]:
        """Return the type that an instance computes with, and why if it is not the model's own."""
        return dtypes.dtype_for(args, facts, device)

    def kv_dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: sizing.Gpu) -> tuple[str, str]:
        """Return the type of the KV cache, and the reason if it is not possible."""
        return sizing.kv_dtype_for(args, facts, device)

    def fp8_kv_cache(self, facts: Mapping[str, Any], device: sizing.Gpu) -> bool:
        """Check whether a model can have a KV cache of 8 bits on a GPU."""
        return not kernels.fp8_refusal(facts, "fp8", device.capability, device.name)

    def layout(self, facts: Mapping[str, Any], **sizes: Any) -> Geometry:
        """Return the geometry of the KV cache."""
        return kv_cache.geometry(facts, **sizes)

    def refusal(
        self, facts: Mapping[str, Any], args: Mapping[str, Any], device: sizing.Gpu | None
    ) -> tuple[str, str] | None:
        """Return why vLLM refuses a model on a kind of GPU, however many there are, and the remedy.

        :param device: null for processors.
        """
        refused = (
            quantization.refusal(facts, args, device)
            or drafters.refusal(facts, args)
            or interfaces.adapters_refusal(facts, args)
        )
        if device is None:
            return refused
        return refused or dtypes.refusal(facts, args, device) or kernels.refusal(facts, device.capability, device.name)

    def division_refusal(
        self, facts: Mapping[str, Any], args: Mapping[str, Any], ranks: int, device: sizing.Gpu | None = None
    ) -> str:
        """Return why vLLM cannot distribute a model over this many ranks; empty where it can."""
        return divisions.refusal(facts, args, ranks, device) or drafters.division_refusal(facts, args, ranks)

    def pipeline_refusal(self, facts: Mapping[str, Any], args: Mapping[str, Any], stages: int) -> str:
        """Return why vLLM cannot spread a model over this many pipeline stages; empty where it can."""
        return interfaces.pipeline_refusal(facts, stages) or drafters.pipeline_refusal(facts, args, stages)

    def drafter(self, args: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return source and revision of the drafter of a model."""
        return drafters.source(args)

    def rank_weight_bytes(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: sizing.Gpu,
        dtype: str,
        division: tuple[int, int, int],
    ) -> int:
        """Return the bytes of weights of one rank."""
        tensor, pipeline, data = division
        whole = loaded(facts, args, dtype)
        alone = divisions.experts_whole(args)
        adapted = flags.switched(args, "enable-lora")
        held = stage_weight_bytes(whole, tensor, pipeline, device.capability, data, alone, adapted)
        held = [own + more for own, more in zip(held, extras.stage_adapter_bytes(facts, args, tensor, pipeline, dtype))]
        held[-1] += extras.drafter_bytes(facts, args, tensor, dtype, pipeline)
        return max(held) - extras.offloaded_bytes(whole, args, max(held))

    def overheads(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: sizing.Gpu,
        layout: Any,
        tensor: int,
        tokens: int,
        sequences: int,
    ) -> Mapping[str, Estimate]:
        """Return the bytes of activations, CUDA graphs and everything else, as estimated from measurements."""
        return sizing.overheads(facts, args, device, layout, tensor, tokens, sequences)

    def sampling(self, facts: Mapping[str, Any], sequences: int) -> int:
        """Return the bytes that sampling takes."""
        return sizing.logits(facts, sequences)

    def parse_log(self, text: str) -> dict[str, Any]:
        """Return what the last start in a log measured."""
        return log.parse(text)

    def launch(self, instance: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an instance is started with, from the service spec that the role writes."""
        return launch.launch(instance, told)

    def question(self, instance: Mapping[str, Any], args: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, Any]:
        """Return how an instance would be started, as the dry start reads it."""
        return questions.question(instance, args, env)

    def answer(self, said: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the dry start said."""
        return questions.answer(said, asked)

    def load(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the requests that bring an instance to its planned extremes."""
        return extremes.loads(limits)

    def conformance(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the checks of what vLLM can do beyond what every engine can."""
        return conformance.checks(limits)

    def ran_out(self, text: str) -> int | None:
        """Return the bytes that were lacking as a log tells; null if memory did not run out."""
        return log.ran_out(text)
