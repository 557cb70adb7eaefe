#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the memory that the engines of a host measured at their start."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_measurements_info
short_description: Read the memory that the engines of a host measured at their start
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the memory that engines logged at their last start, and keeps the earlier values of an engine whose log is
    missing.
  - The next M(llmfleet.serving.serving_plan_info) uses these values instead of estimates for instances that it plans
    anew.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
  - llmfleet.serving.engine_log
options:
  instances: {description: The C(llm_instances_here) of a host., type: list, elements: dict, required: true}
  earlier: {description: Result of an earlier run., type: list, elements: dict, default: []}
  packages:
    description: C(service_packages), whose C(digest) identifies the package that ran an engine.
    type: dict
    default: {}
  proofs:
    description:
      - C(proofs) of M(llmfleet.serving.prove_engines) in this run. Those of O(earlier) stay with their instances.
    type: list
    elements: dict
    default: []
notes:
  - Run it as root.
"""

EXAMPLES = r"""
- name: Read the measurements of the engines
  llmfleet.serving.engine_measurements_info:
    instances: "{{ llm_instances_here }}"
  register: measurements
"""

RETURN = r"""
measured:
  description: >-
    What is known of each instance - C(instance), C(planned) and C(measured) with sizes in bytes and
    C(kv_cache_tokens), and by what it is found again.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host.engine_log import EngineLog
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import measured as plan_measured


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "instances": {"type": "list", "elements": "dict", "required": True},
        "earlier": {"type": "list", "elements": "dict", "default": []},
        "packages": {"type": "dict", "default": {}},
        "proofs": {"type": "list", "elements": "dict", "default": []},
        "prefix": {"default": PREFIX},
        "log_root": {"type": "path", "default": "/var/log/llmfleet"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    places = given["prefix"], given["log_root"]
    logs = {one["name"]: EngineLog(registry.service(one), *places).end() for one in given["instances"]}
    known = given["earlier"], given["packages"], given["proofs"]
    measured = plan_measured.merge(given["instances"], logs, *known)
    module.exit_json(changed=False, measured=measured)


if __name__ == "__main__":
    main()
