#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Merge settings into a JSON file that others write too."""

from __future__ import annotations

DOCUMENTATION = r"""
module: merged_json
short_description: Merge settings into a JSON file that others write too
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Objects are merged key by key, lists are joined, other values are replaced. Settings that are not named stay as they
    are.
  - Records in O(record) which values in the file it has set. Values that are no longer wanted are removed again, and
    O(state=absent) removes all of them; values that others set stay, even if they are the same.
  - The record holds digests, not values.
  - A file that holds no JSON object is never overwritten; the module fails.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says what it would change; O(validate) runs.}
  diff_mode: {support: full, details: Shows the file before and after. Set C(diff=false) for secrets.}
  idempotent: {support: full, details: A file that says what is wanted is left alone.}
options:
  path: {description: The file., type: path, required: true}
  record: {description: The file that remembers what is ours; its directory must exist., type: path, required: true}
  values: {description: Settings that win over what the file says., type: dict, default: {}}
  fallback:
    description:
      - Settings that belong together and are set only if neither O(values) nor anybody else sets one of them.
    type: dict
    default: {}
  mode: {description: Mode as octal text. Without it that of the file, type: str}
  validate:
    description: Command that must accept the new file; C(%s) stands for its path.
    type: list
    elements: str
    default: []
  backup: {description: Keep the file as it was beside it., type: bool, default: false}
  state:
    description:
      - V(present) merges; V(absent) takes away what is ours, and the file if it was made here and is empty then.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let Docker pull through a mirror
  llmfleet.serving.merged_json:
    path: /etc/docker/daemon.json
    record: /var/lib/llmfleet/docker-daemon.json
    values:
      registry-mirrors: ["https://mirror.example.com"]
    validate: [dockerd, --validate, --config-file=%s]
    backup: true
"""

RETURN = r"""
backup_file: {description: The file as it was., returned: when O(backup=true) and something changed, type: str}
"""

import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import merged_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, refuse

NEW_MODE = 0o644

ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "path": {"type": "path", "required": True},
    "record": {"type": "path", "required": True},
    "values": {"type": "dict", "default": {}},
    "fallback": {"type": "dict", "default": {}},
    "mode": {"type": "str"},
    "validate": {"type": "list", "elements": "str", "default": []},
    "backup": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def read(module: AnsibleModule, path: str) -> dict[str, Any] | None:
    """Read a JSON object; None where there is no file."""
    try:
        with open(path, encoding="utf-8") as handle:
            return merged_json.parse(handle.read())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, merged_json.DocumentError) as error:
        problem = f"it holds no JSON object ({error}), so it is not overwritten"
        refuse(module, "path", path, problem, "correct it or move it away")
    return None


def write(path: str, text: str, mode: str | None) -> None:
    """Put a text where the file is, in one step and never readable for more than it is meant for."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    wanted = int(mode, 8) if mode else NEW_MODE
    if os.path.exists(path):
        found = os.stat(path)
        os.chown(temporary, found.st_uid, found.st_gid)
        wanted = int(mode, 8) if mode else found.st_mode & 0o7777
    os.chmod(temporary, wanted)
    os.replace(temporary, path)


def check(module: AnsibleModule, text: str) -> None:
    """Check the new file with the command before it replaces the old one."""
    if not module.params["validate"]:
        return
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    argv = [word.replace("%s", temporary) for word in module.params["validate"]]
    code, out, err = module.run_command(argv)
    os.unlink(temporary)
    if code:
        said = (err.strip() or out.strip()).replace(temporary, module.params["path"])
        text = f"'{argv[0]}' rejects the new content of {module.params['path']}; nothing was changed"
        fail(module, f"{text}; correct the settings that go into it. {said}")


def mode_differs(path: str, mode: str | None) -> bool:
    """Check whether a file has another mode than wanted."""
    return mode is not None and os.path.exists(path) and os.stat(path).st_mode & 0o7777 != int(mode, 8)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    path, record, absent = params["path"], params["record"], params["state"] == "absent"
    before, memory = read(module, path), read(module, record) or {}
    owned = memory.get("owned", {})
    document = before or {}
    values = {} if absent else merged_json.with_fallback(document, params["values"], params["fallback"], owned)
    merged = merged_json.merge(document, values, owned)
    made_here = bool(memory.get("made_here", before is None))
    goes = not merged.document and made_here
    changed = (
        merged.document != document or (not goes and mode_differs(path, params["mode"])) or (goes and before == {})
    )
    result: dict[str, Any] = {"changed": changed}
    # The diff is computed only on request, because the file may contain secrets.
    if module._diff:
        result["diff"] = {
            "before_header": path,
            "after_header": path,
            "before": "" if before is None else merged_json.shown(before),
            "after": "" if goes else merged_json.shown(merged.document),
        }
    if changed and not goes:
        check(module, merged_json.text_of(merged.document))
    if not module.check_mode:
        if changed and before is not None and params["backup"]:
            result["backup_file"] = module.backup_local(path)
        new = {"owned": merged.owned, "made_here": made_here}
        # The record is written first, so that an interrupted run does not forget what it set.
        if not absent:
            remember(record, new, memory)
        if changed and goes:
            os.unlink(path)
        elif changed:
            write(path, merged_json.text_of(merged.document), params["mode"])
        if absent:
            remember(record, new, memory)
    module.exit_json(**result)


def remember(record: str, memory: dict[str, Any], before: dict[str, Any]) -> None:
    """Write the record of our values; delete it if there are none."""
    if memory["owned"]:
        if memory != before:
            write(record, merged_json.text_of(memory), "0600")
    elif before:
        os.unlink(record)


if __name__ == "__main__":
    main()
