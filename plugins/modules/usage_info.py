#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sum what was used, from the database or from the gate's own log."""

from __future__ import annotations

DOCUMENTATION = r"""
module: usage_info
short_description: Sum what was used
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Sums requests, tokens and cost by key, team, person, model or time, on a gateway.
  - Where the gateway books usage in PostgreSQL, the database is asked, which has that of all gateways. How to connect
    is in files of the gateway that root alone and the booking program can read, so no parameter holds a secret.
  - Elsewhere the gate's own log is summed, which has this gateway's requests as far as its files reach back.
  - In the same way it tells what keys, teams and models have spent of the budgets that the gate knows. The gate may be
    ahead of that by what is not booked yet, which is a few seconds.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
options:
  by:
    description: What usage is told apart by, in this order. An empty list sums everything.
    type: list
    elements: str
    choices: [key, team, person, model, instance, outcome, month, day]
    default: []
  month: {description: 'A month (UTC), such as V(2026-11); empty for all.', type: str, default: ''}
  settings:
    description: Settings of the booking program. Where the file is missing, the log is summed.
    type: path
    default: /etc/llmfleet/usage/usage.json
  log:
    description: The gate's log, whose older files have its name with C(.1), C(.2) and so on.
    type: path
    default: /var/lib/llmfleet/gate/usage.jsonl
  gate:
    description: Directory of the gate's configuration, whose C(keys.json) and C(gate.json) have the budgets.
    type: path
    default: /etc/llmfleet/gate
  prices:
    description: Prices of a token by model, C(input_per_token) and C(output_per_token), for lines of the log without a
      cost, as earlier gates wrote them. What is in the database has a cost already.
    type: dict
    default: {}
notes:
  - Run it as root.
"""

EXAMPLES = r"""
- name: Sum what keys used in November
  llmfleet.serving.usage_info:
    by: [key, model]
    month: 2026-11
  register: usage
"""

RETURN = r"""
source:
  description: V(database), or V(log) where nothing is booked.
  returned: success
  type: str
rows:
  description:
    - The sums, in the order of O(by), with the fields that O(by) names, C(requests), C(prompt_tokens),
      C(completion_tokens), C(cached_tokens) and C(cost).
    - C(others) counts requests without an answer. C(seconds) are those of all requests together, C(first_seconds)
      those until the first byte of C(first_requests). C(uncounted) counts requests whose tokens the engine did not say.
  returned: success
  type: list
  elements: dict
budgets:
  description:
    - Each budget in force - C(kind) (key, team or model), C(name), C(amount), C(per) (day, week or month), C(since),
      which is the first day (UTC) of the present period, C(spent), and C(left), below 0 where more was spent.
  returned: success
  type: list
  elements: dict
  sample:
    - {kind: team, name: red, amount: '50', per: month, since: '2026-11-01', spent: '12.5', left: '37.5'}
unreadable:
  description: Lines of the log that could not be read.
  returned: success
  type: int
"""

import glob
import json
import time
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.programs import run_program
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import budgets, lines, report

SECONDS = 120.0
# Reports change nothing, whatever happens to them.
READ_ONLY = {"PGOPTIONS": "-c default_transaction_read_only=on", "PGCONNECT_TIMEOUT": "10", "PGCLIENTENCODING": "UTF8"}


def ask(settings: dict[str, Any], sql: str) -> tuple[list[list[str]], str]:
    """Return the rows of the database, and why there are none if it does not answer."""
    if not sql:
        return [], ""
    argv = [settings["psql"], "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    told, problem = run_program(argv, SECONDS, sql, {**settings["environment"], **READ_ONLY})
    if problem:
        return [], " ".join(f"{problem} {told}".split())
    return [one.split("\t") for one in told.splitlines() if one], ""


def known_budgets(folder: str) -> list[dict[str, Any]]:
    """Return the budgets that the gate knows."""
    found = [read_json(f"{folder}/{name}") for name in ("keys.json", "gate.json")]
    keys, settings = (one if isinstance(one, dict) else {} for one in found)
    return budgets.given(keys, settings)


def log_lines(path: str) -> Iterator[bytes]:
    """Give the lines of the log's files."""
    for name in [path, *(one for one in glob.glob(f"{glob.escape(path)}.*") if one.rpartition(".")[2].isdigit())]:
        try:
            with open(name, "rb") as file:
                yield from file
        except FileNotFoundError:
            continue


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "by": {"type": "list", "elements": "str", "choices": list(report.BY), "default": []},
        "month": {"type": "str", "default": ""},
        "settings": {"type": "path", "default": "/etc/llmfleet/usage/usage.json"},
        "log": {"type": "path", "default": "/var/lib/llmfleet/gate/usage.jsonl"},
        "gate": {"type": "path", "default": "/etc/llmfleet/gate"},
        "prices": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    by, month = given["by"], given["month"]
    if month and not report.is_month(month):
        module.fail_json(msg=line("", f"month is {json.dumps(month)}", "it is no month", "give one such as 2026-11"))
    settings, having, now = read_json(given["settings"]), known_budgets(given["gate"]), time.time()
    if isinstance(settings, dict):
        rows, problem = ask(settings, report.query(by, month))
        spent: list[list[str]] = []
        if not problem:
            spent, problem = ask(settings, budgets.query(having, now))
        if problem:
            remedy = "see the log of llm-usage on this host and that of llm-postgresql"
            module.fail_json(msg=line("", "the database of usage", problem, remedy))
        told = {"rows": [report.row(by, one) for one in rows], "budgets": budgets.of_fields(having, spent, now)}
        module.exit_json(changed=False, source="database", unreadable=0, **told)
    found, unreadable = lines.summed(log_lines(given["log"]), given["prices"])
    told = {"rows": report.of_lines(found, by, month), "budgets": budgets.of_lines(having, found, now)}
    module.exit_json(changed=False, source="log", unreadable=unreadable, **told)


if __name__ == "__main__":
    main()
