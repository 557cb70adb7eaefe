#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the CDI specification of the NVIDIA GPUs up to date."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cdi_specification
short_description: Keep the CDI specification of the NVIDIA GPUs up to date
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Rewrites the specification if it lacks a GPU or MIG device that C(nvidia-smi) lists, or if it is from another driver
    than the installed one.
  - From version 1.18 on a unit of NVIDIA's toolkit writes it to a directory that is emptied at boot. A specification of
    an older version in C(/etc/cdi) is then removed, because its devices and libraries may be outdated.
  - It does nothing where C(nvidia-smi) lists no GPU because the driver is not loaded yet.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says what it would do.}
  diff_mode: {support: full, details: Shows the devices and the reason.}
  idempotent: {support: full, details: A specification that is right is left alone.}
options:
  service: {description: Unit that writes the specification., type: str, default: nvidia-cdi-refresh.service}
  units:
    description: Units that have to be enabled where O(service) exists, so that a boot writes the specification anew.
    type: list
    elements: str
    default: [nvidia-cdi-refresh.path, nvidia-cdi-refresh.service]
  static_file:
    description: Specification that is stale where O(service) exists, and is written where it does not.
    type: path
    default: /etc/cdi/nvidia.yaml
  file: {description: Specification that O(service) writes., type: path, default: /var/run/cdi/nvidia.yaml}
  environment_file:
    description: Environment file of O(service); where it sends the specification to O(static_file), that is not stale.
    type: path
    default: /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env
"""

EXAMPLES = r"""
- name: Write the CDI specification
  llmfleet.serving.cdi_specification:
"""

RETURN = r"""
gpus: {description: GPUs and MIG devices that containers can ask for., returned: always, type: list, elements: str}
devices: {description: Names that the specification knows., returned: always, type: list, elements: str}
missing: {description: GPUs that the specification lacks all the same., returned: always, type: list, elements: str}
reason: {description: Why it was written anew; empty where it was not., returned: always, type: str}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cdi

ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "service": {"type": "str", "default": "nvidia-cdi-refresh.service"},
    "units": {
        "type": "list",
        "elements": "str",
        "default": ["nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service"],
    },
    "static_file": {"type": "path", "default": "/etc/cdi/nvidia.yaml"},
    "file": {"type": "path", "default": "/var/run/cdi/nvidia.yaml"},
    "environment_file": {"type": "path", "default": "/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env"},
}
CTK = "nvidia-ctk"


class Host:
    """Access to the host's programs."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def said(self, *argv: str) -> str:
        """Return the output of a program; empty if it is missing or fails."""
        path = self.module.get_bin_path(argv[0])
        if not path:
            return ""
        code, out, _err = self.module.run_command([path, *argv[1:]])
        return "" if code else str(out)

    def must(self, *argv: str) -> None:
        """Run a program, or fail with its output."""
        code, out, err = self.module.run_command(list(argv))
        if code:
            said = (err.strip() or out.strip()).rstrip(".")
            remedy = "see 'journalctl -u nvidia-cdi-refresh', and run it by hand on the host."
            fail(self.module, f"'{' '.join(argv)}' failed, so containers would get no GPU: {said}; {remedy}")

    def enabled(self, unit: str) -> bool:
        """Check whether a unit starts with the machine; one that cannot be enabled counts as such."""
        return "UnitFileState=disabled" not in self.said("systemctl", "show", unit, "--property=UnitFileState")

    def devices(self) -> list[str]:
        """Return the names that the specification knows."""
        return cdi.devices(self.said(CTK, "--quiet", "cdi", "list"))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    host, params = Host(module), module.params
    gpus = cdi.requestable(host.said("nvidia-smi", "-L"))
    by_unit = "LoadState=loaded" in host.said("systemctl", "show", params["service"], "--property=LoadState")
    target = (
        (cdi.output_file(read_text(params["environment_file"])) or params["file"]) if by_unit else params["static_file"]
    )
    stale = by_unit and target != params["static_file"] and os.path.exists(params["static_file"])
    disabled = [unit for unit in params["units"] if by_unit and not host.enabled(unit)]
    before, text = host.devices(), read_text(target)
    reason = ""
    if gpus:
        driver = host.said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split()
        reason = cdi.refresh_reason(gpus, before, text, driver[0] if driver else "")
    after = before
    if not module.check_mode:
        if disabled:
            host.must("systemctl", "enable", *disabled)
            for unit in disabled:
                # The service itself is started only if it has something to do.
                if unit != params["service"]:
                    host.must("systemctl", "start", unit)
        if stale:
            os.unlink(params["static_file"])
        if reason and by_unit:
            if "NeedDaemonReload=yes" in host.said(
                "systemctl", "show", params["service"], "--property=NeedDaemonReload"
            ):
                host.must("systemctl", "daemon-reload")
            host.must("systemctl", "restart", params["service"])
        elif reason:
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            host.must(CTK, "--quiet", "cdi", "generate", f"--output={target}")
        if stale or reason:
            after = host.devices()
    # A GPU in MIG mode without a MIG device is never in it: writing the same again is no change.
    written = bool(reason) and (module.check_mode or after != before or read_text(target) != text)
    module.exit_json(
        changed=stale or written or bool(disabled),
        gpus=gpus,
        devices=after,
        missing=[gpu for gpu in gpus if gpu not in after],
        reason=reason,
        diff={
            "before": "".join(f"{name}\n" for name in before) + (f"{params['static_file']}\n" if stale else ""),
            "after": "".join(f"{name}\n" for name in after)
            + (f"written anew: {reason}\n" if written else "")
            + "".join(f"{unit} enabled\n" for unit in disabled),
        },
    )


if __name__ == "__main__":
    main()
