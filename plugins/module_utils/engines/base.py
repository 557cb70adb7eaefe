# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of an engine: a program that serves one model over OpenAI's API.

The plan, the checks of the inventory and the wiring know engines by this protocol alone. Everything that is true of one
engine stands in its own package (`vllm/`), or in a file from outside (docs/contributing/add-an-engine.md).
"""

from __future__ import annotations

from typing import Any, Mapping, Protocol, Sequence, runtime_checkable

from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate


class Gpu(Protocol):
    """Facts of a GPU for an engine that runs on it."""

    name: str
    capability: tuple[int, int]
    total: int
    """Bytes of memory."""


class Layout(Protocol):
    """Layout of an engine's KV cache for a model; lengths are in tokens, sizes in bytes."""

    @property
    def block_size(self) -> int:
        """Tokens of a block."""

    @property
    def bytes_per_block(self) -> int:
        """Bytes of one block on one GPU."""

    @property
    def limits_sequences(self) -> bool:
        """Whether no more sequences than blocks may run at once."""

    def blocks_for(self, length: int) -> int:
        """Return the blocks that one request of this length takes."""

    def num_blocks(self, available: int) -> int:
        """Return the blocks that this much memory holds."""

    def fits(self, available: int, length: int) -> bool:
        """Check whether the engine starts with this much memory and this context."""

    def longest(self, available: int, limit: int) -> int:
        """Return the longest context up to the limit that fits; 0 for none."""

    def capacity(self, available: int, length: int) -> dict[str, Any]:
        """Return ``kv_cache_blocks``, ``kv_cache_tokens`` and ``max_concurrency``."""


@runtime_checkable
class Engine(Protocol):
    """An engine. Flags go by the names that vLLM gives them; an engine with other names translates in ``pinned``."""

    name: str
    """How an instance names it; its services are ``<name>-<instance>``."""
    title: str
    """How people call it."""
    litellm_provider: str
    """The provider by which LiteLLM speaks to it."""
    health_path: str
    """Path that answers 200 once the engine serves."""
    metrics_path: str
    """Path of its Prometheus metrics."""
    busy_metrics: Mapping[str, str]
    """Names of the metrics with the requests that it computes (``running``) and that wait in it (``waiting``); empty
    where it does not tell."""
    progress_metrics: Sequence[str]
    """Names of metrics of which at least one changes in every few seconds in which it computes, also while it reads a
    long prompt; empty where there are none. An engine with requests whose values all stay the same stands still."""
    traffic_metrics: Mapping[str, str]
    """Metrics with what it has counted since it started, as Prometheus names them with labels: ``requests`` that ended
    and, of these, ``errors`` and ``aborts``; ``failed_answers``, those of its API with status 5xx; ``preemptions``; and
    the histograms ``first_token`` and ``token``, in seconds. Empty where it does not tell."""
    devices: Sequence[str]
    """The devices that it supports, out of ``cpu`` and ``cuda``."""
    least_capability: tuple[int, int]
    """The lowest compute capability of GPUs that it supports."""
    context_share: float
    """Share of a GPU that an instance takes in addition to what the engine counts as its own."""
    shared_memory_mib: int
    """MiB of /dev/shm that one instance needs."""
    cpu_least_mib: int
    """MiB that must be there for an instance on processors, without weights and KV cache."""
    cpu_planned_mib: int
    """MiB that are planned for an instance on processors, without weights and KV cache."""
    cpu_batched_tokens: int
    """Tokens of one step on processors where nothing else is asked for."""
    cpu_cache_variable: str
    """Environment variable that gives the GiB of KV cache on processors; empty for none."""
    default_sequences: int
    """Requests computed at once where nothing else is asked for."""
    reserved_args: Mapping[str, str]
    """Flags that the collection sets itself, and what sets them."""
    auto_context: Mapping[str, Any]
    """Flags that leave the context to the engine."""
    loads: bool
    """Whether its first start is loaded to the planned extremes, over OpenAI's API (`load` gives the requests)."""
    has_torch: bool
    """Whether its Python has torch, with which the doctor tries GPUs and groups of them."""

    can_be_asked: bool
    """Whether its role has a program that answers how an instance would start, as `question` and `answer` say."""

    def field_flags(self, device: str) -> Sequence[str]:
        """Return the flags that are fields of an instance, so that the plan takes them out of its args."""

    def pinned(self, args: Mapping[str, Any], flag: str) -> int | None:
        """Return the whole number above 0 that args pin a flag to; null for none, and for what is no number."""

    def stretched(self, args: Mapping[str, Any], env: Mapping[str, Any]) -> bool:
        """Check whether args or environment allow a model to exceed the positions of its configuration."""

    def serve_defaults(self, device: Gpu) -> tuple[int, int]:
        """Return the default numbers of tokens and sequences of one step on a GPU."""

    def frugal(self) -> tuple[int, int]:
        """Return smaller numbers of tokens and sequences of one step, for models with which the defaults do not fit."""

    def least_tokens(self, facts: Mapping[str, Any], args: Mapping[str, Any]) -> int:
        """Return the fewest tokens of one step with which the engine starts the model."""

    def dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
        """Return the type that an instance computes with, and why if it is not the model's own."""

    def kv_dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
        """Return the type of the KV cache, and the reason if it is not possible."""

    def fp8_kv_cache(self, facts: Mapping[str, Any], device: Gpu) -> bool:
        """Check whether a model can have a KV cache of 8 bits on a GPU."""

    def layout(self, facts: Mapping[str, Any], **sizes: Any) -> Layout:
        """Return how the KV cache is laid out.

        :param sizes: ``tensor_parallel_size``, ``pipeline_parallel_size``, ``dtype``, ``kv_cache_dtype``,
            ``block_size``, ``max_num_batched_tokens``, ``device``, ``compute_capability``, and ``args`` of the model.
        :raises LayoutError: where the model cannot be laid out that way.
        """

    def refusal(self, facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu | None) -> tuple[str, str] | None:
        """Return why the engine refuses a model on a kind of GPU, however many there are, and the remedy.

        :param device: null for processors.
        """

    def division_refusal(
        self, facts: Mapping[str, Any], args: Mapping[str, Any], ranks: int, device: Gpu | None = None
    ) -> str:
        """Return why the model cannot be distributed over this many GPUs; empty where it can.

        :param device: their kind; null for what is refused on every one.
        """

    def pipeline_refusal(self, facts: Mapping[str, Any], args: Mapping[str, Any], stages: int) -> str:
        """Return why the model cannot be spread over this many pipeline stages; empty where it can."""

    def drafter(self, args: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return source and revision of the model that proposes tokens for another one; an empty source for none."""

    def rank_weight_bytes(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: Gpu,
        dtype: str,
        division: tuple[int, int, int],
    ) -> int:
        """Return the bytes of weights on each GPU.

        :param dtype: what the instance computes with.
        :param division: sizes of tensor, pipeline and data parallelism.
        """

    def overheads(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: Gpu,
        layout: Layout,
        tensor: int,
        tokens: int,
        sequences: int,
    ) -> Mapping[str, Estimate]:
        """Return the bytes of ``activation``, ``cuda_graphs`` and ``other`` on each GPU, each with its spread."""

    def sampling(self, facts: Mapping[str, Any], sequences: int) -> int:
        """Return the bytes that sampling takes on each GPU, which are part of the activations in any case."""

    def parse_log(self, text: str) -> dict[str, Any]:
        """Return what the last start in a log measured: bytes of each GPU, ``kv_cache_tokens``, ``max_model_len``."""

    def launch(self, instance: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an instance is started with beyond the plan's values (see `vllm/launch.py`); empty for nothing.

        :param told: what holds for every instance of its host: the engine's row of ``llm_engine_launch``.
        """

    def question(self, instance: Mapping[str, Any], args: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, Any]:
        """Return how an instance would be started, for the program that answers; ``model`` is added to it.

        :param args: flags of every instance of the host.
        :param env: environment variables of every instance of the host.
        """

    def answer(self, said: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the program said: ``release``, ``accepted`` (null where it could not tell), ``sentence``, and in
        bytes of the GPU that needs most ``weights``, ``bytes_per_block``, ``bytes_to_start`` and the number of
        ``blocks`` by length.
        """

    def load(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the loads that bring an instance to its extremes: ``{name, requests: [{path, body}]}``.

        Requests of one load are sent at once.

        :param limits: ``model``, its ``mode``, ``max_model_len``, ``max_num_seqs``, ``max_num_batched_tokens``,
            ``prompts`` of one request at most, and ``images``: whether the model takes them.
        """

    def conformance(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the checks of what the engine can do beyond what every engine can (`verify/checks.py`), in their
        order: ``{name, path, body, judge, expect}``. The body is sent by POST; ``judge`` is a key of `JUDGES` in
        `verify/answers.py`, and ``expect`` is what this function compares the answer with.

        :param limits: ``model``, its ``mode``, and ``max_model_len``.
        """

    def ran_out(self, text: str) -> int | None:
        """Return the bytes that a GPU lacked as the end of a log tells, 0 if it does not say how many; null if memory
        did not run out.
        """
