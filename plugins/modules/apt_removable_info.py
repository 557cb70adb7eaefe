#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the distribution packages that can be removed without removing others."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_removable_info
short_description: Find the distribution packages that can be removed without removing others
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Simulates with C(apt-get) the removal of packages that the collection installed.
  - A package is kept if packages that are not among them would be removed with it, or if C(apt-get) refuses to remove
    it. Somebody came to rely on it since.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  names:
    description: The packages. Those that C(dpkg) no longer knows are left out.
    type: list
    elements: str
    required: true
notes:
  - It removes nothing.
"""

EXAMPLES = r"""
- name: See what can go
  llmfleet.serving.apt_removable_info:
    names: [nginx, libnginx-mod-http-geoip]
  register: result
"""

RETURN = r"""
removable:
  description: The packages that can be removed together without removing or installing any other.
  returned: always
  type: list
  elements: str
  sample: [prometheus]
kept:
  description: The packages that must stay, each with the packages that its removal would affect.
  returned: always
  type: dict
  sample: {nginx: [certbot-nginx-hook]}
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import removal

# Simulating needs no lock.
SIMULATE = ["apt-get", "--simulate", "--yes", "--option", "Debug::NoLocking=1"]


def known(module: AnsibleModule, names: list[str]) -> list[str]:
    """Return those packages of which dpkg knows more than the name."""
    if not names:
        return []
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n", "--"]
    _code, out, _err = module.run_command([*query, *names])
    # The second letter is the state: n stands for not installed, with nothing left of it.
    found = set(re.findall(r"^.[^n\s].? +(\S+)$", out, re.MULTILINE))
    return [name for name in names if name.partition(":")[0] in found]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    # The output is parsed, so it must be in English.
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}

    # Only installed packages matter: without the lists of available ones apt-get is ten times faster, and does not
    # install anything in place of a removed package.
    command = [*SIMULATE, "--option", f"Dir::State::Lists={module.tmpdir}/", "purge", "--"]

    def simulate(names: list[str]) -> set[str]:
        code, out, _err = module.run_command([*command, *names])
        return removal.touched(out, code)

    found = removal.decide(known(module, module.params["names"]), simulate)
    module.exit_json(changed=False, removable=found.removable, kept=found.kept)


if __name__ == "__main__":
    main()
