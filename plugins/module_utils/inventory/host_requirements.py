# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the measurements of a host: listeners, processes, disks, memory, models.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bracketed, overlap
from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host.sockets import Process, Socket
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# MiB that an operating system needs itself; the requirements of a host include them.
SYSTEM_MIB = 1024
# RoPE scalings whose factor is part of max_position_embeddings already (vllm/config/model.py, 0.32).
SCALED_ALREADY = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling")


def is_ours(process: Process, processes: dict[int, Process], roots: Iterable[str], prefix: str) -> bool:
    """Check whether a process belongs to the collection.

    It does if it or a process above it runs in one of our units (its cgroup has a part that begins with the prefix of
    unit names), was started from one of our directories (program, script or configuration file), or runs as one of our
    users (named by the same prefix): a child whose main process was killed is nobody's child, and may have any name.
    """
    folders = [root.rstrip("/") + "/" for root in roots]
    seen = set()
    current: Process | None = process
    while current and current.pid > 1 and current.pid not in seen:
        seen.add(current.pid)
        if current.user.startswith(prefix) or f"/{prefix}" in current.cgroup:
            return True
        if any(folder in current.command for folder in folders):
            return True
        current = processes.get(current.parent)
    return False


def _foreigner(owner: Process | None) -> str:
    if not owner:
        return "a process that only root can see"
    user = f" of user {owner.user}" if owner.user else ""
    return f"{owner.name} (pid {owner.pid}){user}, which this collection did not start"


def listener_problems(
    host: str, listeners: list[dict[str, Any]], sockets: list[Socket], owners: dict[str, Process], ours: Iterable[int]
) -> list[Problem]:
    """Return a problem for each planned listener whose port is in use.

    :param listeners: ``{name, address, port}`` of everything this host is to run; the name is what sets the port.
    :param owners: inodes of sockets to their processes, as far as they can be seen.
    :param ours: process ids of the collection's own processes.
    """
    problems = []
    for index, listener in enumerate(listeners):
        where = f"{bracketed(listener['address']) or '*'}:{listener['port']}"
        variable = str(listener["name"])
        for other in listeners[:index]:
            if other["port"] == listener["port"] and overlap(other["address"], listener["address"]):
                text = f"{other['name']} is to listen there too"
                problems.append(Problem(variable, where, text, "give each a port of its own", host))
        for taken in sockets:
            owner = owners.get(taken.inode)
            if taken.port != listener["port"] or not overlap(taken.address, listener["address"]):
                continue
            if owner and owner.pid in ours:
                continue
            remedy = "stop it or choose another port"
            problems.append(Problem(variable, where, f"in use by {_foreigner(owner)}", remedy, host))
            break
    return problems


def disk_problems(host: str, wanted: list[dict[str, Any]]) -> list[Problem]:
    """Return a problem for each file system with too little free space.

    :param wanted: ``{path, needed_mib, purpose, device, free_mib}``; entries of one device add up.
    """
    devices: dict[Any, list[dict[str, Any]]] = {}
    for entry in wanted:
        devices.setdefault(entry["device"], []).append(entry)
    problems = []
    for entries in devices.values():
        needed, free = sum(entry["needed_mib"] for entry in entries), entries[0]["free_mib"]
        if free < needed:
            paths = ", ".join(entry["path"] for entry in entries)
            purposes = ", ".join(f"{entry['purpose']} {entry['needed_mib']}" for entry in entries)
            text = f"{needed} MiB are needed ({purposes})"
            remedy = f"free {needed - free} MiB there, or put the directory on a larger disk"
            problems.append(Problem(f"free space of {paths}", f"{free} MiB", text, remedy, host))
    return problems


def memory_problems(host: str, needed: int, total: int, available: int, ours: int) -> list[Problem]:
    """Return a problem if the host has too little memory (all in MiB).

    :param total: what the machine has, or what its container may use.
    :param available: what could be taken now without swapping.
    :param ours: what the collection's own processes hold; it is given back when they restart.
    """
    if needed > total:
        remedy = "take models away, add hosts or memory, or correct a model's size with weights_gib"
        return [Problem("memory", f"{total} MiB", f"its instances and services need {needed} MiB", remedy, host)]
    if needed > available + ours + SYSTEM_MIB:
        text = f"{needed} MiB are needed, other programs hold {total - available - ours} of {total} MiB"
        remedy = "stop other programs, take models away, or lower VLLM_CPU_KVCACHE_SPACE in a model's env"
        return [Problem("free memory", f"{available + ours} MiB", text, remedy, host)]
    return []


def shared_memory_problems(host: str, folder: str, instances: list[dict[str, Any]], free: int) -> list[Problem]:
    """Return a problem if the engines of a host have too little shared memory (in MiB).

    :param folder: where it is mounted.
    :param free: what is free there, with what the collection's own processes hold.
    """
    sizes = [int(registry.interface_of(instance)["shared_memory_mib"]) for instance in instances]
    needed = sum(sizes)
    if free >= needed:
        return []
    text = f"{len(sizes)} engines need {needed} MiB there, {' and '.join(map(str, sorted(set(sizes))))} each"
    remedy = (
        f"enlarge it with `mount -o remount,size={needed * 2}M {folder}` and in /etc/fstab "
        f"(a container gets it when it is made: shm_size, --shm-size {needed * 2}m), or take models away"
    )
    return [Problem(f"free space of {folder}", f"{free} MiB", text, remedy, host)]


def core_problems(host: str, instances: list[dict[str, Any]], allowed: Iterable[int]) -> list[Problem]:
    """Return a problem if instances are bound to cores that this machine or container may not use."""
    planned = {core for instance in instances for core in parse_cores(instance["cpu"].get("cores") or "")}
    missing = sorted(planned - set(allowed))
    if not missing:
        return []
    remedy = f"set the host's llm_cores to cores it may use: {','.join(map(str, sorted(allowed)))}"
    return [Problem("llm_cores", missing, "the host may not use these cores", remedy, host)]


def positions(config: dict[str, Any]) -> int | None:
    """Return how many positions a model has by its ``config.json``, stretched as vLLM does it, or null."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    found = text.get("max_position_embeddings") or text.get("n_positions")
    if not isinstance(found, int) or isinstance(found, bool):
        return None
    rope = text.get("rope_scaling") or text.get("rope_parameters")
    stretch = 1.0
    if isinstance(rope, dict) and "gemma3" not in str(text.get("model_type")):
        # Models with layers of several kinds keep one scaling for each.
        for scaling in [rope, *(part for part in rope.values() if isinstance(part, dict))]:
            factor, kind = scaling.get("factor"), scaling.get("rope_type") or scaling.get("type")
            if isinstance(factor, (int, float)) and kind not in SCALED_ALREADY:
                stretch = max(stretch, factor)
    return int(found * stretch)


def folder_problems(host: str, instance: dict[str, Any], folder: dict[str, Any] | None) -> list[Problem]:
    """Return the problems of a model that lies in a local folder.

    :param instance: one of ``llm_instances_here``.
    :param folder: its ``config.json``; null where there is none.
    """
    variable = f"llm_models[{instance['model']}]"
    if folder is None:
        text = "there is no config.json that can be read"
        remedy = "put the model's files there on this host, or use hf:// as its source"
        return [Problem(f"{variable}.source", f"path:{instance['path']}", text, remedy, host)]
    most, length = positions(folder), instance["max_model_len"]
    if not most or not length or length <= most or registry.of(instance).stretched(instance["args"], instance["env"]):
        return []
    text = f"the model has {most} positions by its config.json"
    return [Problem(f"{variable}.context", length, text, f"ask for {most} or fewer, or write auto", host)]
