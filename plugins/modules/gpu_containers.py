#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restart only the containers that lost their GPUs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_containers
short_description: Restart only the containers that lost their GPUs
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - After a reload of systemd a container that got its GPUs the old way may be refused them, with "Failed to initialize
    NVML, Unknown Error", while its process seems well. Asks C(nvidia-smi) in each running container with a label that
    names its GPUs, and restarts the unit of the container's name where one of them is gone.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says which units it would restart.}
  diff_mode: {support: full, details: Shows which GPUs each of them lost.}
  idempotent: {support: full, details: Containers that have their GPUs are left alone.}
options:
  program: {description: Client of the engine., type: str, default: docker}
  label: {description: "Label with the uuids, joined by commas.", type: str, default: llmfleet.gpus}
"""

EXAMPLES = r"""
- name: See that every engine still has its GPUs
  llmfleet.serving.gpu_containers:
"""

RETURN = r"""
lost:
  description: The GPUs that each container lost, by the container's name.
  returned: always
  type: dict
  sample: {llm-vllm-8100: [GPU-00000000-0000-0000-0000-000000000000]}
unknown:
  description: Containers that could not be checked, because they have no nvidia-smi.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cdi

ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "program": {"type": "str", "default": "docker"},
    "label": {"type": "str", "default": "llmfleet.gpus"},
}

# Seconds that nvidia-smi may take in a container.
SECONDS = 60


def running(module: AnsibleModule) -> dict[str, str]:
    """Return the label of each running container that has it."""
    program, label = module.params["program"], module.params["label"]
    if not module.get_bin_path(program):
        return {}
    form = '{{.Names}}\t{{.Label "' + label + '"}}'
    code, out, err = module.run_command([program, "ps", "--filter", f"label={label}", "--format", form])
    if code:
        said = err.strip().rstrip(".")
        fail(module, f"{program} cannot list its containers: {said}; see 'systemctl status {program}'.")
    return dict(line.split("\t", 1) for line in out.splitlines() if "\t" in line)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    lost: dict[str, list[str]] = {}
    unknown = []
    for name, label in sorted(running(module).items()):
        # It hangs where the driver does.
        said = programs.execute([module.params["program"], "exec", name, "nvidia-smi", "-L"], SECONDS)
        gone = None if said.code is None else cdi.lost(label, said.out, said.err, said.code)
        if gone is None:
            unknown.append(name)
        elif gone:
            lost[name] = gone
    if lost and not module.check_mode:
        code, _out, err = module.run_command(["systemctl", "restart", *(f"{name}.service" for name in lost)])
        if code:
            fail(
                module,
                f"{', '.join(lost)} lost GPUs and could not be restarted: {err.strip().rstrip('.')}; "
                f"see 'journalctl -u {next(iter(lost))}'.",
                lost=lost,
                unknown=unknown,
            )
    module.exit_json(
        changed=bool(lost),
        lost=lost,
        unknown=unknown,
        diff={
            "before": "".join(f"{name}: lost {', '.join(gpus)}\n" for name, gpus in lost.items()),
            "after": "".join(f"{name}: restarted\n" for name in lost),
        },
    )


if __name__ == "__main__":
    main()
