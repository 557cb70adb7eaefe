#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin I/O around module_utils/nvidia/mig.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mig_layout
short_description: Partition NVIDIA GPUs into MIG devices according to a layout
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Compares the layout with the MIG devices that M(llmfleet.serving.gpu_facts) found, and calls C(nvidia-smi) where
    they differ. GPUs that the layout does not name are left as they are.
  - A GPU in use is never changed - the module fails with the names of its processes, and changes no other GPU either.
  - MIG mode is switched on and off as the layout needs it. Cards that change it only at a reset are reset; if that
    fails, RV(reboot_required) is true.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says which layouts would change.}
  diff_mode: {support: full, details: Shows the profiles of each card.}
  idempotent: {support: full, details: A card that is as it should be is left alone.}
options:
  layout:
    description: MIG layout of each GPU.
    type: list
    elements: dict
    required: true
    suboptions:
      card:
        description: The GPU - index, UUID, PCI address, or a pattern of product names, which may match several.
        type: str
        required: true
      profiles:
        description: Profiles of its GPU instances, as C(nvidia-smi mig -lgip) lists them. An empty list switches MIG
          off.
        type: list
        elements: str
        required: true
  gpus:
    description: RV(llmfleet.serving.gpu_facts#module:ansible_facts.gpu_facts.gpus).
    type: list
    elements: dict
    required: true
  nvidia_smi_path:
    description: The C(nvidia-smi) program.
    type: path
    default: nvidia-smi
notes:
  - It must run as root.
"""

EXAMPLES = r"""
- name: Know the GPUs
  llmfleet.serving.gpu_facts:

- name: Cut the first H100 into three
  llmfleet.serving.mig_layout:
    gpus: "{{ ansible_facts['gpu_facts']['gpus'] }}"
    layout:
      - {card: 0, profiles: [3g.40gb, 2g.20gb, 1g.10gb]}
      - {card: '*A100*', profiles: []}
"""

RETURN = r"""
cards:
  description: UUIDs of the GPUs whose layout was changed, or would be.
  returned: always
  type: list
  elements: str
reboot_required:
  description: Whether a GPU changes its MIG mode only at a reboot; its layout is made by the run after that.
  returned: always
  type: bool
commands:
  description: Every call of nvidia-smi that changes something, in order.
  returned: always
  type: list
  elements: list
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import mig as nvidia_mig
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.mig import Change
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render

ENTRY = {"card": {"type": "str", "required": True}, "profiles": {"type": "list", "elements": "str", "required": True}}
ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "layout": {"type": "list", "elements": "dict", "required": True, "options": ENTRY},
    "gpus": {"type": "list", "elements": "dict", "required": True},
    "nvidia_smi_path": {"type": "path", "default": "nvidia-smi"},
}

# Seconds that nvidia-smi may take; the reset of a card takes some.
SECONDS = 300
# As timeout(1) ends.
TIMED_OUT = 124


class Cards:
    """The cards of this host, by way of nvidia-smi."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.program: str = module.params["nvidia_smi_path"]

    def call(self, words: list[str]) -> tuple[int, str]:
        """Call nvidia-smi; return its status and everything it said."""
        ended = programs.execute([self.program, *words], SECONDS)
        status = TIMED_OUT if ended.code is None else ended.code
        return status, f"{ended.out}\n{ended.err}\n{ended.failure}".strip()

    def mig_is_on(self, change: Change) -> bool:
        """Check whether a card is in MIG mode now."""
        query = ["-i", change.uuid, "--query-gpu=mig.mode.current", "--format=csv,noheader"]
        return self.call(query)[1].startswith("Enabled")

    def apply(self, change: Change) -> bool:
        """Change one card; return False where MIG mode waits for a reboot."""
        for number, words in enumerate(change.commands):
            code, said = self.call(words)
            if code and not nvidia_mig.NOTHING_THERE.search(said):
                fail(
                    self.module,
                    f"{change.name}: 'nvidia-smi {' '.join(words)}' ended with status {code}, "
                    f"saying '{' '.join(said.split())[:300]}': stop what holds the card (monitoring too), or "
                    "take a layout that 'nvidia-smi mig -lgipp' allows, then run again.",
                )
            if number == 0 and change.enable and not self.mig_is_on(change):
                self.call(["--gpu-reset", "-i", change.uuid])
                if not self.mig_is_on(change):
                    return False
        return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    layout = nvidia_mig.plan(module.params["layout"], module.params["gpus"], host_name(module.params))
    if layout.problems:
        module.fail_json(msg=render(layout.problems))
    cards = Cards(module)
    waiting = False
    for change in layout.changes:
        if not module.check_mode:
            waiting = not cards.apply(change) or waiting
    module.exit_json(
        changed=bool(layout.changes),
        cards=[change.uuid for change in layout.changes],
        commands=[words for change in layout.changes for words in change.commands],
        reboot_required=waiting,
        diff={
            side: "".join(
                f"{change.name}: {', '.join(getattr(change, side)) or 'whole'}\n" for change in layout.changes
            )
            for side in ("before", "after")
        },
    )


if __name__ == "__main__":
    main()
