# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create the facts of one GPU from its element in the XML of ``nvidia-smi -q -x``, drivers 418 to 595.

Pure functions over texts; no Ansible, no files, no network. What cannot be read is None, never 0. Names are
nvidia-smi's and NVML's own; memory is in MiB.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import (
    LOST,
    Node,
    bare,
    mib,
    number,
    pci_bus_id,
    whole,
)

# Texts of users, which must not be parsed as words of nvidia-smi.
PROCESSES = ("processes", "accounted_processes")
UNAVAILABLE = ("n/a", "not supported")
# GPUs without memory of their own; drivers differ in whether they report the host's or N/A.
UNIFIED = re.compile(r"\b(?:GB10|Thor|Orin)\b")
# NVML's recommendation for a GPU on which no program can start any more.
NEEDS_RECOVERY = ("reset", "gpu reset", "reboot", "node reboot")


def _processes(gpu: Node) -> list[dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for info in (gpu.at("processes") or gpu).all("process_info"):
        entry = {
            "pid": whole(info.raw("pid")),
            "name": info.value("process_name"),
            "used_memory_mib": mib(info.raw("used_memory")),
            "gpu_instance_id": whole(info.raw("gpu_instance_id")),
            "compute_instance_id": whole(info.raw("compute_instance_id")),
        }
        if entry["pid"] is None:
            continue
        # A process that both computes and draws may be listed for each, with the same memory.
        known = found.setdefault((entry["pid"], entry["gpu_instance_id"], entry["compute_instance_id"]), entry)
        amounts = [each["used_memory_mib"] for each in (known, entry) if each["used_memory_mib"] is not None]
        known["used_memory_mib"] = max(amounts, default=None)
    return list(found.values())


def mig_devices(gpu: Node, listed: Mapping[int, tuple[str, str]]) -> list[dict[str, Any]]:
    """Join the MIG devices of the XML with profile and UUID of ``nvidia-smi -L``, by their index on the GPU."""
    devices: dict[int, dict[str, Any]] = {}
    container = gpu.at("mig_devices")
    for position, node in enumerate(container.all("mig_device") if container else []):
        index = whole(node.raw("index"))
        devices[position if index is None else index] = {
            "gpu_instance_id": whole(node.raw("gpu_instance_id")),
            "compute_instance_id": whole(node.raw("compute_instance_id")),
            "memory_total_mib": mib(node.raw("fb_memory_usage", "total")),
            "memory_used_mib": mib(node.raw("fb_memory_usage", "used")),
        }
    unread = dict.fromkeys(("gpu_instance_id", "compute_instance_id", "memory_total_mib", "memory_used_mib"))
    found = []
    for index in sorted({*devices, *listed}):
        profile, uuid = listed.get(index, (None, None))
        found.append({"uuid": uuid, "profile": profile, **(devices.get(index) or unread)})
    return found


def _unified(gpu: Node, product_name: str | None, addressing_mode: str | None) -> bool | None:
    """Check whether the GPU uses the host's memory; None if that is unknown."""
    if UNIFIED.search(product_name or ""):
        return True
    total = gpu.raw("fb_memory_usage", "total")
    if mib(total) is not None:
        return False
    # HMM joins two memories by page faults: a GPU that needs it has memory of its own.
    return True if bare(total) in UNAVAILABLE and addressing_mode != "HMM" else None


def _power_limit(gpu: Node) -> float | None:
    # gpu_power_readings from 535 on; enforced is what holds where several limits are set.
    for path in (
        ("gpu_power_readings", "current_power_limit"),
        ("power_readings", "enforced_power_limit"),
        ("power_readings", "power_limit"),
    ):
        limit = number(gpu.raw(*path), "W")
        if limit is not None:
            return limit
    return None


def _fabric(gpu: Node) -> dict[str, Any] | None:
    names = {"state": "state", "status": "status", "clique_id": "cliqueId", "cluster_uuid": "clusterUuid"}
    fabric = {name: gpu.value("fabric", tag) for name, tag in names.items()}
    return fabric if any(text is not None for text in fabric.values()) else None


def _health(gpu: dict[str, Any], node: Node) -> str:
    if any(child.says(LOST) for child in node.children if child.name not in PROCESSES):
        return "lost"
    readable = gpu["memory_total_mib"] is not None or gpu["memory_is_unified"]
    usable = (gpu["recovery_action"] or "").lower() not in NEEDS_RECOVERY
    return "ok" if gpu["uuid"] and readable and usable else "unknown"


def parse_gpu(node: Node, index: int, migs: Mapping[int, tuple[str, str]] | None = None) -> dict[str, Any]:
    """Create the facts of one ``<gpu>``; values that the XML does not hold stay None: compute capability, NUMA node."""
    product_name, addressing_mode = node.value("product_name"), node.value("addressing_mode")
    gpu: dict[str, Any] = {
        "index": index,
        "uuid": node.value("uuid"),
        "minor_number": whole(node.raw("minor_number")),
        "pci_bus_id": pci_bus_id(node.raw("pci", "pci_bus_id")),
        "product_name": product_name,
        "architecture": node.value("product_architecture"),
        "compute_capability": None,
        "memory_total_mib": mib(node.raw("fb_memory_usage", "total")),
        "memory_reserved_mib": mib(node.raw("fb_memory_usage", "reserved")),
        "memory_used_mib": mib(node.raw("fb_memory_usage", "used")),
        "memory_is_unified": _unified(node, product_name, addressing_mode),
        "addressing_mode": addressing_mode,
        "mig_mode_current": node.value("mig_mode", "current_mig"),
        "mig_mode_pending": node.value("mig_mode", "pending_mig"),
        "mig_devices": mig_devices(node, migs or {}),
        "ecc_mode_current": node.value("ecc_mode", "current_ecc"),
        "persistence_mode": node.value("persistence_mode"),
        "power_limit_w": _power_limit(node),
        "numa_node": None,
        "fabric": _fabric(node),
        "recovery_action": node.value("gpu_recovery_action"),
        "health": "unknown",
        "processes": _processes(node),
    }
    gpu["health"] = _health(gpu, node)
    return gpu
