# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which replica runs on which host.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils import derive
from ansible_collections.llmfleet.serving.plugins.module_utils.models import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# Flags that multiply the devices of one instance.
PARALLEL_FLAGS = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")


CORES = re.compile(r"\d+(-\d+)?(\s*,\s*\d+(-\d+)?)*")


def unfit(name: str, facts: dict[str, Any]) -> list[Problem]:
    """Return what keeps a host from being an inference host: values that are wrong, facts that are not known."""
    device, gpus, cores = facts.get("device") or "cpu", facts.get("gpus") or [], facts.get("cores")
    if device not in derive.STREAM_RATE:
        return [Problem("llm_device", device, "there is no such device", "choose cpu or cuda", name)]
    if device == "cuda":
        if isinstance(gpus, list) and len(set(map(str, gpus))) == len(gpus):
            return []
        return [
            Problem("llm_gpus", gpus, "a list of distinct GPUs is needed", "list each uuid of nvidia-smi -L once", name)
        ]
    if cores and not CORES.fullmatch(str(cores)):
        return [Problem("llm_cores", cores, "it is no list of cores", "write numbers and ranges, e.g. 0-3,8", name)]
    if whole(facts.get("memory_mib")) and (cores or whole(facts.get("vcpus"))):
        return []
    value = {"vcpus": facts.get("vcpus"), "memory_mib": facts.get("memory_mib")}
    remedy = "gather its facts: run once without --limit, or keep facts in a cache"
    return [Problem("ansible_facts", value, "cores and memory of the host are not known", remedy, name)]


class Host:
    """One inference host and what was placed on it so far."""

    def __init__(self, name: str, facts: dict[str, Any]) -> None:
        self.name = name
        self.device = str(facts.get("device") or "cpu")
        self.address = str(facts.get("address") or "127.0.0.1")
        self.listen = str(facts.get("listen") or self.address)
        self.gpus = [str(gpu) for gpu in facts.get("gpus") or []]
        cores = facts.get("cores")
        # A core that is named twice is still one core.
        self.cores = sorted(set(derive.parse_cores(cores))) if cores else list(range(int(facts.get("vcpus") or 0)))
        self.memory_mib = int(facts.get("memory_mib") or 0)
        self.placed: list[tuple[int, int]] = []
        """Index of the model and number of the replica, of everything that runs here."""
        self.used = 0
        """Devices given away."""

    @property
    def slots(self) -> int:
        """Return how many devices can be given away: GPUs, or cores."""
        return len(self.gpus) if self.device == "cuda" else len(self.cores)

    @property
    def load(self) -> Fraction:
        """Return the share of the devices that is given away."""
        return Fraction(self.used, max(1, self.slots))

    def replicas(self, index: int) -> int:
        """Return how many replicas of a model run here."""
        return sum(1 for placed in self.placed if placed[0] == index)


def width(model: dict[str, Any]) -> int:
    """Return how many devices one instance takes: what the model's args pin, else one."""
    result = 1
    for flag in PARALLEL_FLAGS:
        result *= whole(model["args"].get(flag)) or 1
    return result


def place(models: list[dict[str, Any]], hosts: list[Host]) -> list[Problem]:
    """Spread replicas over hosts: those with fewest of the same model first, then the least loaded, then in order.

    Models that may run on few hosts choose first. A host's load is the share of its devices that is given away. What
    fits nowhere is placed all the same, so that the message can say by how much a host is short.
    """
    problems: list[Problem] = []
    known = [host.name for host in hosts]
    for index in sorted(range(len(models)), key=lambda number: (len(models[number]["hosts"]) or len(hosts), number)):
        model, need = models[index], width(models[index])
        unknown = [name for name in model["hosts"] if name not in known]
        if unknown:
            variable, remedy = f"llm_models[{model['name']}].hosts", f"choose from {', '.join(known)}"
            problems.append(Problem(variable, unknown, "not in the group llm_inference", remedy))
            continue
        names = model["hosts"] or known
        allowed = [(order, host) for order, host in enumerate(hosts) if host.name in names]
        for replica in range(model["replicas"]):
            choice = [(order, host) for order, host in allowed if host.used + need <= host.slots] or allowed
            best = min(choice, key=lambda pair: (pair[1].replicas(index), pair[1].load, pair[0]))[1]
            best.placed.append((index, replica))
            best.used += need
    problems += [_too_many(host, models) for host in hosts if host.used > host.slots]
    for host in hosts:
        host.placed.sort()
    return problems


def _too_many(host: Host, models: list[dict[str, Any]]) -> Problem:
    devices = "GPUs (llm_gpus)" if host.device == "cuda" else "cores"
    names = ", ".join(f"{models[index]['name']}-{replica}" for index, replica in sorted(host.placed))
    problem = f"{len(host.placed)} instances ({names}) need {host.used} {devices}, there are {host.slots}"
    remedy = "lower replicas, take models away, or add hosts to llm_inference"
    if host.device == "cuda":
        remedy += "; an instance takes one GPU, or as many as tensor-parallel-size in its args says"
    return Problem("llm_models", len(host.placed), problem, remedy, host.name)
