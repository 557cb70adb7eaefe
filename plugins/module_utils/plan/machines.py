# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts in the plan: the GPUs and cores that it may use, and its report of each host.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Collection, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Engine
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import cpu as plan_cpu
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import replicas
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.cpu import CpuHost
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device, devices
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import GpuHost
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.hosts import usable_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem


def gpu_hosts(
    hosts: dict[str, dict[str, Any]], in_force: dict[str, dict[str, Any]], engines: Sequence[Engine]
) -> tuple[list[GpuHost], dict[str, list[str]]]:
    """Return hosts with the GPUs that may be used, and by host the reasons why others may not.

    :param engines: engines of the models.
    """
    found, refused = [], {}
    for order, (name, facts) in enumerate(hosts.items()):
        if facts.get("device") != "cuda" or facts.get("gpu_facts") is None:
            continue
        planned: dict[str, int] = {}
        for one in (one for one in in_force.values() if one.get("host") == name):
            # The memory of its CUDA context is ours as well.
            context = context_bytes(one, int((one.get("memory") or {}).get("total") or 0))
            for uuid in one.get("gpus") or []:
                planned[uuid] = planned.get(uuid, 0) + plan_growth.held(one) + context
        gpu_facts = facts["gpu_facts"]
        usable, sentences = devices(
            gpu_facts,
            [str(uuid) for uuid in facts.get("gpus") or []],
            set(facts.get("own_pids") or []),
            planned,
            int((facts.get("cpu") or {}).get("memory_mib") or 0),
            engines,
        )
        if not usable and gpu_facts.get("error"):
            sentences = [str(gpu_facts["error"]), *sentences]
        refused[name] = sentences
        found.append(GpuHost(name, order, usable))
    return found, refused


def on_cpus(
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    on_gpus: set[int],
    in_force: dict[str, dict[str, Any]],
    measured: list[dict[str, Any]],
    staying: Collection[str] = (),
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the instances on hosts without GPUs, and the problems of models that cannot run there.

    :param staying: names of instances that stay on hosts that are not given.
    """
    cpu_hosts = [
        CpuHost(name, order, usable_cores(facts), int((facts.get("cpu") or {}).get("memory_mib") or 0))
        for order, (name, facts) in enumerate(hosts.items())
        if (facts.get("device") or "cpu") == "cpu"
    ]
    wanted = [(index, model) for index, model in enumerate(models) if index not in on_gpus]
    problems = plan_cpu.place(wanted, cpu_hosts, in_force, staying)
    if problems:
        return [], problems
    placed = []
    for host in filter(lambda host: host.placed, cpu_hosts):
        own = [models[index] for index, _replica in host.placed]
        running = [in_force.get(replicas.name(models[index], replica)) for index, replica in host.placed]
        of_host = [one for one in measured if one.get("measured_on") == host.name]
        numbers, found = plan_cpu.sizes(host, own, of_host, running)
        problems += found
        for (index, replica), values in zip(host.placed, numbers):
            placed.append({"model": models[index], "replica": replica, "host": host.name, "values": values})
    return placed, problems


def host_report(host: GpuHost, refused: list[str]) -> dict[str, Any]:
    """Return the plan's report of a host with GPUs."""
    return {"gpus": [_gpu(device) for device in host.devices], "unusable": refused}


def _gpu(device: Device) -> dict[str, Any]:
    return {
        "uuid": device.uuid,
        "index": device.index,
        "product_name": device.name,
        "total": device.total,
        "foreign": device.foreign,
        "foreign_owners": device.owners,
        "planned": device.taken + device.held,
        "headroom": device.left,
        "instances": sorted(device.shared),
    }
