#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write into the ledger of a host what was done to the whole host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_entry
short_description: Write into the ledger of a host what was done to the whole host
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Appends a line to C(ledger.jsonl) in O(state_root). Who did it is read from the lock of the host
    (M(llmfleet.serving.fleet_lock)).
  - What is done to engines is written by the modules that do it.
extends_documentation_fragment:
  - llmfleet.serving.attributes
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: The ledger is no configuration.}
  idempotent: {support: none, details: Each call is an entry.}
options:
  kind: {description: What was done., type: str, choices: [maintain, hold, release], required: true}
  verdict: {description: "What it came to, in words.", type: str, required: true}
  seconds: {description: Seconds that it took., type: float}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
"""

EXAMPLES = r"""
- name: Record the maintenance
  llmfleet.serving.ledger_entry:
    kind: maintain
    verdict: "reboot: a new kernel"
"""

RETURN = r"""
who:
  description: Who did it; empty if no run holds the host.
  returned: when it was written
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"choices": [ledger.MAINTAIN, ledger.HOLD, ledger.RELEASE], "required": True},
            "verdict": {"required": True},
            "seconds": {"type": "float"},
            "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=True)
    store = Store(given["state_root"])
    who = store.write(given["kind"], {}, verdict=given["verdict"], seconds=given["seconds"])
    module.exit_json(changed=True, who=who)


if __name__ == "__main__":
    main()
