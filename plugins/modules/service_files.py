#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write files with their owners and modes in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_files
short_description: Write files with their owners and modes in one call
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Does for a list what M(ansible.builtin.copy) with O(ansible.builtin.copy#module:content) does for one file. A run
    that changes nothing then costs one call for a service instead of two for each of its files.
  - A file gets its owner, group and mode before it replaces the one that is there, so no other user can read a secret
    for a moment.
  - Texts are not written to the host's system log.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says which files would change. Nothing is validated.}
  diff_mode: {support: full, details: 'Shows every file that changes. Use C(diff: false) for files with secrets.'}
  idempotent: {support: full, details: A file that is as it should be is left alone.}
options:
  files:
    description: Files, in the order in which they are written.
    type: list
    elements: dict
    required: true
    suboptions:
      dest: {description: Absolute path. Its directory exists., type: path, required: true}
      content: {description: Text of the file., type: str, required: true}
      owner: {description: User., type: str, required: true}
      group: {description: Group., type: str, required: true}
      mode: {description: Mode as octal text., type: str, required: true}
      validate:
        description:
          - Command that must succeed before the file is replaced, with C(%s) where it reads the path of the new file.
          - Empty means none.
        type: str
        default: ''
"""

EXAMPLES = r"""
- name: Write the files of a service
  llmfleet.serving.service_files:
    files:
      - dest: /etc/llmfleet/prometheus/prometheus.yml
        content: "{{ lookup('ansible.builtin.template', 'prometheus.yml.j2') }}"
        owner: root
        group: llm-prometheus
        mode: '0640'
        validate: promtool check config %s
"""

RETURN = r"""
paths:
  description: Files that were written or whose owner or mode was changed, or would be.
  returned: always
  type: list
  elements: str
  sample: [/etc/llmfleet/prometheus/prometheus.yml]
"""

import contextlib
import os
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.host.ownership import described


def text_of(path: str) -> str | None:
    """Return the text of a regular file; None if there is none, or a link instead."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None


def attributes(module: AnsibleModule, wanted: dict[str, Any], path: str) -> None:
    """Give a file its owner, group, mode and the security context of its destination."""
    arguments = module.load_file_common_arguments({**wanted, "unsafe_writes": False}, path=wanted["dest"])
    module.set_fs_attributes_if_different({**arguments, "path": path}, False)


def write(module: AnsibleModule, wanted: dict[str, Any]) -> None:
    """Put a new file in the place of the old one, if its validation succeeds."""
    dest = wanted["dest"]
    # The name begins with a dot and ends with none that a program looks for in its directory.
    handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(dest)}.", suffix=".new", dir=os.path.dirname(dest))
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(wanted["content"])
        attributes(module, wanted, new)
        if wanted["validate"]:
            code, out, error = module.run_command(wanted["validate"].replace("%s", new))
            if code:
                said = (out + error).replace(new, dest).strip()
                fail(module, f"{dest}: its new text is refused by `{wanted['validate']}`, the old one stays: {said}")
        os.replace(new, dest)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)


def main() -> None:
    """Run the module."""
    entry: dict[str, Any] = {
        "dest": {"type": "path", "required": True},
        **{key: {"required": True} for key in ("content", "owner", "group", "mode")},
        "validate": {"default": ""},
    }
    spec: dict[str, Any] = {
        "host": OPTION,
        # The option is kept out of the system's log, and differences are still shown.
        "files": {"type": "list", "elements": "dict", "required": True, "no_log": True, "options": entry},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.no_log_values.clear()
    paths, diff = [], []
    for wanted in module.params["files"]:
        path = wanted["dest"]
        found = described(path)
        if os.path.isdir(path) and not os.path.islink(path):
            refuse(
                module, "files.dest", path, "it is a directory, and the collection needs a file there", "move it away"
            )
        text = text_of(path)
        goal = f"{wanted['owner']}:{wanted['group']} {int(wanted['mode'], 8):04o}"
        if text == wanted["content"] and found == goal:
            continue
        paths.append(path)
        if text != wanted["content"]:
            headers = {"before_header": path, "after_header": path}
            diff.append({**headers, "before": text or "", "after": wanted["content"]})
        if found != goal:
            diff.append({"before": f"{path}: {found}\n", "after": f"{path}: {goal}\n"})
        if module.check_mode:
            continue
        if text != wanted["content"]:
            write(module, wanted)
        else:
            attributes(module, wanted, path)
    module.exit_json(changed=bool(paths), paths=paths, diff=diff)


if __name__ == "__main__":
    main()
