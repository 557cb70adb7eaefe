#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Admit a key to the engines of a host, or end all others, while they serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_keys
short_description: Admit a key to the engines of a host, or end all others
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Engines read their keys from a file C(accepted_keys) in the configuration of their service, the SHA-256 of each key
    on a line, and read it again when it changes. This module changes the files that are there. The role of an engine
    writes the first one.
  - A key is rotated without a failed request in three parts - all engines admit the new one, then gateways change to
    it, then engines end the earlier one.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full}
  diff_mode: {support: full, details: Shows hashes of keys and no key.}
  idempotent: {support: full}
options:
  key: {description: The key in force., type: str, required: true}
  state:
    description: Whether the key is C(admitted) beside those that the engines accept already, or is the C(only) one.
    type: str
    choices: [admitted, only]
    default: admitted
  config_root: {description: Directory of configuration., type: path, default: /etc/llmfleet}
  record:
    description:
      - File with the instances that the host has recorded. They are no parameter, because Ansible writes parameters to
        the log of the host, and environments of instances may hold secrets.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  variable:
    description: Variable in C(secrets.env) by which earlier versions of the collection gave an engine its key.
    type: str
    default: VLLM_API_KEY
"""

EXAMPLES = r"""
- name: Allow the key at the engines of this host
  llmfleet.serving.engine_keys:
    key: "{{ llm_engine_api_key }}"
  become: true
"""

RETURN = r"""
name: {description: Name of the host., returned: always, type: str, sample: gpu1}
earlier:
  description: SHA-256 of the keys that engines of this host accept besides the key in force, after this call.
  returned: always
  type: list
  elements: str
  sample: []
ended:
  description: Number of keys that engines of this host accept no more.
  returned: always
  type: int
  sample: 1
single:
  description: Services of recorded instances that take one key and have another one. They restart with that in force.
  returned: always
  type: list
  elements: str
  sample: []
"""

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import keys, registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json, read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.text import parse_environment_file


def without_file(root: str, record: str) -> dict[str, dict[str, str]]:
    """Return the secrets of recorded instances that have no file of keys, by their services."""
    known = read_json(record)
    instances = (known.get("instances") or []) if isinstance(known, dict) else []
    folders = {name: f"{root}/{name}" for name in map(registry.service, instances)}
    return {
        name: parse_environment_file(read_text(f"{folder}/secrets.env"))
        for name, folder in folders.items()
        if os.path.isdir(folder) and not os.path.exists(f"{folder}/{keys.FILE}")
    }


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "host": OPTION,
        "key": {"type": "str", "required": True, "no_log": True},
        "state": {"type": "str", "choices": ["admitted", "only"], "default": "admitted"},
        "config_root": {"type": "path", "default": "/etc/llmfleet"},
        "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
        "variable": {"type": "str", "default": "VLLM_API_KEY"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    root, own = given["config_root"], keys.fingerprint(given["key"])
    found = {path: keys.parse(read_text(path)) for path in sorted(glob.glob(f"{glob.escape(root)}/*/{keys.FILE}"))}
    others = without_file(root, given["record"])
    old = [values[given["variable"]] for values in others.values() if values.get(given["variable"])]
    accepted = [*(one for known in found.values() for one in known), *map(keys.fingerprint, old)]
    earlier = keys.earlier(accepted, own)
    kept = earlier if given["state"] == "admitted" else []
    changed, diff = [], []
    for path, known in found.items():
        if known == [own, *kept]:
            continue
        before = records.content_of(path)
        changed.append(path)
        diff.append(
            {"before_header": path, "after_header": path, "before": keys.text(known), "after": keys.text([own, *kept])}
        )
        if before and not module.check_mode:
            records.replace(path, keys.text([own, *kept]).encode(), **before[1])
    single = [
        name for name, values in others.items() if not values.get(given["variable"]) and not keys.is_among(own, values)
    ]
    told = {"name": host_name(given), "earlier": kept, "ended": len(earlier) - len(kept), "single": single}
    module.exit_json(changed=bool(changed), diff=diff, **told)


if __name__ == "__main__":
    main()
