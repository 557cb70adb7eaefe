#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what the logs of a gateway say of one request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: request_info
short_description: Find what a gateway's logs say of one request
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Reads the access logs of both Nginx and the usage log of the gate, with their older files, compressed ones too.
  - A request is known by the identifier that its answer has in the header C(x-request-id), which is the client's own if
    it sent one.
  - No log has the text of a prompt or an answer, or a key.
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
options:
  request:
    description: Identifier of the request, 8 to 128 letters, digits, dots, dashes and underscores.
    type: str
    required: true
  north: {description: 'Access log of Nginx north.', type: path, default: /var/log/llmfleet/nginx/access.json}
  gate: {description: 'Usage log of the gate.', type: path, default: /var/lib/llmfleet/gate/usage.jsonl}
  south: {description: 'Access log of Nginx south.', type: path, default: /var/log/llmfleet/nginx-south/access.json}
notes:
  - Run it as root.
"""

EXAMPLES = r"""
- name: Find a request
  llmfleet.serving.request_info:
    request: notebook-0001
  register: request
"""

RETURN = r"""
hops:
  description:
    - The lines about the request, in the order in which it passed their programs. Each has C(hop), which is V(north),
      V(gate) or V(south), and the fields of its log.
    - Those of Nginx have C(servers) too, those that it asked in this order, with C(address), C(status), C(seconds),
      C(connect_seconds) and C(header_seconds).
  returned: success
  type: list
  elements: dict
since:
  description: The time of the oldest line of these logs, in ISO 8601 as far as it is known; empty if there is none.
  returned: success
  type: str
"""

import glob
import gzip
import json
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import hops


def files(path: str) -> list[str]:
    """Return a log's files, the oldest first: its own, and those with a number, compressed or not."""
    numbered = []
    for name in glob.glob(f"{glob.escape(path)}.*"):
        number = name[len(path) + 1 :].removesuffix(".gz")
        if number.isdigit():
            numbered.append((int(number), name))
    return [*(name for _number, name in sorted(numbered, reverse=True)), path]


def log_lines(path: str) -> Iterator[bytes]:
    """Give the lines of a log's files. One that is rotated away meanwhile, or broken, ends."""
    for name in files(path):
        try:
            with gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb") as file:
                yield from file
        except (OSError, EOFError):
            continue


def oldest(path: str) -> str:
    """Return the time of the oldest line of a log."""
    for text in log_lines(path):
        try:
            return str(json.loads(text)["time"])
        except (ValueError, TypeError, KeyError):
            continue
    return ""


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "request": {"type": "str", "required": True},
        "north": {"type": "path", "default": "/var/log/llmfleet/nginx/access.json"},
        "gate": {"type": "path", "default": "/var/lib/llmfleet/gate/usage.jsonl"},
        "south": {"type": "path", "default": "/var/log/llmfleet/nginx-south/access.json"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    request = module.params["request"]
    if not hops.is_identifier(request):
        remedy = "give that of the answer's header x-request-id"
        module.fail_json(msg=line("", f"request is {json.dumps(request)}", "it is no identifier of a request", remedy))
    found = []
    for hop in hops.FIELDS:
        for entry in hops.of_request(log_lines(module.params[hop]), hop, request):
            told = {"servers": list(hops.servers(entry))} if hop != "gate" else {}
            found.append({**entry, **told})
    module.exit_json(changed=False, hops=found, since=oldest(module.params["north"]))


if __name__ == "__main__":
    main()
