# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CPU engines, for development: which host, which cores, how much KV cache.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.cores import format_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory, limits
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# Memory for other services of a host: gateway, chat page, metrics and the operating system.
SERVICES_MIB = 2048
# GiB of KV cache of a CPU engine, and the share of the remaining memory that it gets.
KV_GIB = (1, 4)
KV_SHARE = 0.4
KV_FLAG = "kv-cache-memory-bytes"
# Layers whose cache is laid out alike on all processors.
PORTABLE_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
PARALLEL_FLAGS = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")


class CpuHost:
    """A host without GPUs, and the replicas on it: (index of the model, number)."""

    def __init__(self, name: str, order: int, cores: list[int], memory_mib: int) -> None:
        self.name = name
        self.order = order
        self.cores = cores
        self.memory_mib = memory_mib
        self.placed: list[tuple[int, int]] = []

    def replicas(self, index: int) -> int:
        """Return how many replicas of a model run here."""
        return sum(1 for placed in self.placed if placed[0] == index)

    @property
    def load(self) -> Fraction:
        """Return the share of the cores that is allocated."""
        return Fraction(len(self.placed), max(1, len(self.cores)))


def place(
    models: list[tuple[int, dict[str, Any]]], hosts: list[CpuHost], in_force: dict[str, dict[str, Any]]
) -> list[Problem]:
    """Distribute replicas over hosts: the current host, else the one with fewest replicas of the model, then the least
    loaded.

    Models that may run on few hosts choose first. What fits nowhere is placed all the same, so that the message can
    say by how much a host is short.

    :param models: (index, model); an engine takes at least one core.
    :param in_force: instances by name.
    """
    by_name = {host.name: host for host in hosts}
    waiting = []
    for index, model in sorted(models, key=lambda pair: (len(pair[1]["hosts"]) or len(hosts), pair[0])):
        allowed = [host for host in hosts if not model["hosts"] or host.name in model["hosts"]]
        for replica in range(model["replicas"]):
            kept = by_name.get(str(in_force.get(f"{model['name']}-{replica}", {}).get("host")))
            if kept in allowed and kept is not None and len(kept.placed) < len(kept.cores):
                kept.placed.append((index, replica))
            else:
                waiting.append((index, replica, allowed))
    for index, replica, allowed in waiting:
        choice = [host for host in allowed if len(host.placed) < len(host.cores)] or allowed
        best = min(choice, key=lambda host: (host.replicas(index), host.load, host.order))
        best.placed.append((index, replica))
    names = dict(models)
    problems = [_too_many(host, names) for host in hosts if len(host.placed) > len(host.cores)]
    for host in hosts:
        host.placed.sort()
    return problems


def _too_many(host: CpuHost, models: dict[int, dict[str, Any]]) -> Problem:
    names = ", ".join(f"{models[index]['name']}-{replica}" for index, replica in sorted(host.placed))
    problem = f"{len(host.placed)} instances ({names}) need {len(host.placed)} cores, there are {len(host.cores)}"
    remedy = "lower replicas, take models away, or add hosts to llm_inference"
    return Problem("llm_models", len(host.placed), problem, remedy, host.name)


def share_cores(cores: list[int], count: int) -> list[list[int]]:
    """Divide cores among engines: whole cores, none twice, sizes that differ by one at most.

    While there are more cores than engines one core stays free, as vLLM keeps one by its own binding: the engines' API
    servers and the gateway need somewhere to run. (The demo's model is no faster on two cores than on one.)
    """
    usable = cores[:-1] if len(cores) > count else cores
    size, larger = divmod(len(usable), count)
    shares, start = [], 0
    for index in range(count):
        end = start + size + (1 if index < larger else 0)
        shares.append(usable[start:end])
        start = end
    return shares


def weights_mib(model: dict[str, Any]) -> int:
    """Return the MiB of a model's weights as far as files, catalogue or model say, else 0."""
    facts = model.get("facts") or {}
    if facts.get("weight_bytes"):
        return -(-int(facts["weight_bytes"]) // 1024**2)
    return int((model["weights_gib"] or 0) * 1024)


def kv_cache_space_gib(memory_mib: int, models: list[dict[str, Any]]) -> tuple[int, int]:
    """Return the KV cache space of each CPU engine of a host in GiB, and the MiB that the host lacks.

    ``left = memory - 2 GiB for other services - (what it plans with + weights) for each engine``; each engine gets
    ``floor(0.4 x left / engines)`` GiB, at least 1 and at most 4: more than a development machine answers in time.
    What is not given away is for the page cache, activations and the operating system. The host lacks memory when the
    least KV cache does not fit beside engines of the least size.
    """
    weights, count = sum(map(weights_mib, models)), len(models)
    least, most = KV_GIB
    engines = [registry.of(model) for model in models]
    left = memory_mib - SERVICES_MIB - weights - sum(engine.cpu_planned_mib for engine in engines)
    needed = SERVICES_MIB + weights + sum(engine.cpu_least_mib + least * 1024 for engine in engines)
    return min(max(int(KV_SHARE * left / count / 1024), least), most), max(0, needed - memory_mib)


def _held(model: dict[str, Any], measured: list[dict[str, Any]]) -> int:
    """Return the GiB of KV cache with which a model that once ran out of memory held; else the most there is."""
    most = KV_GIB[1]
    for entry in measured:
        proof = entry.get("proof") or {}
        if proof.get("short") and [entry.get("source"), entry.get("revision")] == [model["source"], model["revision"]]:
            left = int(proof["kv_cache"]) - (0 if proof.get("outcome") == "held" else int(proof["short"]))
            most = min(most, left // 1024**3)
    return max(most, KV_GIB[0])


def sizes(
    host: CpuHost, models: list[dict[str, Any]], measured: list[dict[str, Any]] | None = None
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the sizes of each engine of a host, in the order of its models, and the problems.

    :param measured: what this host measured of its engines.
    """
    space, lacking = kv_cache_space_gib(host.memory_mib, models)
    numbers = []
    for model, cores in zip(models, share_cores(host.cores, len(models))):
        pinned_space = whole(model["env"].get(registry.of(model).cpu_cache_variable))
        # The engine's environment variable would win over its flag, so it stays unset if the flag is set.
        given = pinned_space or (None if KV_FLAG in model["args"] else min(space, _held(model, measured or [])))
        kv_bytes = given * 1024**3 if given else instance_memory.pinned(model, KV_FLAG) or 0
        sequences = whole(model["args"].get("max-num-seqs")) or limits.sequences(model, "cpu", len(cores))
        numbers.append(
            {
                "cpu": {"cores": format_cores(cores), "kv_cache_space_gib": given},
                "max_num_seqs": sequences,
                "memory": {"weights": weights_mib(model) * 1024**2 or None, "kv_cache": kv_bytes or None},
                **predicted(model, kv_bytes),
            }
        )
    problems = [_parallel(model, host.name) for model in models if _width(model) > 1]
    problems += [problem for problem in (_refused(model, host.name) for model in models) if problem]
    if lacking:
        names = ", ".join(model["name"] for model in models)
        remedy = "take models away, add hosts or memory, or correct a model's size with weights_gib"
        text = f"{names} need {lacking} MiB more, with 1 GiB of KV cache each"
        problems.append(Problem("memory", f"{host.memory_mib} MiB", text, remedy, host.name))
    return numbers, problems


def predicted(model: dict[str, Any], kv_bytes: int) -> dict[str, Any]:
    """Return the context and KV cache that the engine will report, if the model's configuration is known.

    Without it, and for layers whose cache depends on the processor (states of linear attention, MLA with AMX),
    ``max_model_len`` is what was asked for, and null leaves the choice to the engine.
    """
    facts = model.get("facts")
    unknown = {
        "max_model_len": model["max_model_len"],
        "kv_cache_blocks": None,
        "kv_cache_tokens": None,
        "max_concurrency": None,
    }
    kinds = {layer["type"] for layer in (facts or {}).get("layers") or []}
    if not facts or not kinds or not kinds <= PORTABLE_LAYERS or not kv_bytes:
        return unknown
    dtype = model["args"].get("dtype")
    engine = registry.of(model)
    try:
        geometry = engine.layout(
            facts,
            tensor_parallel_size=1,
            dtype=facts.get("dtype") or "bfloat16" if dtype in (None, "auto") else str(dtype),
            kv_cache_dtype=str(model["args"].get("kv-cache-dtype") or "auto"),
            block_size=whole(model["args"].get("block-size")),
            max_num_batched_tokens=instance_memory.pinned(model, "max-num-batched-tokens") or engine.cpu_batched_tokens,
            device="cpu",
        )
    except LayoutError:
        # The plan does not support this type, so the engine's own parser checks it.
        return unknown
    length = model["max_model_len"] or 0
    if not whole(model["args"].get("max-model-len")) and not isinstance(model["context"], int):
        length = geometry.longest(kv_bytes, instance_memory.asked_context(model)[1])
    if not length or not geometry.fits(kv_bytes, length):
        return unknown
    return {"max_model_len": length, **geometry.capacity(kv_bytes, length)}


def _refused(model: dict[str, Any], host: str) -> Problem | None:
    """Return why the engine would not start a model on processors."""
    refused = registry.of(model).refusal(model["facts"], model["args"], None) if model.get("facts") else None
    if not refused:
        return None
    reason, remedy = refused
    return Problem(f"llm_models[{model['name']}].source", model["source"], reason, remedy, host)


def _width(model: dict[str, Any]) -> int:
    result = 1
    for flag in PARALLEL_FLAGS:
        result *= whole(model["args"].get(flag)) or 1
    return result


def _parallel(model: dict[str, Any], host: str) -> Problem:
    remedy = "leave the parallel sizes out, or run it on hosts with llm_device cuda"
    asked = {flag: model["args"][flag] for flag in PARALLEL_FLAGS if flag in model["args"]}
    return Problem(
        f"llm_models[{model['name']}].args", asked, "a CPU engine is one process on its own cores", remedy, host
    )
