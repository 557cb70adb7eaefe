#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record which distribution packages were installed, so that removal uninstalls only these."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_record
short_description: Record which distribution packages the collection installed
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Adds names to a file or takes names out of it, and returns those that it contains. Removal uninstalls the packages
    of the file and no others.
  - The file has one name in a line. Lines with several names, which version 0.1.0 wrote, are read too.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Returns the names that the file would contain.}
  diff_mode: {support: full, details: Shows the names before and after.}
  idempotent: {support: full, details: A name is recorded once.}
options:
  path:
    description: The file. It and its directory are created for the first name.
    type: path
    required: true
  names:
    description: Names of packages. Without names the file is only read.
    type: list
    elements: str
    default: []
  state:
    description: Whether the names are added or taken out.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Record the installed packages
  llmfleet.serving.package_record:
    path: /var/lib/llmfleet/installed-packages
    names: [nginx, logrotate]
"""

RETURN = r"""
names:
  description: Names in the file, in the order in which they were recorded.
  returned: always
  type: list
  elements: str
  sample: [nginx, logrotate]
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import removal
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail


def write(module: AnsibleModule, path: str, text: str) -> None:
    """Replace the file in one step, so that an interrupted run leaves the earlier record."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, encoding="utf-8", delete=False) as handle:
        handle.write(text)
    module.atomic_move(handle.name, path)
    module.set_mode_if_different(path, 0o644, False)


def main() -> None:
    """Run the module."""
    spec = {
        "host": OPTION,
        "path": {"type": "path", "required": True},
        "names": {"type": "list", "elements": "str", "default": []},
        "state": {"choices": ["present", "absent"], "default": "present"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    path, given = module.params["path"], module.params["names"]
    known = removal.recorded(read_text(path))
    names = removal.record(known, given, module.params["state"] == "present")
    before, after = ("".join(f"{name}\n" for name in part) for part in (known, names))
    try:
        if names != known and not module.check_mode:
            write(module, path, after)
    except OSError as error:
        fail(
            module, f"{path} cannot be written: {error.strerror}. Put the disk or its permissions right and run again."
        )
    module.exit_json(changed=names != known, names=names, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
