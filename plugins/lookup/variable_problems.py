# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look up the problems of the variables that the inventory sets for a host, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: variable_problems
author: llmfleet contributors (@llmfleet)
version_added: 0.2.0
short_description: Look up the problems of the variables that the inventory sets for a host
description:
  - Computes each variable of the collection that the inventory, the command line or a file of variables sets for the
    host, and compares it with the argument specs of the roles.
  - A template that refers to a variable that nobody sets, or that cannot be computed, is a problem, too. One that
    refers to what a run finds out later, such as facts, is not checked.
  - A variable whose name is one typing error away from one of the collection is a problem, too.
  - No host is contacted.
options:
  _terms:
    description:
      - Variables with lists of further problems, as P(llmfleet.serving.inventory_problems#filter) returns them. They
        are added where the variable that they are about has the right kind.
      - A list that needs facts of the host is left out.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Refuse wrong values
  ansible.builtin.assert:
    that: not __found
    fail_msg: "{{ __found | llmfleet.serving.problems_text }}"
  vars:
    __found: "{{ query('llmfleet.serving.variable_problems', 'llm_problems') }}"
"""

RETURN = r"""
_list:
  description: Problems, each with host, variable, value, problem and remedy.
  type: list
  elements: dict
"""

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import (
    HIDDEN,
    Problem,
    without_credentials,
)
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import misspelt
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import variables as inventory_variables

ROOT = Path(__file__).resolve().parents[2]
# The parser in C is many times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
UNDEFINED = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)' is undefined")
# Variables that a run sets later, in addition to those of argument specs, and Ansible's own.
LATER = re.compile(r"(ansible|_)_?.*|llm_(secrets|secrets_id|host|planned)|service_packages|models_(paths|missing)")


@functools.lru_cache(maxsize=1)
def read_specs() -> dict[str, dict[str, Any]]:
    """Return the argument spec of every variable of the collection."""
    files = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"), key=lambda path: path.parts[-3] != "fleet_defaults")
    contents = [yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) for path in files]  # noqa: S506 # nosec B506
    return inventory_variables.specs(contents)


def template_problems(name: str, raw: Any, error: Exception, known: Any, host: str) -> list[Problem]:
    """Return the problem of a template that cannot be computed; none if it needs what a run finds out later."""
    text = " ".join(str(error).split())
    missing = UNDEFINED.search(text)
    if isinstance(error, AnsibleUndefinedVariable):
        if not missing or missing[1] in known or LATER.fullmatch(missing[1]):
            return []
        problem, remedy = f"{missing[1]} is not defined", f"define {missing[1]}, or correct the name"
    elif "decrypt" in text.lower() or "vault" in text.lower():
        problem, remedy = "it cannot be decrypted", "give the password of the vault (--ask-vault-pass, --vault-id)"
    else:
        problem, remedy = f"it cannot be computed: {text.rstrip('.')}", "correct the template"
    spec = known.get(name, {})
    # A copy by way of bytes is plain text, which Ansible does not compute once more.
    template = isinstance(raw, str) and "{{" in raw and not inventory_variables.may_be_secret(name, spec)
    shown = without_credentials(raw.encode().decode()) if template else HIDDEN
    return [Problem(name, shown, problem, remedy, host)]


class LookupModule(LookupBase):
    """The problems of the variables that the inventory sets for a host."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return all of them."""
        known, given = read_specs(), variables or {}
        host = str(given.get("inventory_hostname", ""))
        names = set(map(str, given["hostvars"][host]))
        found = misspelt.problems(names, known, host)
        for name in sorted(names & set(known)):
            try:
                value = self._templar.template(given[name])
                found += inventory_variables.value_problems(name, value, known[name], host)
            except AnsibleError as error:
                found += template_problems(name, given[name], error, known, host)
        return [
            problem._asdict()
            for problem in inventory_variables.together(found, self._others(terms, given, bool(found)))
        ]

    def _others(self, terms: list[Any], given: dict[str, Any], wrong: bool) -> list[Problem]:
        """Return further problems, as far as what they need is known and has the right kind."""
        others: list[Problem] = []
        for term in terms:
            try:
                others += [Problem(**one) for one in self._templar.template(given[term])]
            except AnsibleUndefinedVariable:
                # They need facts of the host, and are told when these are read.
                continue
            except AnsibleError:
                if not wrong:
                    raise
        return others
