#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin I/O around module_utils/nvidia/smi.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_facts
short_description: Gather facts about NVIDIA GPUs, their driver and how they are connected
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Asks C(nvidia-smi), which every NVIDIA driver brings, for everything that planning needs - memory, compute
    capability, MIG devices, links, health, and who uses the GPUs now. Nothing is installed on the host.
  - The four calls run at the same time. One that hangs is killed, and the results of the others are used.
  - If one GPU cannot be opened, the others are asked one by one.
  - A host without a GPU, without a driver, with a lost GPU, without permission or with a hanging driver is told of in
    RV(ansible_facts.gpu_facts.error) and fails only where O(fail_on_error=true).
  - A value that nvidia-smi does not know (C(N/A), C([Not Supported]), C(GPU is lost) and the like) is null, never 0.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
  - llmfleet.serving.host
options:
  nvidia_smi_path:
    description:
      - The C(nvidia-smi) program.
      - Without it, E(PATH) and the directories that drivers, containers and WSL use are searched.
    type: path
  timeout:
    description: Seconds that nvidia-smi may take. Without persistence mode it initializes every GPU anew.
    type: int
    default: 30
  fail_on_error:
    description:
      - Whether to fail if RV(ansible_facts.gpu_facts.error) would be set, unless other GPUs work beside a lost one.
    type: bool
    default: false
notes:
  - It changes nothing and can run at any time.
  - Names of processes of other users may be null where it does not run as root.
"""

EXAMPLES = r"""
- name: Know the GPUs of this host
  llmfleet.serving.gpu_facts:

- name: Stop where a GPU is not as it should be
  llmfleet.serving.gpu_facts:
    nvidia_smi_path: /usr/bin/nvidia-smi
    timeout: 60
    fail_on_error: true

- name: Show the memory of each GPU
  ansible.builtin.debug:
    msg: "{{ ansible_facts['gpu_facts']['gpus'] | items2dict('uuid', 'memory_total_mib') }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: always
  type: dict
  contains:
    gpu_facts:
      description: The GPUs of this host. A value that could not be read is null.
      returned: always
      type: dict
      contains:
        source:
          description: The program that was called; null if there is none.
          type: str
          sample: /usr/bin/nvidia-smi
        error:
          description:
            - The problem and its remedy; null if there is none, as on a host without an NVIDIA card.
            - The facts that could be read are returned in any case.
          type: str
        degraded:
          description: Whether the error is about some GPUs alone, which are lost or need a reset, and the others work.
          type: bool
        driver_version: {description: Version of the driver., type: str, sample: 580.105.08}
        cuda_driver_version: {description: Newest CUDA version that the driver runs., type: str, sample: "13.0"}
        kernel_module_version: {description: Version of the loaded kernel module., type: str, sample: 580.105.08}
        kernel_module_open: {description: Whether it is the open kernel module., type: bool}
        reboot_required:
          description: Whether the loaded kernel module is of another version than the driver's library.
          type: bool
        gpu_count: {description: Number of GPUs in RV(ignore:gpus)., type: int, sample: 8}
        homogeneous: {description: Whether all GPUs are of one kind; null without any., type: bool}
        mig_strategy:
          description:
            - V(none), V(single) where all GPUs are cut into the same MIG profile, else V(mixed); null without GPUs.
          type: str
        gpus:
          description: The GPUs, in the order of their indices.
          type: list
          elements: dict
          contains:
            index: {description: Index that nvidia-smi gives it; it changes with the machine's cards., type: int}
            uuid: {description: UUID; what to name a GPU by., type: str}
            minor_number: {description: "Number of its device file, C(/dev/nvidiaN).", type: int}
            pci_bus_id: {description: PCI address as sysfs writes it., type: str, sample: "0000:53:00.0"}
            product_name: {description: Product., type: str, sample: NVIDIA H100 80GB HBM3}
            architecture: {description: Architecture; older drivers do not tell., type: str, sample: Hopper}
            compute_capability: {description: Compute capability., type: str, sample: "9.0"}
            memory_total_mib: {description: Memory in MiB; null where it is the host's., type: int, sample: 81559}
            memory_reserved_mib: {description: MiB that driver and firmware keep., type: int, sample: 480}
            memory_used_mib: {description: "MiB in use, without those reserved.", type: int, sample: 0}
            memory_is_unified: {description: Whether its memory is the host's memory., type: bool, sample: false}
            addressing_mode: {description: V(HMM) or V(ATS)., type: str}
            mig_mode_current: {description: V(Enabled) or V(Disabled); null where it has no MIG., type: str}
            mig_mode_pending: {description: MIG mode after the next reset., type: str}
            mig_devices:
              description:
                - Its MIG devices.
                - Compute instances of one GPU instance show the same memory, for they share it. Count it once.
              type: list
              elements: dict
              contains:
                uuid: {description: UUID to name it by., type: str}
                profile: {description: Profile., type: str, sample: 3g.40gb}
                gpu_instance_id: {description: GPU instance that it is part of., type: int}
                compute_instance_id: {description: Compute instance within that., type: int}
                memory_total_mib: {description: MiB of its GPU instance., type: int, sample: 40448}
                memory_used_mib: {description: MiB in use in its GPU instance., type: int}
            ecc_mode_current: {description: V(Enabled) or V(Disabled); null where it has no ECC., type: str}
            persistence_mode: {description: V(Enabled) or V(Disabled)., type: str}
            power_limit_w: {description: Power limit in watts., type: float, sample: 700.0}
            numa_node: {description: NUMA node that it is attached to; null where that is not one., type: int}
            fabric:
              description: "Where NVSwitches connect the GPUs: C(state), C(status), C(clique_id), C(cluster_uuid)."
              type: dict
            recovery_action: {description: Action that the driver recommends; null if none., type: str}
            health:
              description: V(ok); V(lost) for one that only a reset or reboot can restore; else V(unknown).
              type: str
            processes:
              description:
                - Who uses it - C(pid), C(name), C(used_memory_mib), and on MIG devices C(gpu_instance_id) and
                  C(compute_instance_id).
                - In a container, processes of others do not show.
              type: list
              elements: dict
        topology:
          description: Connections between the GPUs.
          type: dict
          contains:
            matrix:
              description:
                - Row and column in the order of RV(ignore:gpus).
                - One of V(X), V(NV18) (any number of links), V(PIX), V(PXB), V(PHB), V(NODE) and V(SYS).
              type: list
              elements: list
              sample: [[X, NV18], [NV18, X]]
            nvlink_all_to_all:
              description: Whether every GPU reaches every other over NVLink; null where that is unknown.
              type: bool
"""

import glob
import os
import shutil
from typing import Any, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi import QUERIES, further_queries, gpu_facts

PROGRAM = "nvidia-smi"
# Directories in which drivers, containers and WSL install it if it is not in the PATH of a login without a profile.
DIRECTORIES = (
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/nvidia/bin",
    "/opt/bin",
    "/run/current-system/sw/bin",
    "/usr/lib/wsl/lib",
)
KERNEL_MODULE = "/proc/driver/nvidia/version"
PCI_DEVICES = "/sys/bus/pci/devices"
NVIDIA = "0x10de"
DISPLAY_CLASS = "0x03"

ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "nvidia_smi_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "fail_on_error": {"type": "bool", "default": False},
}


def nvidia_cards() -> list[str]:
    """Return the PCI addresses of NVIDIA display and 3D controllers, which the kernel knows without any driver."""
    return sorted(
        os.path.basename(folder)
        for folder in glob.glob(os.path.join(PCI_DEVICES, "*"))
        if read_text(os.path.join(folder, "vendor")).strip() == NVIDIA
        and read_text(os.path.join(folder, "class")).startswith(DISPLAY_CLASS)
    )


def find_program(wanted: str | None) -> str | None:
    """Return the absolute path of nvidia-smi; None where there is none that can be run."""
    searched = os.pathsep.join([os.environ.get("PATH", ""), *DIRECTORIES])
    found = shutil.which(wanted or PROGRAM, path=searched)
    return os.path.abspath(found) if found else None


def ask(program: str, timeout: float) -> dict[str, Reply]:
    """Run all queries of nvidia-smi in parallel, then those about GPUs that the answers left out."""
    replies = _run(program, QUERIES, timeout)
    # A driver that answers nothing is not waited for twice.
    if all(reply.failure for reply in replies.values()):
        return replies
    return {**replies, **_run(program, further_queries(replies, nvidia_cards()), timeout)}


def _run(program: str, queries: Mapping[str, Sequence[str]], timeout: float) -> dict[str, Reply]:
    commands = {name: [program, *words] for name, words in queries.items()}
    return {name: Reply(*ended) for name, ended in programs.run_together(commands, timeout).items()}


def gather(params: dict[str, Any]) -> dict[str, Any]:
    """Read everything on this host and make facts of it."""
    program = find_program(params["nvidia_smi_path"])
    return gpu_facts(
        ask(program, params["timeout"]) if program else {},
        source=program,
        kernel_module=read_text(KERNEL_MODULE),
        cards=nvidia_cards(),
        wanted=params["nvidia_smi_path"] or PROGRAM,
    )


def main() -> None:
    """Gather the facts and report them."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["timeout"] < 1:
        refuse(module, "timeout", module.params["timeout"], "nvidia-smi needs time", "give at least 1 second")
    facts = gather(module.params)
    if facts["error"] and not facts["degraded"] and module.params["fail_on_error"]:
        fail(module, f"{facts['error']}", ansible_facts={"gpu_facts": facts})
    module.exit_json(changed=False, ansible_facts={"gpu_facts": facts})


if __name__ == "__main__":
    main()
