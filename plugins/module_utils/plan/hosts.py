# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts as input of the plan: reasons that exclude one, its cores and its address, and which models may run there.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.limits import STREAM_RATE
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

CORES = re.compile(r"\d+(-\d+)?(\s*,\s*\d+(-\d+)?)*")


def unfit(name: str, facts: dict[str, Any]) -> list[Problem]:
    """Return the reasons that exclude a host from the plan: invalid values, missing facts.

    GPUs that cannot be used are not listed here: models that cannot be placed report them.
    """
    device, gpus, cpu = facts.get("device") or "cpu", facts.get("gpus") or [], facts.get("cpu") or {}
    cores = cpu.get("cores")
    if device not in STREAM_RATE:
        return [Problem("llm_device", device, "there is no such device", "choose cpu or cuda", name)]
    if device == "cuda":
        if isinstance(gpus, list) and len(set(map(str, gpus))) == len(gpus):
            return []
        remedy = "list each uuid of nvidia-smi -L once"
        return [Problem("llm_gpus", gpus, "a list of distinct GPUs is needed", remedy, name)]
    if cores and not CORES.fullmatch(str(cores)):
        return [Problem("llm_cores", cores, "it is no list of cores", "write numbers and ranges, e.g. 0-3,8", name)]
    if whole(cpu.get("memory_mib")) and (cores or whole(cpu.get("vcpus"))):
        return []
    value = {"vcpus": cpu.get("vcpus"), "memory_mib": cpu.get("memory_mib")}
    remedy = "run once without --limit, so that its facts are known"
    return [Problem("ansible_facts", value, "cores and memory of the host are not known", remedy, name)]


def usable_cores(facts: dict[str, Any]) -> list[int]:
    """Return the cores that engines may use. A core that is named twice is still one core."""
    cpu = facts.get("cpu") or {}
    cores = cpu.get("cores")
    return sorted(set(parse_cores(cores))) if cores else list(range(int(cpu.get("vcpus") or 0)))


def unknown_hosts(models: list[dict[str, Any]], hosts: dict[str, Any]) -> list[Problem]:
    """Return a problem for each model that names a host outside the inference hosts."""
    problems = []
    for model in models:
        unknown = [name for name in model["hosts"] if name not in hosts]
        if unknown:
            remedy = f"choose from {', '.join(hosts)}"
            variable = f"llm_models[{model['name']}].hosts"
            problems.append(Problem(variable, unknown, "not in the group llm_inference", remedy))
    return problems


def device_of(model: dict[str, Any], hosts: dict[str, dict[str, Any]]) -> str:
    """Return the device of a model: GPUs if one of its hosts has them, because they are faster."""
    return "cuda" if "cuda" in _devices(model, hosts) else "cpu"


def _devices(model: dict[str, Any], hosts: dict[str, dict[str, Any]]) -> set[str]:
    """Return the devices that a model's hosts have and its engine supports."""
    allowed = [facts for name, facts in hosts.items() if not model["hosts"] or name in model["hosts"]]
    return {facts.get("device") or "cpu" for facts in allowed} & set(registry.of(model).devices)


def unserved(models: list[dict[str, Any]], hosts: dict[str, dict[str, Any]]) -> list[Problem]:
    """Return a problem for each model whose engine runs on none of its hosts."""
    problems = []
    for model in models:
        engine = registry.of(model)
        if not _devices(model, hosts):
            text = f"{engine.title} runs on {' and '.join(engine.devices)} alone, and none of its hosts has that"
            remedy = "choose other hosts, or another engine"
            problems.append(Problem(f"llm_models[{model['name']}].engine", engine.name, text, remedy))
    return problems


def ports_of(names: dict[str, list[str]], in_force: dict[str, dict[str, Any]], first: int) -> dict[str, int]:
    """Return the port of each instance: the one it has on that host, else the lowest free one there.

    What ends on a host has its port until then, and what starts there may come before that.
    """
    ports: dict[str, int] = {}
    for host, wanted in names.items():
        kept = {n: in_force[n] for n in wanted if n in in_force and in_force[n].get("host") == host}
        ending = [one for name, one in in_force.items() if one.get("host") == host and name not in kept]
        taken = {port for port in (whole(one.get("port")) for one in ending) if port}
        for name, one in kept.items():
            port = whole(one.get("port"))
            if port and port >= first and port not in taken:
                ports[name] = port
                taken.add(port)
        for name in wanted:
            if name not in ports:
                ports[name] = next(
                    port for port in range(first, first + len(wanted) + len(taken) + 1) if port not in taken
                )
                taken.add(ports[name])
    return ports
