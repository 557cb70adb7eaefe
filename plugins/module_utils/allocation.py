# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which instance of which model runs on which host, with which cores, memory and GPUs.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils import derive
from ansible_collections.llmfleet.serving.plugins.module_utils.models import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.placement import (
    PARALLEL_FLAGS,
    Host,
    place,
    unfit,
    width,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import InventoryError, Problem

FIRST_PORT = 8100
# MiB of a CPU engine without weights and KV cache. API server, engine and worker, each with torch loaded, held 1,475
# with vLLM 0.32 and the demo's model: an eighth more must be there, and more than that is planned for activations.
ENGINE_LEAST_MIB = 1664
ENGINE_MIB = 2048
# What else a host may run: gateway, chat page, metrics and the operating system.
SERVICES_MIB = 2048
# GiB of KV cache of a CPU engine, and the share of what is left that goes into it.
KV_GIB = (1, 4)
KV_SHARE = 0.4
# Flags that are fields of an instance of their own; pinned in a model's args they win there.
FIELD_FLAGS = {"max-model-len": "max_model_len", "max-num-seqs": "max_num_seqs", "stream-interval": "stream_interval"}
KV_FLAG = "kv-cache-memory-bytes"


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
    """Return the MiB of a model's weights as far as catalogue or model say, else 0."""
    return int((model["weights_gib"] or 0) * 1024)


def kv_cache_space_gib(memory_mib: int, models: list[dict[str, Any]]) -> tuple[int, int]:
    """Return the KV cache space of each CPU engine of a host in GiB, and the MiB that the host lacks.

    ``left = memory - 2 GiB for other services - (2 GiB + weights) for each engine``; each engine gets
    ``floor(0.4 x left / engines)`` GiB, at least 1 and at most 4: more than a development machine answers in time.
    What is not given away is for the page cache, activations and the operating system. The host lacks memory when the
    least KV cache does not fit beside engines of the least size.
    """
    weights, count = sum(map(weights_mib, models)), len(models)
    least, most = KV_GIB
    left = memory_mib - SERVICES_MIB - weights - ENGINE_MIB * count
    needed = SERVICES_MIB + weights + (ENGINE_LEAST_MIB + least * 1024) * count
    return min(max(int(KV_SHARE * left / count / 1024), least), most), max(0, needed - memory_mib)


def _instance(model: dict[str, Any], replica: int, host: Host, port: int) -> dict[str, Any]:
    pinned = {field: whole(model["args"].get(flag)) for flag, field in FIELD_FLAGS.items()}
    args = {flag: value for flag, value in model["args"].items() if not pinned.get(FIELD_FLAGS.get(flag, ""))}
    if model["max_model_len"] is None and model["mode"] == "chat":
        args.setdefault("max-model-len", "auto")
    source = model["source"]
    bracketed = f"[{host.address}]" if ":" in host.address else host.address
    return {
        "name": f"{model['name']}-{replica}",
        "model": model["name"],
        "aliases": model["aliases"],
        "replica": replica,
        "port": port,
        "listen": host.listen,
        "device": host.device,
        "source": source,
        "revision": model["revision"],
        "path": source[len("path:") :] if source.startswith("path:") else "",
        "cpu": {"cores": "", "kv_cache_space_gib": None},
        "gpus": [],
        "args": args,
        "env": model["env"],
        "max_model_len": model["max_model_len"],
        "max_num_seqs": pinned["max_num_seqs"],
        "stream_interval": pinned["stream_interval"],
        "host": host.name,
        "address": f"{bracketed}:{port}",
    }


def needs(instances: list[dict[str, Any]], models: list[dict[str, Any]], host: str) -> dict[str, int]:
    """Return what a host must have for its instances: ``memory_mib``, and ``download_mib`` of weights from a hub.

    Memory is counted as :func:`kv_cache_space_gib` counts the least. Engines on GPUs keep weights and KV cache there.
    """
    by_name = {model["name"]: model for model in models}
    memory, downloads = 0, {}
    for instance in (instance for instance in instances if instance["host"] == host):
        model = by_name[instance["model"]]
        memory += ENGINE_LEAST_MIB
        if instance["device"] == "cpu":
            pinned = (whole(model["args"].get(KV_FLAG)) or 0) // 1024**2
            memory += weights_mib(model) + ((instance["cpu"]["kv_cache_space_gib"] or 0) * 1024 or pinned)
        if instance["source"].startswith("hf://"):
            downloads[instance["source"], instance["revision"]] = weights_mib(model)
    return {"memory_mib": memory + SERVICES_MIB if memory else 0, "download_mib": sum(downloads.values())}


def _on_cpu(host: Host, instances: list[dict[str, Any]], models: list[dict[str, Any]]) -> list[Problem]:
    space, lacking = kv_cache_space_gib(host.memory_mib, models)
    for instance, model, cores in zip(instances, models, share_cores(host.cores, len(instances))):
        pinned_space = whole(model["env"].get("VLLM_CPU_KVCACHE_SPACE"))
        # VLLM_CPU_KVCACHE_SPACE would win over the flag, so it stays unset where the flag is.
        given = pinned_space or (None if KV_FLAG in model["args"] else space)
        instance["cpu"] = {"cores": derive.format_cores(cores), "kv_cache_space_gib": given}
        instance["max_num_seqs"] = instance["max_num_seqs"] or derive.sequences(model, "cpu", len(cores))
    problems = []
    for model in models:
        if width(model) > 1:
            remedy = "leave the parallel sizes out, or run it on hosts with llm_device cuda"
            asked = {flag: model["args"][flag] for flag in PARALLEL_FLAGS if flag in model["args"]}
            text = "a CPU engine is one process on its own cores"
            problems.append(Problem(f"llm_models[{model['name']}].args", asked, text, remedy, host.name))
    if lacking:
        names = ", ".join(instance["name"] for instance in instances)
        remedy = "take models away, add hosts or memory, or correct a model's size with weights_gib"
        text = f"{names} need {lacking} MiB more, with 1 GiB of KV cache each"
        problems.append(Problem("memory", f"{host.memory_mib} MiB", text, remedy, host.name))
    return problems


def _on_gpus(host: Host, instances: list[dict[str, Any]], models: list[dict[str, Any]]) -> list[Problem]:
    start = 0
    for instance, model in zip(instances, models):
        instance["gpus"] = host.gpus[start : start + width(model)]
        instance["max_num_seqs"] = instance["max_num_seqs"] or derive.sequences(model, "cuda")
        start += width(model)
    return []


def allocate(
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    gateways: dict[str, int] | None = None,
    first_port: int = FIRST_PORT,
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return every instance of the fleet, host by host in inventory order, and what cannot be placed.

    :param models: resolved models.
    :param hosts: inference hosts in inventory order: ``{device, vcpus, memory_mib, gpus, address, listen, cores}``,
        ``listen`` only where it differs from ``address``, ``cores`` (``0-3``) only to restrict which are used.
    :param gateways: gateway hosts to their number of cores, for the size of streamed chunks.
    :param first_port: port of the first instance of each host; the others follow.
    """
    if not hosts:
        remedy = "put at least one host into the group llm_inference"
        return [], [Problem("llm_inference", [], "there is no inference host", remedy)]
    problems = [problem for name, facts in hosts.items() for problem in unfit(name, facts)]
    fleet = [] if problems else [Host(name, facts) for name, facts in hosts.items()]
    problems = problems or place(models, fleet)
    if problems:
        return [], problems
    instances: list[dict[str, Any]] = []
    for host in filter(lambda host: host.placed, fleet):
        own = [models[index] for index, replica in host.placed]
        here = [
            _instance(models[index], replica, host, first_port + offset)
            for offset, (index, replica) in enumerate(host.placed)
        ]
        problems += (_on_gpus if host.device == "cuda" else _on_cpu)(host, here, own)
        instances += here
    _set_stream_intervals(instances, models, gateways or {})
    return instances, problems


def _set_stream_intervals(
    instances: list[dict[str, Any]], models: list[dict[str, Any]], gateways: dict[str, int]
) -> None:
    workers = sum(derive.planned_workers(instances, models, gateways).values()) or 1
    chat = {model["name"] for model in models if model["mode"] == "chat"}
    rates = derive.planned_rates(instances, models)
    total = sum(planned["rate"] * planned["streams"] for planned in rates)
    for instance, planned in zip([i for i in instances if i["model"] in chat], rates):
        # The whole fleet's tokens share the workers; for this instance they count as streams at its own rate.
        interval = derive.derive_stream_interval(total, workers, max(1, round(total / planned["rate"])))
        instance["stream_interval"] = instance["stream_interval"] or interval


def allocate_or_raise(
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    gateways: dict[str, int] | None = None,
    first_port: int = FIRST_PORT,
) -> list[dict[str, Any]]:
    """Return every instance of the fleet; see :func:`allocate`.

    :raises InventoryError: with every problem, if there is one.
    """
    instances, problems = allocate(models, hosts, gateways, first_port)
    if problems:
        raise InventoryError(problems)
    return instances
