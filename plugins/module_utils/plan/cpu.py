# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CPU engines, for development: which host, which cores, how much KV cache.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Collection

from ansible_collections.llmfleet.serving.plugins.module_utils.cores import format_cores, parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import cpu_shares, instance_memory, limits, replicas
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.cpu_shares import KV_FLAG
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

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
        self.kept_cores: list[int] = []

    def replicas(self, index: int) -> int:
        """Return how many replicas of a model run here."""
        return sum(1 for placed in self.placed if placed[0] == index)

    @property
    def crowded(self) -> bool:
        """Return whether one more engine would take cores from those that run here."""
        count = len(self.placed) + 1
        needed = count - len(self.kept_cores) + (1 if len(self.cores) > count else 0)
        return sum(self.kept_cores) + needed > len(self.cores)

    @property
    def load(self) -> Fraction:
        """Return the share of the cores that is allocated."""
        return Fraction(len(self.placed), max(1, len(self.cores)))


def place(
    models: list[tuple[int, dict[str, Any]]],
    hosts: list[CpuHost],
    in_force: dict[str, dict[str, Any]],
    staying: Collection[str] = (),
) -> list[Problem]:
    """Distribute replicas over hosts: the current host, else the one with fewest replicas of the model, then one with
    free cores, then the least loaded.

    Models that may run on few hosts choose first. What fits nowhere is placed all the same, so that the message can
    say by how much a host is short.

    :param models: (index, model); an engine takes at least one core.
    :param in_force: instances by name.
    :param staying: names of instances that have their place on other hosts.
    """
    by_name = {host.name: host for host in hosts}
    waiting = []
    problems: list[Problem] = []
    for index, model in sorted(models, key=lambda pair: (len(pair[1]["hosts"]) or len(hosts), pair[0])):
        allowed = [host for host in hosts if not model["hosts"] or host.name in model["hosts"]]
        wanted = [n for n in replicas.numbers(model, in_force) if replicas.name(model, n) not in staying]
        if wanted and not allowed:
            text, remedy = "every host where it may run is held", "release one (maintain.yml), or add a host"
            problems.append(Problem(f"llm_models[{model['name']}].replicas", model["replicas"], text, remedy))
            continue
        for replica in wanted:
            current = in_force.get(replicas.name(model, replica), {})
            kept = by_name.get(str(current.get("host")))
            if kept in allowed and kept is not None and len(kept.placed) < len(kept.cores):
                kept.placed.append((index, replica))
                if cpu_shares.stays(kept.name, kept.cores, model, current):
                    kept.kept_cores.append(len(parse_cores(current["cpu"]["cores"])))
            else:
                left = replicas.leaving_hosts(model, in_force)
                waiting.append((index, replica, [host for host in allowed if host.name not in left]))
    by_index = dict(models)
    for index, replica, allowed in waiting:
        if not allowed:
            text, remedy = "no other host is there for a second one", "add a host to llm_inference"
            problems.append(Problem(f"llm_models[{by_index[index]['name']}].hosts", "", text, remedy))
            continue
        choice = [host for host in allowed if len(host.placed) < len(host.cores)] or allowed
        best = min(choice, key=lambda host: (host.replicas(index), host.crowded, host.load, host.order))
        best.placed.append((index, replica))
    problems += [_too_many(host, by_index) for host in hosts if len(host.placed) > len(host.cores)]
    for host in hosts:
        host.placed.sort()
    return problems


def _too_many(host: CpuHost, models: dict[int, dict[str, Any]]) -> Problem:
    names = ", ".join(f"{models[index]['name']}-{replica}" for index, replica in sorted(host.placed))
    problem = f"{len(host.placed)} instances ({names}) need {len(host.placed)} cores, there are {len(host.cores)}"
    remedy = "lower replicas, take models away, or add hosts to llm_inference"
    return Problem("llm_models", len(host.placed), problem, remedy, host.name)


def sizes(
    host: CpuHost,
    models: list[dict[str, Any]],
    measured: list[dict[str, Any]] | None = None,
    in_force: list[dict[str, Any] | None] | None = None,
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the sizes of each engine of a host, in the order of its models, and the problems.

    :param measured: what this host measured of its engines.
    :param in_force: the instance that runs now, for each model, or null.
    """
    proven = [cpu_shares.proven_gib(model, measured or []) for model in models]
    running = in_force or [None] * len(models)
    found = zip(models, running, proven)
    may_stay = [cpu_shares.stays(host.name, host.cores, model, one, most) for model, one, most in found]
    staying = [one if may else None for one, may in zip(running, may_stay)]
    numbers = []
    shares = cpu_shares.divide(host.cores, host.memory_mib, models, staying)
    for model, share, most, before in zip(models, shares, proven, staying):
        # The engine's environment variable would win over its flag, so it stays unset if the flag is set.
        given = cpu_shares.pinned_space(model) or (None if KV_FLAG in model["args"] else min(share.space, most))
        kv_bytes = given * 1024**3 if given else instance_memory.pinned(model, KV_FLAG) or 0
        sequences = whole(model["args"].get("max-num-seqs")) or limits.sequences(model, "cpu", len(share.cores))
        cpu = {"cores": format_cores(share.cores), "kv_cache_space_gib": given}
        weights = cpu_shares.weights_mib(model) * 1024**2
        numbers.append(
            {
                "cpu": cpu,
                "max_num_seqs": sequences,
                "memory": {"weights": weights or None, "kv_cache": kv_bytes or None},
                "reasons": _reasons(host.name, cpu, before),
                **predicted(model, kv_bytes),
            }
        )
    problems = [_parallel(model, host.name) for model in models if _width(model) > 1]
    problems += [problem for problem in (_refused(model, host.name) for model in models) if problem]
    lacking = cpu_shares.lacking_mib(host.memory_mib, models)
    if lacking:
        names = ", ".join(model["name"] for model in models)
        remedy = "take models away, add hosts or memory, or correct a model's size with weights_gib"
        text = f"{names} need {lacking} MiB more, with 1 GiB of KV cache each"
        problems.append(Problem("memory", f"{host.memory_mib} MiB", text, remedy, host.name))
    return numbers, problems


def _reasons(host: str, cpu: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """Return why an engine has its cores and cache: the reasons recorded while they stay."""
    if before is None:
        return []
    if before["cpu"] == cpu:
        return plan_growth.recorded_reasons(before)
    return [f"cores and memory of {host} are divided anew, as what starts there needs more than is free"]


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
