#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create directories with their owners and modes in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_directories
short_description: Create directories with their owners and modes in one call
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Does for a list what M(ansible.builtin.file) does for one directory. A run that changes nothing then costs one call
    for a service instead of three.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says which directories would be made or changed.}
  diff_mode: {support: full, details: Shows them.}
  idempotent: {support: full, details: A directory that is as it should be is left alone.}
options:
  directories:
    description: Directories, each after its parents.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      owner: {description: User., type: str, required: true}
      group: {description: Group., type: str, required: true}
      mode: {description: Mode as octal text., type: str, required: true}
      handed_over:
        description:
          - Whether M(llmfleet.serving.service_state) hands an existing directory over to its owner, with all that is in
            it. It then keeps its owner and group until its service is restarted.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Create the directories of a service
  llmfleet.serving.service_directories:
    directories:
      - {path: /etc/llmfleet/litellm, owner: root, group: llm-litellm, mode: '0750'}
      - {path: /var/lib/llmfleet/litellm, owner: llm-litellm, group: llm-litellm, mode: '0750'}
"""

RETURN = r"""
paths:
  description: Directories that were made or changed, or would be.
  returned: always
  type: list
  elements: str
  sample: [/etc/llmfleet/litellm]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.host.ownership import described


def main() -> None:
    """Run the module."""
    entry: dict[str, Any] = {
        "path": {"type": "path", "required": True},
        **{key: {"required": True} for key in ("owner", "group", "mode")},
        "handed_over": {"type": "bool", "default": False},
    }
    spec: dict[str, Any] = {
        "host": OPTION,
        "directories": {"type": "list", "elements": "dict", "required": True, "options": entry},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    paths, before, after = [], "", ""
    for wanted in module.params["directories"]:
        path = wanted["path"]
        found = described(path)
        if found != "absent" and (os.path.islink(path) or not os.path.isdir(path)):
            problem = "it is not a directory, and the collection needs one there"
            refuse(module, "directories.path", path, problem, "move it away")
        if wanted["handed_over"] and found != "absent":
            owner, group = found.split(" ")[0].split(":")
            wanted = {**wanted, "owner": owner, "group": group}
        goal = f"{wanted['owner']}:{wanted['group']} {int(wanted['mode'], 8):04o}"
        if found == goal:
            continue
        paths.append(path)
        before += f"{path}: {found}\n"
        after += f"{path}: {goal}\n"
        if module.check_mode:
            continue
        os.makedirs(path, mode=0o755, exist_ok=True)
        arguments = module.load_file_common_arguments({**wanted, "unsafe_writes": False}, path=path)
        module.set_fs_attributes_if_different(arguments, False)
    module.exit_json(changed=bool(paths), paths=paths, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
