#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read NVIDIA cards and what there is of their driver, without needing the driver."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_facts
short_description: Gather facts about NVIDIA cards and their driver, with or without one
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the PCI bus, the loaded kernel modules, Secure Boot and the driver's packages. Nothing needs to be installed.
  - On a host without an NVIDIA card it reads only the bus.
  - M(llmfleet.serving.gpu_facts) reads the GPUs themselves, after a driver is installed.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  sysfs_root:
    description: Mount point of sysfs.
    type: path
    default: /sys
  proc_root:
    description: Mount point of procfs.
    type: path
    default: /proc
"""

EXAMPLES = r"""
- name: Know the cards
  llmfleet.serving.nvidia_driver_facts:

- name: Show them
  ansible.builtin.debug:
    var: ansible_facts['nvidia_driver']['cards']
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: always
  type: dict
  contains:
    nvidia_driver:
      description: NVIDIA cards and their driver.
      returned: always
      type: dict
      contains:
        cards:
          description:
            - The cards, each with C(pci_bus_id), C(device_id), C(architecture) (null where its id is in no table) and
              C(nvlink_switched), which tells boards with NVLink switches that are no NVSwitches on the bus.
          type: list
          elements: dict
        nvswitches: {description: PCI addresses of NVSwitches., type: list, elements: str}
        kernel: {description: Release of the running kernel., type: str}
        secure_boot: {description: Whether Secure Boot is on., type: bool}
        nouveau_loaded: {description: Whether the kernel has loaded nouveau., type: bool}
        loaded_version: {description: Version of the loaded driver; null without., type: str, sample: 580.105.08}
        loaded_open: {description: Whether the loaded modules are the open ones; null without., type: bool}
        packages:
          description: Installed packages that may belong to the driver, each with C(version) and C(held).
          type: dict
        record: {description: Packages that the role C(nvidia_driver) brought., type: list, elements: str}
        initramfs:
          description: Command that rebuilds the initramfs; empty if there is none.
          type: list
          elements: str
"""

import glob
import json
import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_state, pci_ids
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import errors as nvidia_errors

# The driver's own, what its modules are built with, and the key of its repository.
PATTERNS = (
    *("*nvidia*", "libcuda*", "libnvcuvid1", "libnvsdm*", "libxnvctrl*", "cuda-drivers*", "nvlsm", "nvlink5*"),
    *("dkms", "linux-headers-*", "proxmox-headers-*", "kernel-*devel*", "cuda-keyring"),
)
SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
RECORD = "/etc/ansible/facts.d/llmfleet_nvidia_driver.fact"
LOCKS = "/etc/dnf/plugins/versionlock.list"
INITRAMFS = (("update-initramfs", "-u", "-k", "all"), ("dracut", "--force", "--regenerate-all"))

ARGUMENTS: dict[str, Any] = {
    "sysfs_root": {"type": "path", "default": "/sys"},
    "proc_root": {"type": "path", "default": "/proc"},
}


def text(*path: str) -> str:
    """Return the text of a small file."""
    return read_text(os.path.join(*path), 262144)


def bus(sysfs_root: str) -> pci_ids.Bus:
    """Read the PCI bus."""
    folders = glob.glob(os.path.join(sysfs_root, "bus/pci/devices/*"))
    return pci_ids.read_bus(
        {"address": os.path.basename(folder), **{name: text(folder, name) for name in ("vendor", "class", "device")}}
        for folder in folders
    )


def packages(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    """Return installed packages with version and whether they are held."""
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    if shutil.which("dpkg-query"):
        form = "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n"
        _code, out, _err = module.run_command(["dpkg-query", "--show", form, "--", *PATTERNS])
        rows = [line.split("\t") for line in out.splitlines()]
        # Two letters: what is wanted of it (h: hold), and what it is (i: installed).
        return {
            row[1]: {"version": row[2], "held": row[0][0] == "h"}
            for row in rows
            if len(row) == 3 and row[0][1:2] == "i"
        }
    if not shutil.which("rpm"):
        return {}
    _code, out, _err = module.run_command(["rpm", "-qa", "--queryformat", "%{NAME}\t%{VERSION}\n", *PATTERNS])
    versions = {row[0]: row[1] for row in (line.split("\t") for line in out.splitlines()) if len(row) == 2}
    held = driver_state.locked(versions, text(LOCKS))
    return {name: {"version": version, "held": name in held} for name, version in versions.items()}


def record() -> list[str]:
    """Return the packages that the role brought."""
    try:
        found = json.loads(text(RECORD) or "{}")
    except ValueError:
        return []
    names = found.get("packages") if isinstance(found, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def gather(module: AnsibleModule) -> dict[str, Any]:
    """Read everything."""
    sysfs, proc = module.params["sysfs_root"], module.params["proc_root"]
    found = bus(sysfs)
    facts: dict[str, Any] = {
        "cards": found.cards,
        "nvswitches": found.nvswitches,
        "kernel": os.uname().release,
        "secure_boot": False,
        "nouveau_loaded": False,
        "loaded_version": None,
        "loaded_open": None,
        "packages": {},
        "record": record(),
        "initramfs": [],
    }
    if not found.cards and not facts["record"]:
        return facts
    version, is_open = nvidia_errors.kernel_module(text(proc, "driver/nvidia/version"))
    facts.update(
        # Four bytes of attributes, then the value.
        secure_boot=text(sysfs, SECURE_BOOT)[4:5] == "\x01",
        nouveau_loaded=os.path.isdir(os.path.join(sysfs, "module/nouveau")),
        loaded_version=version,
        loaded_open=is_open,
        packages=packages(module),
        initramfs=next((list(command) for command in INITRAMFS if shutil.which(command[0])), []),
    )
    return facts


def main() -> None:
    """Gather the facts and report them."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, ansible_facts={"nvidia_driver": gather(module)})


if __name__ == "__main__":
    main()
