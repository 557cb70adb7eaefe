# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPUs of a host for engines: the memory of each, its users, and the links between GPUs.

Pure functions over the facts of ``gpu_facts``; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Engine

MIB = 1024**2
GIB = 1024**3
# CUDA's total is less than nvidia-smi's by what the driver reserves. Where nvidia-smi does not tell it (drivers before
# 510), the largest share that was seen is taken off: 31.38 of 31.86 GiB on an RTX 5090.
RESERVED_SHARE = 0.015
# Share of a GPU that stays free for what no estimate knows, in addition to the margins of its instances.
MARGIN_SHARE = 0.01
# Memory in use on a GPU without a known process that needs no explanation: the driver, a display.
UNEXPLAINED_BYTES = GIB
# Memory that a host with unified memory (GB10) keeps for everything except engines.
UNIFIED_RESERVE_BYTES = 12 * GIB


class Device:
    """A GPU, or a MIG device, that engines may use."""

    def __init__(self, uuid: str, index: int, name: str, capability: tuple[int, int], total: int) -> None:
        self.uuid = uuid
        self.index = index
        self.name = name
        self.capability = capability
        self.total = total
        """Bytes that CUDA calls the total; gpu-memory-utilization is a share of it."""
        self.foreign = 0
        """Bytes held by processes that are not ours."""
        self.owners = ""
        """The programs that hold them."""
        self.island = index
        """GPUs of one island reach one another over NVLink."""
        self.sliced = False
        """Whether it is a MIG device, which works alone."""
        self.reserved = 0
        """Bytes that no engine may use: of memory that a GPU shares with its host."""
        self.taken = 0
        """Bytes given to instances, each with its share for the CUDA context."""
        self.spread = 0
        """Bytes by which these instances may exceed them: their margins."""
        self.held = 0
        """Bytes held by instances that go on although nothing is known of their model now."""
        self.shared: list[str] = []
        """Names of the instances on it, in the order in which they start."""

    @property
    def usable(self) -> int:
        """Return the bytes for all instances together, with their margins."""
        return max(0, self.capacity - self.foreign - self.held)

    @property
    def capacity(self) -> int:
        """Return the bytes that instances could get of it if nobody else used it."""
        return self.total - self.reserved - self.margin

    @property
    def margin(self) -> int:
        """Return the bytes that no instance gets: they are for what no estimate knows."""
        return int(self.total * MARGIN_SHARE)

    @property
    def left(self) -> int:
        """Return the unallocated bytes: all margins, and memory that no instance could use."""
        return self.total - self.reserved - self.foreign - self.held - self.taken

    @property
    def free(self) -> int:
        """Return the bytes that another instance could get, including its CUDA context and its margin."""
        return self.usable - self.taken - self.spread

    @property
    def kind(self) -> tuple[str, int, tuple[int, int]]:
        """Return the key by which two devices are interchangeable within one instance."""
        return self.name, self.total, self.capability


def capability(text: Any) -> tuple[int, int]:
    """Return a compute capability as numbers: ``8.9`` is (8, 9); (0, 0) where it is not known."""
    major, _dot, minor = str(text or "").partition(".")
    return (int(major), int(minor or 0)) if major.isdigit() and (minor or "0").isdigit() else (0, 0)


def too_old(power: tuple[int, int], engines: Sequence[Engine]) -> str:
    """Return what is said of a GPU that none of these engines supports."""
    needs = [f"{engine.title} needs {'.'.join(map(str, engine.least_capability))}" for engine in engines]
    known = ".".join(map(str, power)) if any(power) else "unknown"
    return f"has compute capability {known}: {', '.join(needs)}"


def islands(count: int, topology: dict[str, Any] | None) -> list[int]:
    """Return the island of each GPU: the lowest index among those that NVLink connects it with.

    :param topology: ``topology`` of ``gpu_facts``: ``matrix`` of ``nvidia-smi topo -m`` (``NV18``, ``SYS``, ...), by
        index; GPUs of which nothing is known are islands of their own.
    """
    matrix = (topology or {}).get("matrix") or []
    island = list(range(count))
    if (topology or {}).get("nvlink_all_to_all"):
        return [0] * count
    for row in range(min(count, len(matrix))):
        for column in range(min(count, len(matrix[row] or []))):
            if str(matrix[row][column]).startswith("NV"):
                joined = min(island[row], island[column])
                old = {island[row], island[column]}
                island = [joined if value in old else value for value in island]
    return island


def _foreign(gpu: dict[str, Any], own_pids: set[int], planned: int) -> tuple[int, str]:
    """Return the bytes of a GPU that other programs use, and their names.

    What nvidia-smi counts as used but shows no process for is ours up to what the plan gave us there, and the driver's
    up to 1 GiB; beyond that somebody is hiding, as processes of other containers do.
    """
    processes = [p for p in gpu.get("processes") or [] if p.get("used_memory_mib")]
    others = [p for p in processes if p.get("pid") not in own_pids]
    held = sum(int(p["used_memory_mib"]) for p in others) * MIB
    shown = sum(int(p["used_memory_mib"]) for p in processes) * MIB
    names = ", ".join(f"{p.get('name') or 'a process'} (pid {p.get('pid')})" for p in others)
    ours = planned if len(others) == len(processes) else 0
    hidden = int(gpu.get("memory_used_mib") or 0) * MIB - shown - max(ours, 0) - UNEXPLAINED_BYTES
    if hidden > 0:
        held, names = held + hidden, ", ".join(filter(None, [names, "processes that nvidia-smi does not show"]))
    return held, names


def _total(memory: Any, reserved: Any) -> int:
    total = int(memory) * MIB
    return total - int(reserved) * MIB if reserved is not None else int(total * (1 - RESERVED_SHARE))


def devices(
    facts: dict[str, Any],
    allowed: list[str],
    own_pids: set[int],
    planned: dict[str, int],
    memory_mib: int,
    engines: Sequence[Engine] = (),
) -> tuple[list[Device], list[str]]:
    """Return the devices of a host in the order of their index, and a sentence for each that cannot be used.

    :param facts: ``gpu_facts`` of the host.
    :param allowed: uuids that engines may use; empty means all.
    :param own_pids: processes of the collection on this host.
    :param planned: bytes that instances in force were given, by uuid.
    :param memory_mib: memory of the host, for GPUs that share it.
    :param engines: engines of the models; a GPU that is too old for all of them cannot be used.
    """
    usable: list[Device] = []
    refused: list[str] = []
    gpus = facts.get("gpus") or []
    group = islands(len(gpus), facts.get("topology"))
    for order, gpu in enumerate(gpus):
        uuid, index = str(gpu.get("uuid")), gpu.get("index") if gpu.get("index") is not None else order
        label = f"GPU {index} ({gpu.get('product_name') or 'unknown'})"
        slices = gpu.get("mig_devices") or []
        if allowed and uuid not in allowed and not any(one.get("uuid") in allowed for one in slices):
            continue
        power = capability(gpu.get("compute_capability"))
        if gpu.get("health", "ok") != "ok":
            remedy = "see nvidia-smi -q and dmesg for its Xid error, reset it or reboot"
            refused.append(f"{label} is {gpu['health']}: {remedy}")
        elif engines and all(power < engine.least_capability for engine in engines):
            refused.append(f"{label} {too_old(power, engines)}")
        elif str(gpu.get("mig_mode_current") or "").lower() == "enabled":
            found, sentences = _slices(gpu, int(index), power, allowed, own_pids, planned)
            usable += found
            refused += sentences or ([] if found else [f"{label} is in MIG mode without MIG devices: create some"])
        else:
            device = _whole(gpu, uuid, int(index), power, memory_mib)
            if device is None:
                refused.append(f"{label} does not tell how much memory it has")
                continue
            device.island = group[order]
            device.foreign, device.owners = _foreign(gpu, own_pids, planned.get(uuid, 0))
            usable.append(device)
    return usable, refused


def _whole(gpu: dict[str, Any], uuid: str, index: int, power: tuple[int, int], memory_mib: int) -> Device | None:
    name = str(gpu.get("product_name") or "GPU")
    if gpu.get("memory_is_unified") and memory_mib:
        device = Device(uuid, index, name, power, memory_mib * MIB)
        device.reserved = UNIFIED_RESERVE_BYTES
        return device
    if gpu.get("memory_total_mib"):
        return Device(uuid, index, name, power, _total(gpu["memory_total_mib"], gpu.get("memory_reserved_mib")))
    return None


def _slices(
    gpu: dict[str, Any],
    index: int,
    power: tuple[int, int],
    allowed: list[str],
    own_pids: set[int],
    planned: dict[str, int],
) -> tuple[list[Device], list[str]]:
    """Return the MIG devices of a GPU. Compute instances of one GPU instance share its memory, so the first counts."""
    found: list[Device] = []
    refused: list[str] = []
    seen: set[Any] = set()
    for one in gpu.get("mig_devices") or []:
        uuid, profile = str(one.get("uuid")), one.get("profile") or "?"
        if allowed and uuid not in allowed and gpu.get("uuid") not in allowed:
            continue
        if one.get("gpu_instance_id") in seen and one.get("gpu_instance_id") is not None:
            refused.append(f"MIG {profile} {uuid} shares the memory of another MIG device, which is used instead")
            continue
        if not one.get("uuid") or not one.get("memory_total_mib"):
            refused.append(f"MIG {profile} of GPU {index} does not tell uuid and memory: is nvidia-smi run as root?")
            continue
        seen.add(one.get("gpu_instance_id"))
        device = Device(uuid, index, f"{gpu.get('product_name') or 'GPU'} MIG {profile}", power, 0)
        device.total = _total(one["memory_total_mib"], 0)
        device.sliced = True
        device.island = -len(found) - 1
        number = one.get("gpu_instance_id")
        inside = [p for p in gpu.get("processes") or [] if p.get("gpu_instance_id") == number]
        slice_facts = {"processes": inside, "memory_used_mib": one.get("memory_used_mib")}
        device.foreign, device.owners = _foreign(slice_facts, own_pids, planned.get(uuid, 0))
        found.append(device)
    return found, refused
