#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what the engines of a host have counted since they started."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_traffic_info
short_description: Read what engines have counted since they started
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the metrics of instances that this host has recorded, all at once - requests that ended, with errors and by
    aborts, preemptions, and the seconds to the first token and from one token to the next.
  - The difference of two readings is what happened in between (P(llmfleet.serving.canary_verdicts#filter)). The result
    has no secret, no prompt and no answer.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
  - llmfleet.serving.host
options:
  names:
    description: Names of the instances. One that the host has not recorded is left out.
    type: list
    elements: str
    required: true
  moment:
    description:
      - When to read, in seconds since 1970 by the clock of this host. It waits until then, for 60 seconds at most. By
        default it reads at once.
    type: float
  record:
    description:
      - File with the instances that the host has recorded. They are no parameter, because Ansible writes parameters to
        the log of the host, and environments of instances may hold secrets. The C(traffic_metrics) of their
        C(interface) name the metrics.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  timeout: {description: Seconds for the answer of an engine., type: int, default: 3}
"""

EXAMPLES = r"""
- name: Read what the engines have counted
  llmfleet.serving.engine_traffic_info:
    host: "{{ inventory_hostname }}"
    names: [chat-0]
  become: true
  register: traffic
"""

RETURN = r"""
at:
  description: When they were read, in seconds since 1970.
  returned: always
  type: float
traffic:
  description: >-
    Each instance - C(instance), C(model), C(host), and C(counted), which is null if it does not tell, and else
    C(started), C(requests), C(errors), C(aborts), C(failed_answers), C(preemptions), and the histograms C(first_token)
    and C(token) in seconds, each with C(count), C(total) and C(buckets).
  returned: always
  type: list
  elements: dict
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import counters, registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name

# An engine has some hundred KiB of metrics.
MOST_BYTES = 1 << 24
MOST_SECONDS = 60


def counted(instance: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Return what an instance has counted since it started; null if it does not tell."""
    interface = registry.interface_of(instance)
    place = authority(str(instance.get("listen") or "127.0.0.1"), int(instance["port"]))
    try:
        with Client("llmfleet").open(f"http://{place}{interface['metrics_path']}", seconds) as answer:
            text = answer.read(MOST_BYTES).decode("utf-8", "replace") if answer.status == 200 else ""
    except TroubleError:
        return None
    return counters.read(text, interface["traffic_metrics"])


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "host": OPTION,
        "names": {"type": "list", "elements": "str", "required": True},
        "moment": {"type": "float"},
        "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
        "timeout": {"type": "int", "default": 3},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    record = read_json(given["record"])
    recorded = (record.get("instances") or []) if isinstance(record, dict) else []
    chosen = [one for one in recorded if one["name"] in given["names"]]
    if given["moment"] is not None and chosen and not module.check_mode:
        time.sleep(min(MOST_SECONDS, max(0.0, given["moment"] - time.time())))
    at = time.time()
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        found = list(pool.map(lambda one: counted(one, given["timeout"]), chosen))
    traffic = [
        {"instance": one["name"], "model": one["model"], "host": host_name(given), "counted": said}
        for one, said in zip(chosen, found)
    ]
    module.exit_json(changed=False, at=at, traffic=traffic)


if __name__ == "__main__":
    main()
