#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which keys and teams are in force on a gateway."""

from __future__ import annotations

DOCUMENTATION = r"""
module: key_info
short_description: Tell which keys and teams are in force on a gateway
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the file of keys that the gate of this host reads again whenever it changes.
  - The result has aliases, teams, models, limits and priorities. It has no key and no hash of one.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
  - llmfleet.serving.host
options:
  path:
    description: The gate's file of keys.
    type: path
    default: /etc/llmfleet/gate/keys.json
"""

EXAMPLES = r"""
- name: Read which keys are in force
  llmfleet.serving.key_info:
    host: "{{ inventory_hostname }}"
  become: true
  register: found
"""

RETURN = r"""
client_keys:
  description: >-
    The keys by alias, each with C(alias), C(scope), C(team), C(models) and C(team_models) (an empty list means all),
    the limits C(rpm), C(tpm), C(max_parallel_requests) and C(budget) (C(amount), C(per)), C(priority) (its own, else
    that of its team, else 0),
    C(tags), C(expires), C(expired) and C(blocked). What is not set is null.
  returned: always
  type: list
  elements: dict
  sample:
    - alias: notebook
      scope: inference
      team: research
      models: []
      team_models: [chat]
      rpm: 60
      tpm: null
      max_parallel_requests: null
      budget: {amount: 50.0, per: month}
      priority: 10
      tags: [cost-centre-7]
      expires: "2027-06-30"
      expired: false
      blocked: false
teams:
  description: >-
    The teams by name, each with C(name), C(models), C(rpm), C(tpm), C(max_parallel_requests), C(budget) and
    C(priority).
  returned: always
  type: list
  elements: dict
"""

from datetime import date, datetime, timedelta, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, refuse

LIMITS = ("rpm", "tpm", "max_parallel_requests", "budget")
# A date is the last day (UTC) on which a key works.
DATE = 10


def expired(text: Any, now: datetime) -> bool:
    """Return whether a key no longer works.

    :param text: a date or a time in ISO 8601, as the gate's file has it; null for never.
    """
    if not text:
        return False
    if len(str(text)) == DATE:
        last = date.fromisoformat(str(text))
        return last < date.max and now.date() >= last + timedelta(days=1)
    moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return now >= (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


def team(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a team may do."""
    limits = {name: entry.get(name) for name in LIMITS}
    return {"name": entry["name"], "models": entry.get("models") or [], **limits, "priority": entry.get("priority")}


def key(entry: dict[str, Any], teams: dict[str, dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Return what a key may do, without its hash."""
    its = teams.get(entry.get("team") or "") or {}
    own = entry.get("priority")
    return {
        "alias": entry["alias"],
        "scope": entry.get("scope") or "inference",
        "team": entry.get("team"),
        "models": entry.get("models") or [],
        "team_models": its.get("models") or [],
        **{name: entry.get(name) for name in LIMITS},
        "priority": own if own is not None else its.get("priority") or 0,
        "tags": entry.get("tags") or [],
        "expires": entry.get("expires"),
        "expired": expired(entry.get("expires"), now),
        "blocked": bool(entry.get("blocked")),
    }


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {"host": OPTION, "path": {"type": "path", "default": "/etc/llmfleet/gate/keys.json"}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    path = module.params["path"]
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        refuse(module, "path", path, "it is no file of a gate's keys", "run site.yml --tags gate on this host")
    teams = {entry["name"]: team(entry) for entry in document.get("teams") or []}
    now = datetime.now(timezone.utc)
    keys = [key(entry, teams, now) for entry in document["keys"]]
    module.exit_json(
        changed=False,
        client_keys=sorted(keys, key=lambda one: str(one["alias"])),
        teams=sorted(teams.values(), key=lambda one: str(one["name"])),
    )


if __name__ == "__main__":
    main()
