#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load the rules of nftables by which the traffic of services is filtered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packet_filter
short_description: Load the filters of the traffic of services
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Compares the chains of a table of nftables with the wanted rules and loads the files of those that differ, each in
    one step and only after nftables has checked it. Running services are filtered from then on and are not restarted.
  - On a machine that allows no nftables, such as a container without the capability, nothing is loaded and nothing
    fails; RV(problem) says why.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says which rules it would load.}
  diff_mode: {support: full, details: Shows the names of the loaded rules.}
  idempotent: {support: full, details: Rules that are loaded are not loaded again.}
options:
  table:
    description: The table of the family C(inet), one for outgoing and one for incoming traffic.
    type: str
    choices: [llmfleet_egress, llmfleet_ingress]
    default: llmfleet_egress
  rules:
    description: Wanted rules.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The chain; one of outgoing traffic has the name of the filtered user.
        type: str
        required: true
      path: {description: File with the rules., type: path, required: true}
      digest:
        description: Digest of the rules, which is a comment in the loaded chain; empty for a user without a filter.
        type: str
        required: true
  exclusive:
    description:
      - With O(state=present), chains whose name begins with this text, and the chain that is named by it without its
        dash, are deleted unless O(rules) has them, with their files in O(folder). Their services no longer run.
    type: str
    default: ''
  folder: {description: Directory of the files with rules., type: path, default: /etc/llmfleet/egress}
  state:
    description: Whether the rules are loaded, or the whole table is deleted.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Filter the outgoing traffic of the gateway
  llmfleet.serving.packet_filter:
    rules:
      - {name: llm-litellm, path: /etc/llmfleet/egress/llm-litellm.nft, digest: 0123456789abcdef}
"""

RETURN = r"""
loaded:
  description: Names of the rules that were loaded, or in check mode would be.
  returned: always
  type: list
  elements: str
deleted:
  description: Names of the chains that were deleted, or in check mode would be; that of the table with O(state=absent).
  returned: always
  type: list
  elements: str
problem:
  description: Why traffic is not filtered; empty if it is.
  returned: always
  type: str
  sample: "nft cannot be used (Operation not permitted)"
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION
from ansible_collections.llmfleet.serving.plugins.module_utils.service import nftables


class Run:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.table = str(module.params["table"])
        self.nft = module.get_bin_path("nft", opt_dirs=["/usr/sbin", "/sbin"])

    def ask(self, *words: str) -> tuple[int, str]:
        """Run nft and return its exit code and what it printed."""
        if not self.nft:
            return 127, "nft is not installed"
        code, out, err = self.module.run_command([self.nft, *words])
        return int(code), str(out + err)

    def _loaded(self, name: str) -> str:
        code, listing = self.ask("list", "chain", "inet", self.table, name)
        return "" if code else nftables.loaded(listing)

    def load(self, rules: list[dict[str, Any]]) -> tuple[list[str], str]:
        """Load the rules that differ; return their names, and the problem if there is one."""
        if self.module.check_mode and not self.nft:
            # A run would install it.
            return [one["name"] for one in rules], ""
        code, output = self.ask("list", "tables")
        if code:
            return [], f"nft cannot be used ({nftables.refusal(output)})"
        done: list[str] = []
        for one in rules:
            if self._loaded(one["name"]) == one["digest"]:
                continue
            # In check mode the file may not exist yet.
            code, output = (0, "") if self.module.check_mode else self.ask("-c", "-f", one["path"])
            if not code and not self.module.check_mode:
                code, output = self.ask("-f", one["path"])
            if code:
                return done, f"nft refuses {one['path']} ({nftables.refusal(output)})"
            done.append(one["name"])
        return done, ""

    def delete_stale(self, folder: str, beginning: str, rules: list[dict[str, Any]]) -> list[str]:
        """Delete the chains and files of services that are gone; return their names."""
        code, listing = self.ask("list", "table", "inet", self.table)
        chains = [] if code else nftables.chains(listing)
        files = {path.stem: path for path in Path(folder).glob("*.nft")}
        gone = nftables.stale([*chains, *files], beginning, [one["name"] for one in rules])
        for name in gone if not self.module.check_mode else []:
            if name in chains:
                self.ask("delete", "chain", "inet", self.table, name)
            if name in files:
                files[name].unlink()
        return gone

    def delete(self) -> list[str]:
        """Delete the table; return its name if there was one."""
        if self.ask("list", "table", "inet", self.table)[0]:
            return []
        if not self.module.check_mode:
            self.ask("delete", "table", "inet", self.table)
        return [self.table]


def main() -> None:
    """Run the module."""
    rule = {
        "name": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "digest": {"type": "str", "required": True},
    }
    spec = {
        "host": OPTION,
        "table": {"choices": list(nftables.TABLES), "default": nftables.EGRESS},
        "rules": {"type": "list", "elements": "dict", "default": [], "options": rule},
        "exclusive": {"type": "str", "default": ""},
        "folder": {"type": "path", "default": "/etc/llmfleet/egress"},
        "state": {"choices": ["present", "absent"], "default": "present"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    run = Run(module)
    loaded: list[str] = []
    deleted: list[str] = []
    problem = ""
    if module.params["state"] == "absent":
        deleted = run.delete()
    else:
        loaded, problem = run.load(module.params["rules"])
        if module.params["exclusive"]:
            deleted = run.delete_stale(module.params["folder"], module.params["exclusive"], module.params["rules"])
    lines = [f"{name}: present\n" for name in loaded] + [f"{name}: absent\n" for name in deleted]
    diff = {"before": "", "after": "".join(lines)}
    module.exit_json(changed=bool(lines), loaded=loaded, deleted=deleted, problem=problem, diff=diff)


if __name__ == "__main__":
    main()
