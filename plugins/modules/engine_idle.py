#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until the engines of a host have answered their requests."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_idle
short_description: Wait until engines have answered their requests
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the metrics of instances that this host has recorded, all at once, until each of them computes no request and
    none waits in it, in two readings in a row.
  - It only waits. That no new requests come is up to the gateways (the entry point C(upstreams) of the role C(nginx)).
  - An instance that nobody listens for has no requests. One that does not answer three times in a row, or whose engine
    does not tell its requests, is not waited for.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: It reads once and does not wait.}
  diff_mode: {support: none, details: It changes nothing.}
  idempotent: {support: full, details: It changes nothing.}
options:
  names:
    description: Names of the instances. One that the host has not recorded is not waited for.
    type: list
    elements: str
    required: true
  record:
    description:
      - File with the instances that the host has recorded. They are no parameter, because Ansible writes parameters to
        the log of the host, and environments of instances may hold secrets. The C(busy_metrics) of their C(interface)
        name the metrics.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  deadline: {description: Seconds to wait at most., type: int, default: 600}
  interval: {description: Seconds between two readings., type: float, default: 1.0}
  timeout: {description: Seconds for the answer of an engine., type: int, default: 5}
"""

EXAMPLES = r"""
- name: Wait until the requests of these instances have ended
  llmfleet.serving.engine_idle:
    names: [chat-0]
    deadline: 600
  become: true
"""

RETURN = r"""
seconds:
  description: Seconds that it waited.
  returned: always
  type: float
  sample: 12.4
left:
  description: >-
    Instances that were not idle at the end, each with C(name) and the requests C(running) and C(waiting), which are
    null if it did not tell.
  returned: always
  type: list
  elements: dict
  sample: [{name: chat-0, running: 1, waiting: 0}]
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import idle, registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name

# An engine has some hundred KiB of metrics.
MOST_BYTES = 1 << 24


def reading(instance: dict[str, Any], seconds: float) -> idle.Reading | None:
    """Read the requests in an instance once; null if it does not tell."""
    interface = registry.interface_of(instance)
    place = authority(str(instance.get("listen") or "127.0.0.1"), int(instance["port"]))
    try:
        with http_client.Client("llmfleet").open(f"http://{place}{interface['metrics_path']}", seconds) as answer:
            text = answer.read(MOST_BYTES).decode("utf-8", "replace") if answer.status == 200 else ""
    except http_client.TroubleError as error:
        return idle.GONE if error.kind == http_client.REFUSED else None
    return idle.requests(text, interface["busy_metrics"])


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "host": OPTION,
        "names": {"type": "list", "elements": "str", "required": True},
        "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
        "deadline": {"type": "int", "default": 600},
        "interval": {"type": "float", "default": 1.0},
        "timeout": {"type": "int", "default": 5},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    began = time.monotonic()
    record = read_json(given["record"])
    recorded = (record.get("instances") or []) if isinstance(record, dict) else []
    waiting = [one for one in recorded if one["name"] in given["names"]]
    readings: dict[str, list[idle.Reading | None]] = {str(one["name"]): [] for one in waiting}
    with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
        while waiting:
            found = pool.map(lambda one: reading(one, given["timeout"]), waiting)
            for one, said in zip(list(waiting), found):
                readings[str(one["name"])].append(said)
            waiting = [one for one in waiting if idle.verdict(readings[str(one["name"])]) == idle.BUSY]
            seconds = time.monotonic() - began
            if not waiting or module.check_mode or seconds + given["interval"] > given["deadline"]:
                break
            time.sleep(given["interval"])
    ended = {name: idle.verdict(said) for name, said in readings.items()}
    left = [idle.left(name, said) for name, said in readings.items() if ended[name] != idle.IDLE]
    busy = {str(one["name"]) for one in waiting}
    if module.check_mode:
        left = [one for one in left if one["running"] or one["waiting"]]
    for one in [one for one in left if one["name"] in busy and not module.check_mode]:
        many = "an unknown number of" if one["running"] is None else one["running"] + one["waiting"]
        module.warn(
            f"{host_name(given)}: {one['name']} still has {many} requests after {given['deadline']} s; "
            "they end with it. Raise llm_drain_timeout if requests take longer."
        )
    module.exit_json(changed=False, seconds=round(time.monotonic() - began, 1), left=left)


if __name__ == "__main__":
    main()
