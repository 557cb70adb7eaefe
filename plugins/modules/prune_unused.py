#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove Python environments, their Pythons and snapshots of models that are not in force."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prune_unused
short_description: Remove Python environments, their Pythons and snapshots of models that are not in force
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - An upgrade builds its environment beside the one in use, and a new revision of a model is a snapshot beside the old
    one. This removes those that neither a file of a service, nor a link, nor a running process names.
  - Files of a hub's cache that only removed snapshots needed are removed with them.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Returns what would be removed.}
  diff_mode: {support: full, details: Shows the paths.}
  idempotent: {support: full, details: A second run finds nothing.}
options:
  candidates:
    description: Patterns of the directories that may be removed.
    type: list
    elements: str
    required: true
  references:
    description: Patterns of the files and links that name what is in force; C(**) stands for any depth.
    type: list
    elements: str
    required: true
  bases:
    description:
      - Patterns of directories that candidates are built on, such as the Pythons of environments. One is removed if
        nothing names it that is left after the removal of candidates.
      - A link to such a directory is kept and removed with it.
    type: list
    elements: str
    default: []
  base_references:
    description: Patterns of the files and links that name bases, beside O(references); those of removed candidates do
      not count.
    type: list
    elements: str
    default: []
  hub:
    description: Cache of a model hub that some of the candidates are snapshots in.
    type: path
    default: ''
"""

EXAMPLES = r"""
- name: Remove the environments that no service uses
  llmfleet.serving.prune_unused:
    candidates: [/opt/llmfleet/venvs/*-*]
    references: [/etc/systemd/system/llm-*.service, /etc/llmfleet/**]
    bases: [/opt/llmfleet/python/cpython-*]
    base_references: [/opt/llmfleet/venvs/*/pyvenv.cfg]
"""

RETURN = r"""
removed:
  description: The paths that were removed, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [/opt/llmfleet/venvs/vllm-0123456789ab]
mib:
  description: MiB that they took on the disk.
  returned: always
  type: int
  sample: 14210
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import unused
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail


def remove(path: str) -> None:
    """Remove a file or a directory with everything in it; a link alone, never what it points to."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def main() -> None:
    """Run the module."""
    spec = {
        "host": OPTION,
        "candidates": {"type": "list", "elements": "str", "required": True},
        "references": {"type": "list", "elements": "str", "required": True},
        "bases": {"type": "list", "elements": "str", "default": []},
        "base_references": {"type": "list", "elements": "str", "default": []},
        "hub": {"type": "path", "default": ""},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    texts = unused.texts_in_force(params["references"])
    paths = unused.unused(unused.matching(params["candidates"]), texts)
    if params["hub"]:
        orphans = unused.orphaned_blobs(params["hub"], paths)
        paths = [path for path in paths if not any(path.startswith(f"{orphan}/") for orphan in orphans)] + orphans
    texts = unused.texts_in_force([*params["references"], *params["base_references"]], gone=paths)
    paths += unused.unused(unused.matching(params["bases"]), texts)
    mib = sum(unused.size_mib(path) for path in paths)
    try:
        for path in [] if module.check_mode else paths:
            remove(path)
    except OSError as error:
        fail(module, f"{error.filename} cannot be removed: {error.strerror}; remove it by hand and run this again.")
    diff = {"before": "".join(f"{path}\n" for path in paths), "after": ""}
    module.exit_json(changed=bool(paths), removed=paths, mib=mib, diff=diff)


if __name__ == "__main__":
    main()
