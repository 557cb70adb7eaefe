# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look up the problems of the locks of Python environments, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lock_problems
author: llmfleet contributors (@llmfleet)
version_added: 0.2.0
short_description: Look up the problems of the locks of Python environments
description:
  - Reads locks on the control node. A lock that cannot be read, and one with a package without a hash, is a problem.
  - No host is contacted.
options:
  _terms:
    description:
      - Variables whose values are paths of locks, such as V(vllm_requirements), or keys of variables, such as
        V(service_package.requirements).
      - A variable that is not known yet is left out.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Refuse a lock without hashes
  ansible.builtin.assert:
    that: not __found
    fail_msg: "{{ __found | llmfleet.serving.problems_text }}"
  vars:
    __found: "{{ query('llmfleet.serving.lock_problems', 'vllm_requirements') }}"
"""

RETURN = r"""
_list:
  description: Problems, each with host, variable, value, problem and remedy.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import lock

ROOT = Path(__file__).resolve().parents[2]


def read(path: str) -> str | None:
    """Return the text of a file; None for one that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


class LookupModule(LookupBase):
    """The problems of the locks of Python environments."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return all of them."""
        given = variables or {}
        host = str(given.get("inventory_hostname", ""))
        found = []
        for term in map(str, terms):
            path = self._value(term, given)
            if isinstance(path, str) and path:
                found.append(lock.problem(term, path, read(self._file(path, given)), host))
        return [one._asdict() for one in found if one]

    def _value(self, term: str, given: dict[str, Any]) -> Any:
        name, *keys = term.split(".")
        try:
            value = self._templar.template(given.get(name))
        except AnsibleUndefinedVariable:
            return None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _file(self, path: str, given: dict[str, Any]) -> str:
        """Return where a lock is: where the role that names it finds it, else where a role of the collection has it."""
        try:
            found = self.find_file_in_search_path(given, "files", path, ignore_missing=True)
        except AnsibleError:
            found = None
        shipped = sorted(map(str, ROOT.glob(f"roles/*/files/{path}"))) if not Path(path).is_absolute() else []
        return str(found or (shipped or [path])[0])
