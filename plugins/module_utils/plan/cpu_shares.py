# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cores and KV cache of CPU engines: how those of a host are divided, and who keeps what it has.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth

# Memory for other services of a host: gateway, chat page, metrics and the operating system.
SERVICES_MIB = 2048
# GiB of KV cache of a CPU engine, and the share of the remaining memory that it gets.
KV_GIB = (1, 4)
KV_SHARE = 0.4
KV_FLAG = "kv-cache-memory-bytes"


class Share(NamedTuple):
    """What one engine gets: its cores, GiB of KV cache unless its model pins them, and the instance that stays."""

    cores: list[int]
    space: int
    kept: dict[str, Any] | None


def share_cores(cores: list[int], count: int) -> list[list[int]]:
    """Divide cores among engines: whole cores, none twice, sizes that differ by one at most.

    While there are more cores than engines one core stays free, as vLLM keeps one by its own binding: the engines' API
    servers and the gateway need somewhere to run. (The demo's model is no faster on two cores than on one.)
    """
    return _divided(cores[:-1] if len(cores) > count else cores, count)


def _divided(cores: list[int], count: int) -> list[list[int]]:
    size, larger = divmod(len(cores), count)
    shares, start = [], 0
    for index in range(count):
        end = start + size + (1 if index < larger else 0)
        shares.append(cores[start:end])
        start = end
    return shares


def weights_mib(model: dict[str, Any]) -> int:
    """Return the MiB of a model's weights as far as files, catalogue or model say, else 0."""
    facts = model.get("facts") or {}
    if facts.get("weight_bytes"):
        return -(-int(facts["weight_bytes"]) // 1024**2)
    return int((model["weights_gib"] or 0) * 1024)


def lacking_mib(memory_mib: int, models: list[dict[str, Any]]) -> int:
    """Return the MiB that a host lacks for engines of the least size with the least KV cache."""
    engines = [registry.of(model) for model in models]
    needed = SERVICES_MIB + sum(map(weights_mib, models))
    return max(0, needed + sum(engine.cpu_least_mib + KV_GIB[0] * 1024 for engine in engines) - memory_mib)


def equal_space_mib(memory_mib: int, models: list[dict[str, Any]]) -> float:
    """Return the MiB of KV cache that each CPU engine of a host may have.

    ``left = memory - 2 GiB for other services - (what it plans with + weights) for each engine``; each engine gets
    ``0.4 x left / engines``, at least 1 GiB. What is not given away is for the page cache, activations and the
    operating system.
    """
    planned = sum(registry.of(model).cpu_planned_mib for model in models)
    left = memory_mib - SERVICES_MIB - sum(map(weights_mib, models)) - planned
    return max(KV_SHARE * left / len(models), KV_GIB[0] * 1024)


def proven_gib(model: dict[str, Any], measured: list[dict[str, Any]]) -> int:
    """Return the GiB of KV cache with which a model that once ran out of memory held; else the most there is."""
    most = KV_GIB[1]
    for entry in measured:
        proof = entry.get("proof") or {}
        if proof.get("short") and [entry.get("source"), entry.get("revision")] == [model["source"], model["revision"]]:
            left = int(proof["kv_cache"]) - (0 if proof.get("outcome") == "held" else int(proof["short"]))
            most = min(most, left // 1024**3)
    return max(most, KV_GIB[0])


def pinned_space(model: dict[str, Any]) -> int | None:
    """Return the GiB of KV cache that a model's environment sets."""
    return whole(model["env"].get(registry.of(model).cpu_cache_variable))


def stays(
    host: str, cores: list[int], model: dict[str, Any], current: dict[str, Any] | None, proven: int = KV_GIB[1]
) -> bool:
    """Return whether an instance in force may keep cores and KV cache: its host has them, and its request is the same.

    :param cores: those that engines of the host may use.
    :param proven: GiB of KV cache that its model held with.
    """
    if not current or current.get("host") != host or current.get("request") != plan_growth.request_digest(model):
        return False
    own, cpu = parse_cores((current.get("cpu") or {}).get("cores") or ""), current.get("cpu") or {}
    if not own or not set(own) <= set(cores):
        return False
    if pinned_space(model) or KV_FLAG in model["args"]:
        return bool((whole(cpu.get("kv_cache_space_gib")) or None) == pinned_space(model))
    unpinned = registry.of(model).cpu_cache_variable not in (current.get("env") or {})
    return unpinned and KV_GIB[0] <= (whole(cpu.get("kv_cache_space_gib")) or 0) <= proven


def divide(
    cores: list[int], memory_mib: int, models: list[dict[str, Any]], staying: list[dict[str, Any] | None]
) -> list[Share]:
    """Divide cores and memory of a host: who runs keeps its share, and newcomers get what is free.

    If that is too little, the running engine with most cores gives up its share, then the next, until there is a core
    and a GiB of KV cache for each. Without running engines all get the same.

    :param models: that of each engine.
    :param staying: for each engine the instance in force that may keep its share, or null.
    """
    kept = {number: one for number, one in enumerate(staying) if one}
    while True:
        shares = _beside(cores, memory_mib, models, kept)
        if shares is not None:
            return shares
        kept.pop(max(kept, key=lambda number: (len(_cores(kept[number])), _space(kept[number]), number)))


def _beside(
    cores: list[int], memory_mib: int, models: list[dict[str, Any]], kept: dict[int, dict[str, Any]]
) -> list[Share] | None:
    """Return every engine's share beside those that are kept; null if the newcomers lack cores or memory."""
    least, most = KV_GIB
    new = [number for number in range(len(models)) if number not in kept]
    taken = [core for one in kept.values() for core in _cores(one)]
    free = [core for core in cores if core not in taken]
    if len(cores) > len(models) and new:
        free = free[:-1]
    each = equal_space_mib(memory_mib, models)
    counted = [number for number in kept if not (pinned_space(models[number]) or KV_FLAG in models[number]["args"])]
    left = each * (len(counted) + len(new)) - 1024 * sum(_space(kept[number]) for number in counted)
    if kept and (len(set(taken)) < len(taken) or len(free) < len(new) or left < least * 1024 * len(new)):
        return None
    own = dict(zip(new, _divided(free, len(new)))) if new else {}
    space = min(max(int(left / len(new) / 1024), least), most) if new else least
    return [
        Share(_cores(kept[number]), _space(kept[number]) or space, kept[number])
        if number in kept
        else Share(own[number], space, None)
        for number in range(len(models))
    ]


def _cores(one: dict[str, Any]) -> list[int]:
    return parse_cores(one["cpu"]["cores"])


def _space(one: dict[str, Any]) -> int:
    return whole(one["cpu"].get("kv_cache_space_gib")) or 0
