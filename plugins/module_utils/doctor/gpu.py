# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the driver and the GPUs of a host: versions, health, memory errors, heat, power, MIG and NVSwitch fabric.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, WARNING, Finding, fine
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import fabric
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import Node, number, pci_bus_id, read_xml

DRIVER, GPU = "driver", "gpu"
RESET = "stop the engines of this GPU and reset it (nvidia-smi --gpu-reset -i UUID), or reboot"
# Reasons that slow down a working GPU, by the end of the tag: clocks_event_reason_X, of old drivers
# clocks_throttle_reason_X.
SLOWED = {
    "hw_thermal_slowdown": ("it is too hot", "look at fans, filters, airflow and the temperature of the room"),
    "sw_thermal_slowdown": ("it is too hot", "look at fans, filters, airflow and the temperature of the room"),
    "hw_power_brake_slowdown": (
        "the machine's power supply asks it to brake",
        "look at power supplies and their cables",
    ),
}


def driver(gpu_facts: Mapping[str, Any] | None) -> list[Finding]:
    """Judge whether module, library and nvidia-smi work together.

    :param gpu_facts: what the module of that name says; None where it was not asked.
    """
    if not gpu_facts:
        remedy = "gather them with the module gpu_facts before"
        return [Finding(DRIVER, ERROR, "nvidia-smi", "nothing is known of the GPUs", "nobody asked nvidia-smi", remedy)]
    module, library = gpu_facts.get("kernel_module_version"), gpu_facts.get("driver_version")
    versions = f"driver {library or 'unknown'}, kernel module {module or 'not loaded'}"
    found = []
    if gpu_facts.get("reboot_required"):
        cause = "the driver was updated, and the module of before is still loaded"
        remedy = "reboot; in a container guest install the driver's libraries in the version of the host's module"
        found.append(Finding(DRIVER, ERROR, "kernel module", versions, cause, remedy))
    elif gpu_facts.get("error"):
        # The text contains the remedy after the first colon of its sentences.
        cause, colon, remedy = str(gpu_facts["error"]).partition(": ")
        if not colon:
            cause, remedy = str(gpu_facts["error"]), "run nvidia-smi on the host and read dmesg"
        severity = WARNING if gpu_facts.get("degraded") else ERROR
        found.append(Finding(DRIVER, severity, "nvidia-smi", versions, cause, remedy))
    elif not gpu_facts.get("gpus"):
        cause = "there is no NVIDIA card, or it is not passed through to this machine"
        remedy = "put the card in, or set llm_device to cpu for this host"
        found.append(Finding(DRIVER, ERROR, "nvidia-smi", f"{versions}, no GPU", cause, remedy))
    return found or [fine(DRIVER, "nvidia-smi", f"{versions}, {len(gpu_facts['gpus'])} GPUs")]


def label(gpu: Mapping[str, Any]) -> str:
    """Return the display name of a GPU."""
    return " ".join(
        ["GPU", str(gpu.get("index")), *filter(None, [f"({gpu['product_name']})" if gpu.get("product_name") else ""])]
    )


def names(gpu_facts: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the display name of the GPU at each PCI address."""
    return {str(gpu.get("pci_bus_id")): label(gpu) for gpu in (gpu_facts or {}).get("gpus") or []}


def sound(gpu_facts: Mapping[str, Any] | None) -> list[str]:
    """Return the PCI addresses of healthy GPUs."""
    return [str(gpu.get("pci_bus_id")) for gpu in (gpu_facts or {}).get("gpus") or [] if gpu.get("health") == "ok"]


def known(gpu_facts: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Return GPUs by UUID; a MIG device is found under its own, as the GPU that it is part of."""
    found: dict[str, Mapping[str, Any]] = {}
    for gpu in (gpu_facts or {}).get("gpus") or []:
        for one in [gpu, *(gpu.get("mig_devices") or [])]:
            if one.get("uuid"):
                found[str(one["uuid"])] = gpu
    return found


def free_mib(gpu_facts: Mapping[str, Any] | None, uuid: str) -> int | None:
    """Return the free MiB of a GPU or MIG device; None if unknown."""
    for gpu in (gpu_facts or {}).get("gpus") or []:
        for one in [gpu, *(gpu.get("mig_devices") or [])]:
            if one.get("uuid") == uuid and one.get("memory_total_mib") is not None:
                return (
                    int(one["memory_total_mib"])
                    - int(one.get("memory_used_mib") or 0)
                    - int(one.get("memory_reserved_mib") or 0)
                )
    return None


def present(gpu_facts: Mapping[str, Any] | None, engines: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Judge whether every planned GPU is there."""
    there, found = known(gpu_facts), []
    for engine in engines:
        missing = [uuid for uuid in engine.get("gpus") or [] if uuid not in there]
        if missing:
            cause = "it was taken out, is lost, or its MIG layout was changed after the plan was made"
            remedy = "bring it back, or make a new plan (playbooks/plan.yml, then site.yml)"
            found.append(Finding(GPU, ERROR, str(engine["name"]), f"{', '.join(missing)} is not there", cause, remedy))
    return found


def _one(gpu: Mapping[str, Any], lost: str) -> list[Finding]:
    """Judge one GPU.

    :param lost: severity of the finding that it is lost.
    """
    subject, found = label(gpu), []
    if gpu.get("health") == "lost":
        found.append(
            Finding(
                GPU,
                lost,
                subject,
                "lost",
                "it does not answer the driver any more",
                f"{RESET}; read dmesg for its Xid",
            )
        )
    elif (gpu.get("recovery_action") or "None").lower() != "none":
        found.append(
            Finding(
                GPU,
                lost,
                subject,
                f"the driver asks for: {gpu['recovery_action']}",
                "an error that it could not mend",
                f"{RESET}; read dmesg for its Xid",
            )
        )
    current, pending = gpu.get("mig_mode_current"), gpu.get("mig_mode_pending")
    if current and pending and current != pending:
        found.append(
            Finding(
                GPU,
                WARNING,
                subject,
                f"MIG is {current} and will be {pending}",
                "the mode changes with the next reset",
                RESET,
            )
        )
    if fabric.fabric_state(gpu.get("fabric")) in (fabric.PENDING, fabric.FAILED):
        found.append(
            Finding(
                GPU,
                ERROR,
                subject,
                f"NVLink fabric: {fabric.said(gpu.get('fabric'))}",
                "the NVSwitches are not set up: the fabric manager does not run, or is not of the driver's version",
                "install nvidia-fabricmanager in exactly the driver's version, restart it, and read its log",
            )
        )
    if gpu.get("persistence_mode") == "Disabled":
        found.append(
            Finding(
                GPU,
                WARNING,
                subject,
                "persistence mode is off",
                "without a program on it the GPU is shut down, and takes seconds to come back",
                "enable and start nvidia-persistenced",
            )
        )
    return found


def _measured(node: Node, subject: str) -> list[Finding]:
    """Judge the values that gpu_facts does not contain: memory errors, heat and power, in the element of one GPU."""
    found = []
    rows = node.at("remapped_rows")
    if rows and rows.raw("remapped_row_failure").lower() == "yes":
        found.append(
            Finding(
                GPU,
                ERROR,
                subject,
                "a row of its memory could not be remapped",
                "there is no spare row left",
                "take the GPU out of llm_gpus and have the card replaced",
            )
        )
    pending = [
        rows.raw("remapped_row_pending") if rows else "",
        node.raw("retired_pages", "pending_retirement"),
        node.raw("retired_pages", "pending_blacklist"),
    ]
    if "yes" in [text.lower() for text in pending]:
        found.append(
            Finding(
                GPU,
                WARNING,
                subject,
                "a repair of its memory is pending",
                "a defective row of its memory will be replaced by a spare one at the next reset",
                RESET,
            )
        )
    for tags in (
        ("clocks_event_reasons", "clocks_event_reason_"),
        ("clocks_throttle_reasons", "clocks_throttle_reason_"),
    ):
        for name, (cause, remedy) in SLOWED.items():
            if node.raw(tags[0], tags[1] + name) == "Active":
                found.append(Finding(GPU, WARNING, subject, f"slowed down now ({name})", cause, remedy))
    for readings, tag in (("gpu_power_readings", "current_power_limit"), ("power_readings", "power_limit")):
        limit, default = (number(node.raw(readings, each), "W") for each in (tag, "default_power_limit"))
        if limit is not None and default is not None and limit < default:
            found.append(
                Finding(
                    GPU,
                    WARNING,
                    subject,
                    f"power limit {limit:g} W, the card's own is {default:g} W",
                    "somebody limited it",
                    "to change it: nvidia-smi -i UUID -pl WATTS",
                )
            )
    return found


def _in_use(gpu: Mapping[str, Any], engines: Iterable[Mapping[str, Any]]) -> bool:
    uuids = {one.get("uuid") for one in [gpu, *(gpu.get("mig_devices") or [])]}
    return any(uuids & set(engine.get("gpus") or []) for engine in engines)


def health(gpu_facts: Mapping[str, Any] | None, xml: str, engines: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """Judge the health of every GPU; the GPUs without problems share one finding.

    A lost GPU is a warning where others work and no engine is to use it.

    :param xml: the answer of ``nvidia-smi -q -x``; empty where there is none.
    :param engines: engines that are to run, with the UUIDs of their ``gpus``.
    """
    gpus = (gpu_facts or {}).get("gpus") or []
    root = read_xml(xml).root
    nodes = {pci_bus_id(node.raw("pci", "pci_bus_id")): node for node in (root.all("gpu") if root else [])}
    found: list[Finding] = []
    well = []
    for gpu in gpus:
        node = nodes.get(gpu.get("pci_bus_id"))
        spared = bool((gpu_facts or {}).get("degraded")) and not _in_use(gpu, engines)
        mine = _one(gpu, WARNING if spared else ERROR) + (
            _measured(node, label(gpu)) if node and gpu.get("health") != "lost" else []
        )
        found += mine
        well += [] if mine else [label(gpu)]
    return found + ([fine(GPU, well[0] if len(well) == 1 else f"{len(well)} GPUs", "healthy")] if well else [])
