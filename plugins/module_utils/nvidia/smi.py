# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create facts about a machine's GPUs from the output of ``nvidia-smi``, drivers 418 to 610.

Pure functions over texts; no Ansible, no files, no network. Nothing here raises on any text: what cannot be read is
None, never 0, and why is said in ``error``. Names are nvidia-smi's and NVML's own; memory is in MiB.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import errors
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.gpu import mig_devices, parse_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import (
    NO_XML,
    Document,
    Node,
    read_xml,
    value,
    whole,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.topology import (
    matrix,
    nvlink_all_to_all,
    parse_topology,
)

# One call for each kind of output. No version's XML holds the compute capability, or UUID and profile of a MIG device.
QUERIES: dict[str, tuple[str, ...]] = {
    "xml": ("-q", "-x"),
    "list": ("-L",),
    "topology": ("topo", "-m"),
    "capabilities": ("--query-gpu=index,uuid,compute_cap", "--format=csv,noheader"),
}
LISTED_GPU = re.compile(r"GPU ([0-9]{1,4}): (.*?) *\(UUID: ([^()\s]+)\)\s*")
LISTED_MIG = re.compile(r"\s+MIG (\S+)\s+Device +([0-9]{1,4}): \(UUID: ([^()\s]+)\)\s*")
CAPABILITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,2}")
VERSION = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){1,3}")
# nvidia-smi's manual, "Return value": the infoROM of a card is corrupted. The answer is complete.
WARNS = 14


class Listed(NamedTuple):
    """A GPU as ``nvidia-smi -L`` lists it; ``number`` is its index, ``migs`` are profile and UUID by device index."""

    number: int
    product_name: str | None
    uuid: str
    migs: dict[int, tuple[str, str]]


def parse_list(text: str) -> list[Listed]:
    """Read ``nvidia-smi -L``; lines that are no GPU and no MIG device are skipped."""
    found: list[Listed] = []
    for line in text.splitlines():
        gpu = LISTED_GPU.fullmatch(line)
        mig = LISTED_MIG.fullmatch(line)
        if gpu:
            found.append(Listed(int(gpu[1]), value(gpu[2]), gpu[3], {}))
        elif mig and found:
            found[-1].migs[int(mig[2])] = (mig[1], mig[3])
    return found


def parse_capabilities(text: str) -> dict[str, tuple[int | None, str | None]]:
    """Read ``--query-gpu=index,uuid,compute_cap --format=csv,noheader``: index and compute capability by UUID."""
    found = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        uuid = value(fields[1]) if len(fields) == 3 else None
        if uuid:
            found[uuid] = (whole(fields[0]), fields[2] if CAPABILITY.fullmatch(fields[2]) else None)
    return found


def further_queries(replies: Mapping[str, Reply], cards: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the queries about single GPUs that the answer about all of them left out, by a name of each.

    nvidia-smi ends its XML at the first GPU that it cannot open; the others tell of themselves if they are asked alone.

    :param cards: PCI addresses of NVIDIA display and 3D controllers, for lists that end at that GPU too.
    """
    document = read_xml(replies["xml"].out)
    found = {node.value("uuid") for node in (document.root.all("gpu") if document.root else [])}
    listed = [entry.uuid for entry in parse_list(replies["list"].out)]
    named = list(dict.fromkeys([*listed, *parse_capabilities(replies["capabilities"].out)]))
    missing = [uuid for uuid in named if uuid not in found]
    if errors.without_handle([reply.said for reply in replies.values()]) and len(named) < len(cards) - 1:
        missing = list(cards)
    return {f"xml of {name}": ("-q", "-x", "-i", name) for name in missing}


def _nodes(document: Document, replies: Mapping[str, Reply]) -> list[Node]:
    """Return the elements of the GPUs, from the answer about all of them and those about single ones."""
    nodes = document.root.all("gpu") if document.root else []
    known = {node.value("uuid") for node in nodes}
    for query, reply in replies.items():
        root = None if query in QUERIES else read_xml(reply.out).root
        for node in root.all("gpu") if root else []:
            if node.value("uuid") not in known:
                known.add(node.value("uuid"))
                nodes.append(node)
    return nodes


def _gpus(
    nodes: Sequence[Node], listed: Sequence[Listed], capabilities: Mapping[str, tuple[int | None, str | None]]
) -> list[dict[str, Any]]:
    """Merge the outputs about each GPU, by UUID.

    The XML has no index, and its order is none once a GPU in the middle cannot be opened.
    """
    by_uuid = {entry.uuid: entry for entry in listed}
    gpus = []
    for position, node in enumerate(nodes):
        entry = by_uuid.pop(node.value("uuid") or "", None)
        gpus.append(parse_gpu(node, entry.number if entry else position, entry.migs if entry else None))
    for entry in by_uuid.values():
        gpu = parse_gpu(Node("gpu"), entry.number)
        gpu.update(uuid=entry.uuid, product_name=entry.product_name, mig_devices=mig_devices(Node("gpu"), entry.migs))
        gpus.append(gpu)
    for gpu in gpus:
        index, capability = capabilities.get(gpu["uuid"] or "", (None, None))
        gpu["index"] = gpu["index"] if index is None else index
        gpu["compute_capability"] = capability
    return sorted(gpus, key=lambda gpu: int(gpu["index"]))


def mig_strategy(gpus: Sequence[Mapping[str, Any]]) -> str | None:
    """Return GPU Feature Discovery's word for how the GPUs are cut up: none, single (all alike) or mixed."""
    if not gpus:
        return None
    if not any(gpu["mig_mode_current"] == "Enabled" or gpu["mig_devices"] for gpu in gpus):
        return "none"
    profiles = {device["profile"] for gpu in gpus for device in gpu["mig_devices"]}
    return "single" if len(profiles) == 1 and all(gpu["mig_devices"] for gpu in gpus) else "mixed"


def homogeneous(gpus: Sequence[Mapping[str, Any]]) -> bool | None:
    """Check whether all GPUs are of one kind, as far as they could be read; None if there are none."""
    if not gpus:
        return None
    names = ("product_name", "compute_capability", "memory_total_mib")
    return all(len({gpu[name] for gpu in gpus} - {None}) <= 1 for name in names)


def _problems(
    gpus: Sequence[Mapping[str, Any]], document: Document, replies: Mapping[str, Reply], module_version: str | None
) -> list[str]:
    """Return the problems, the worst first."""
    command = {name: " ".join(("nvidia-smi", *words)) for name, words in QUERIES.items()}
    found = []
    stuck: dict[str, list[str]] = {}
    for query, reply in replies.items():
        if reply.failure:
            stuck.setdefault(reply.failure, []).append(query)
    for queries in stuck.values():
        together = "', '".join(command[query] for query in queries)
        found.append(errors.cause(together, replies[queries[0]], module_version))
    # Damage in a part that nobody needs, such as names of processes, is none.
    complete = bool(gpus) and all(gpu["health"] == "ok" for gpu in gpus)
    if document.flaw and not replies["xml"].failure and not complete:
        if document.flaw == NO_XML:
            found.append(errors.cause(command["xml"], replies["xml"], module_version))
        else:
            found.append(f"The answer of '{command['xml']}' is damaged ({document.flaw}): run it on the host by hand.")
    found += errors.without_handle([reply.said for reply in replies.values()])
    for gpu in gpus:
        name = " ".join(["GPU", str(gpu["index"]), *filter(None, (gpu["pci_bus_id"], gpu["uuid"]))])
        if gpu["health"] == "lost":
            found.append(errors.lost(name, "nvidia-smi calls it lost"))
        elif gpu["recovery_action"] and gpu["health"] != "ok":
            found.append(errors.lost(name, f"the driver asks for: {gpu['recovery_action']}"))
        elif gpu["health"] != "ok" and not document.flaw:
            found.append(f"{name} does not tell its memory: run the task with 'become: true', then read dmesg.")
    attached = whole(document.root.raw("attached_gpus")) if document.root else None
    if not found and attached is not None and attached > len(gpus):
        found.append(f"nvidia-smi tells of {len(gpus)} of {attached} attached GPUs: read dmesg for the others.")
    # A status other than 0 is no problem if what is needed was told. Links between GPUs are not told everywhere (WSL,
    # virtual machines), and a second list of the GPUs is needed for the UUIDs of MIG devices alone.
    needed = {
        "list": any(gpu["mig_mode_current"] == "Enabled" and not _named(gpu["mig_devices"]) for gpu in gpus),
        "capabilities": any(gpu["health"] == "ok" and gpu["compute_capability"] is None for gpu in gpus),
    }
    for query, wanted in needed.items():
        if wanted and replies[query].code not in (0, WARNS, None):
            found.append(errors.cause(command[query], replies[query], module_version))
    return list(dict.fromkeys(found))


def _named(devices: Sequence[Mapping[str, Any]]) -> bool:
    return bool(devices) and all(device["uuid"] for device in devices)


def _version(root: Node | None, *names: str) -> str | None:
    """Return the first version under one of these names; drivers from 610 on put a remark behind the old ones."""
    for name in names if root else ():
        found = VERSION.match(root.value(name) or "") if root else None
        if found:
            return found[0]
    return None


def _first(roots: Sequence[Node | None], *names: str) -> str | None:
    return next(filter(None, (_version(root, *names) for root in roots)), None)


def _fits(module: str, library: str) -> bool:
    """Check whether two driver versions are the same up to the end of the shorter: NVML omits the last part."""
    return all(one == other for one, other in zip(module.split("."), library.split(".")))


def gpu_facts(
    replies: Mapping[str, Reply],
    *,
    source: str | None,
    kernel_module: str = "",
    cards: Sequence[str] = (),
    wanted: str = "nvidia-smi",
) -> dict[str, Any]:
    """Create ``gpu_facts`` from everything that was read on a host.

    ``replies`` by the names of QUERIES; ``source`` is the program that gave them, None where there is none, and
    ``wanted`` the one that was looked for; ``kernel_module`` is the text of /proc/driver/nvidia/version, ``cards`` the
    PCI addresses of NVIDIA display and 3D controllers; replies to :func:`further_queries` may be there
    too. A machine without a card is no error.
    """
    single = {name: reply for name, reply in replies.items() if name not in QUERIES}
    replies = {name: replies.get(name, Reply()) for name in QUERIES}
    module_version, module_open = errors.kernel_module(kernel_module)
    document = read_xml(replies["xml"].out)
    listed = parse_list(replies["list"].out)
    gpus = _gpus(_nodes(document, single), listed, parse_capabilities(replies["capabilities"].out))
    said = "\n".join(reply.said for reply in replies.values())
    roots = [document.root, *(read_xml(reply.out).root for reply in single.values())]
    driver = _first(roots, "driver_version", "kmd_version") or errors.library_version(said)
    mismatch = errors.MISMATCH in said.lower()
    if source is None:
        error, problems = errors.without_program(cards, wanted), []
    else:
        problems = _problems(gpus, document, replies, module_version)
        error = " ".join(problems) or None
        idle = errors.NO_DEVICES in said.lower() or errors.NOT_LOADED in said.lower()
        # A driver's utilities in an image or on a host without a card: nothing is amiss there.
        if idle and not (gpus or cards or module_version):
            error = None

    topology = parse_topology(replies["topology"].out)
    links = matrix(topology, [gpu["index"] for gpu in gpus]) if gpus else None
    for gpu in gpus:
        gpu["numa_node"] = topology.numa_nodes.get(gpu["index"])
    reboot = True if mismatch else None
    if reboot is None and module_version and driver:
        reboot = not _fits(module_version, driver)
    elif reboot is None and not (source or module_version):
        reboot = False
    return {
        "source": source,
        "error": error,
        "degraded": bool(error)
        and any(gpu["health"] == "ok" for gpu in gpus)
        and all(errors.about_one_gpu(one) for one in problems),
        "driver_version": driver,
        "cuda_driver_version": _first(roots, "cuda_version", "cuda_umd_version"),
        "kernel_module_version": module_version,
        "kernel_module_open": module_open,
        "reboot_required": reboot,
        "gpu_count": len(gpus),
        "homogeneous": homogeneous(gpus),
        "mig_strategy": mig_strategy(gpus),
        "gpus": gpus,
        "topology": {"matrix": links, "nvlink_all_to_all": nvlink_all_to_all(links)},
    }
