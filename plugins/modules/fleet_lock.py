#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Hold a host for one run, so that two runs never change it at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_lock
short_description: Hold a host for one run, so that two runs never change it at once
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Writes which run changes the host, from where, since when and at which step, into C(run.json) in O(state_root). A
    second run is refused with all of that and with what to do.
  - The lock of a run whose control node is this one and whose process is gone is taken over, with a warning. Any other
    can be taken over by name once it was not renewed for 10 minutes.
  - The action of this name on the control node adds who runs what; tasks do not set O(run) and O(ended).
  - The ledger of the host names the run that holds the lock.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says whether the host is free and changes nothing.}
  diff_mode: {support: none, details: The lock is no configuration.}
  idempotent: {support: full, details: A run that holds the lock may take it again.}
options:
  state:
    description:
      - V(taken) takes it, or fails. V(renewed) says that the run goes on, and fails if another run has it meanwhile.
        V(released) gives it back, if this run has it.
    type: str
    choices: [taken, renewed, released]
    default: taken
  step: {description: 'What the run does now, for those who are refused.', type: str, default: ''}
  take_over: {description: Id of the run whose lock is taken over., type: str, default: ''}
  run:
    description: The run - C(id), C(playbook), C(user), C(control_host), C(place) and C(pid).
    type: dict
    required: true
    suboptions:
      id: {description: Id of the run., type: str, required: true}
      playbook: {description: Name of the playbook., type: str, default: ''}
      user: {description: Who runs it., type: str, default: ''}
      control_host: {description: Name of the control node., type: str, default: ''}
      place: {description: Where the process id has its meaning., type: str, default: ''}
      pid: {description: Id of the process., type: int, default: 0}
  ended: {description: Id of a run that is known to have ended., type: str, default: ''}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
"""

EXAMPLES = r"""
- name: Hold the host for this run
  llmfleet.serving.fleet_lock:
    take_over: "{{ llm_take_over | default('') }}"

- name: Tell others what this run does
  llmfleet.serving.fleet_lock:
    state: renewed
    step: replace chat-0
"""

RETURN = r"""
outcome:
  description: V(free) if nobody had the lock, V(mine), V(taken over) or V(held).
  returned: always
  type: str
who:
  description: Who runs it, and on which control node.
  returned: always
  type: str
holder:
  description: The lock that was there.
  returned: when there was one
  type: dict
"""

import datetime
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import delete, read_json, read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger, run_lock


def read(path: str) -> dict[str, Any] | None:
    """Return the lock of the host; None if there is none. One that cannot be understood is held by nobody known."""
    found = read_json(path)
    if isinstance(found, dict):
        return found
    return {"id": "unknown"} if read_text(path) else None


def take(module: AnsibleModule, path: str, lock: dict[str, Any] | None) -> dict[str, Any]:
    """Take the lock, or fail with who has it."""
    given = module.params
    ended = bool(lock and given["ended"] and lock.get("id") == given["ended"])
    now = datetime.datetime.now(datetime.timezone.utc)
    verdict = run_lock.judge(lock, given["run"], ended, given["take_over"], now)
    told = {"outcome": verdict.outcome, "holder": lock or {}}
    if verdict.outcome == run_lock.HELD:
        fail(module, verdict.text, **told)
    if verdict.outcome == run_lock.TAKEN_OVER:
        module.warn(f"{given['host'] or 'this host'}: {verdict.text}")
    new = run_lock.taken(given["run"], given["step"], ledger.stamp(now))
    if not module.check_mode:
        os.makedirs(given["state_root"], mode=0o755, exist_ok=True)
        if lock:
            records.replace_json(path, {**new, "began": lock["began"]} if verdict.outcome == run_lock.MINE else new)
        elif not records.create_json(path, new):
            # Another run was faster.
            return take(module, path, read(path))
    return {"changed": verdict.outcome != run_lock.MINE, **told}


def main() -> None:
    """Run the module."""
    run = {
        "id": {"required": True},
        **{key: {"default": ""} for key in ("playbook", "user", "control_host", "place")},
        "pid": {"type": "int", "default": 0},
    }
    module = AnsibleModule(
        argument_spec={
            "host": OPTION,
            "state": {"choices": ["taken", "renewed", "released"], "default": "taken"},
            "step": {"default": ""},
            "take_over": {"default": ""},
            "run": {"type": "dict", "required": True, "options": run},
            "ended": {"default": ""},
            "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
        },
        supports_check_mode=True,
    )
    given = module.params
    path = f"{given['state_root']}/{run_lock.FILE}"
    lock = read(path)
    mine = bool(lock and lock.get("id") == given["run"]["id"])
    result: dict[str, Any] = {
        "changed": mine,
        "outcome": run_lock.MINE if mine else run_lock.FREE,
        "holder": lock or {},
    }
    if given["state"] == "taken":
        result = take(module, path, lock)
    elif given["state"] == "renewed":
        if not mine:
            fail(module, run_lock.lost(lock), outcome=run_lock.HELD, holder=lock or {})
        if not module.check_mode:
            records.replace_json(path, {**(lock or {}), "renewed": ledger.now(), "step": given["step"]})
    elif mine and not module.check_mode:
        delete(path)
        # A host on which the run did nothing is left as it was.
        delete(given["state_root"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
