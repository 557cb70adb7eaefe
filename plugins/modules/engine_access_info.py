#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask engines whether they accept a key, before a gateway uses it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_access_info
short_description: Ask engines whether they accept a key
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Runs on a gateway. If it has another key than O(key), every engine that it sends to is asked for its models with
    O(key), all at once; an engine reads its keys again within a second.
  - If the gateway has this key already, nothing is asked. If it has none yet, an engine that does not answer is no
    problem.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: It changes nothing.}
  idempotent: {support: full, details: It changes nothing.}
options:
  key: {description: The key that the gateway is to use., type: str, required: true}
  key_file: {description: File with the key that the gateway uses., type: path, default: /etc/llmfleet/gate/engine_key}
  engines:
    description: The engines, as P(llmfleet.serving.asked_engines#filter) gives them.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the instance., type: str, required: true}
      host: {description: Its host., type: str, required: true}
      address: {description: Address and port., type: str, required: true}
      given: {description: Whether this run gave its host the key., type: bool, required: true}
  deadline: {description: Seconds until an engine has to accept the key., type: float, default: 10.0}
  timeout: {description: Seconds for an answer., type: float, default: 5.0}
"""

EXAMPLES = r"""
- name: Ask the engines whether they accept the key
  llmfleet.serving.engine_access_info:
    key: "{{ llm_engine_api_key }}"
    engines: "{{ llm_traffic | llmfleet.serving.asked_engines(llm_hosts_with_key) }}"
  become: true
  register: access
"""

RETURN = r"""
asked:
  description: Number of engines that were asked.
  returned: always
  type: int
  sample: 2
problems:
  description: Sentences about engines that would refuse the gateway's requests.
  returned: always
  type: list
  elements: str
  sample: []
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import keys
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION

# Engines that are asked at the same time.
TOGETHER = 32
PAUSE = 0.25


def status(address: str, key: str, seconds: float) -> int:
    """Return the status with which an engine answers to the key; 0 for no answer."""
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with Client("llmfleet").open(f"http://{address}{keys.ASKED}", seconds, headers) as answer:
            return int(answer.status)
    except TroubleError:
        return 0


def answered(address: str, given: dict[str, Any]) -> int:
    """Return the last status of an engine, as soon as it does not refuse the key any more."""
    until = time.monotonic() + given["deadline"]
    while True:
        said = status(address, given["key"], given["timeout"])
        if said not in keys.REFUSALS or time.monotonic() + PAUSE > until:
            return said
        time.sleep(PAUSE)


def main() -> None:
    """Run the module."""
    engine: dict[str, Any] = {name: {"type": "str", "required": True} for name in ("name", "host", "address")}
    engine["given"] = {"type": "bool", "required": True}
    spec: dict[str, Any] = {
        "host": OPTION,
        "key": {"type": "str", "required": True, "no_log": True},
        "key_file": {"type": "path", "default": "/etc/llmfleet/gate/engine_key", "no_log": False},
        "engines": {"type": "list", "elements": "dict", "required": True, "options": engine},
        "deadline": {"type": "float", "default": 10.0},
        "timeout": {"type": "float", "default": 5.0},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    known = read_text(given["key_file"]).strip()
    engines = [] if known == given["key"] else given["engines"]
    with ThreadPoolExecutor(max_workers=TOGETHER) as pool:
        said = list(pool.map(lambda one: answered(one["address"], given), engines))
    module.exit_json(changed=False, asked=len(engines), problems=keys.problems(engines, said, bool(known)))


if __name__ == "__main__":
    main()
