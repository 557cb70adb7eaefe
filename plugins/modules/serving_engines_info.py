#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the engines of a host whether they serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_engines_info
short_description: Ask the engines of a host whether they serve, and read which are held
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Requests the health of every instance that a host has recorded, all at once.
  - An instance that does not serve can be changed at any time; one that serves only if enough others of its model do
    (M(llmfleet.serving.serving_plan_info)).
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  record:
    description:
      - File with the instances that the host has recorded. They are no parameter, because Ansible writes parameters to
        the log of the host, and environments of instances may hold secrets.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  timeout: {description: Seconds for the answer of an engine., type: int, default: 5}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
"""

EXAMPLES = r"""
- name: Ask the engines of this host whether they serve
  llmfleet.serving.serving_engines_info:
  become: true
  register: engines
"""

RETURN = r"""
serving:
  description: Names of the instances that answered with 200.
  returned: when the file can be read
  type: list
  elements: str
  sample: [chat-0]
held:
  description: >-
    By name of the instance, what M(llmfleet.serving.service_generation) holds - its C(model), and by whom (C(who)),
    since when (C(since)) and why (C(why)).
  returned: when the file can be read
  type: dict
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store


def serves(instance: dict[str, Any], seconds: float) -> bool:
    """Return whether an engine answers its health path with 200."""
    path = registry.interface_of(instance)["health_path"]
    url = f"http://{authority(str(instance.get('listen') or '127.0.0.1'), int(instance['port']))}{path}"
    try:
        with Client("llmfleet").open(url, seconds) as answer:
            return answer.status == 200
    except TroubleError:
        return False


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
        "timeout": {"type": "int", "default": 5},
        "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    record = read_json(module.params["record"])
    if not isinstance(record, dict):
        module.exit_json(changed=False)
    instances = record.get("instances") or []
    with ThreadPoolExecutor(max_workers=max(1, len(instances))) as pool:
        answers = list(pool.map(lambda one: serves(one, module.params["timeout"]), instances))
    names = [str(one["name"]) for one, good in zip(instances, answers) if good]
    store = Store(module.params["state_root"])
    holds = {str(one["name"]): (one, store.held(registry.service(one))) for one in instances}
    held = {name: {**hold, "model": one["model"]} for name, (one, hold) in holds.items() if hold}
    module.exit_json(changed=False, serving=names, held=held)


if __name__ == "__main__":
    main()
