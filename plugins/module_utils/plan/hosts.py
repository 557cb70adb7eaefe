# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts as the plan takes them: what keeps one from being planned, its cores and its address.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.models import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.limits import STREAM_RATE
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

CORES = re.compile(r"\d+(-\d+)?(\s*,\s*\d+(-\d+)?)*")


def unfit(name: str, facts: dict[str, Any]) -> list[Problem]:
    """Return what keeps a host from being an inference host: values that are wrong, facts that are not known.

    GPUs that cannot be used are no reason here: the models that find no place say so.
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
