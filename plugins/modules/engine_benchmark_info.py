#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure how fast a model answers, with the benchmark of its engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_benchmark_info
short_description: Measure how fast a model answers
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Runs the benchmark of an engine (C(vllm bench serve)) in the engine's own environment or image, against a gateway or
    an engine, and returns its figures.
  - Prompts are random tokens. The result has no prompt, no answer and no key.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: It sends nothing.}
  diff_mode: {support: none, details: It changes nothing.}
  idempotent: {support: full, details: It changes nothing.}
options:
  order:
    description: What the filter P(llmfleet.serving.benchmark_order#filter) returned.
    type: dict
    required: true
  api_key:
    description: Key that the gateway, or the engine, is asked with.
    type: str
    required: true
  engine_api_key:
    description: Key of the engines, one of which tells where the model's files are.
    type: str
    required: true
  ca:
    description: Certificates that are trusted, as text. Empty means those of the system.
    type: str
    default: ''
  seed:
    description: Where random tokens begin. Another one at each run keeps caches of prefixes from answering.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Measure the model
  llmfleet.serving.engine_benchmark_info:
    order: "{{ order }}"
    api_key: "{{ llm_secrets.litellm_key_verify }}"
    engine_api_key: "{{ llm_engine_api_key }}"
    seed: "{{ now().timestamp() | int }}"
  register: measured
"""

RETURN = r"""
points:
  description: Each point with its C(name) and what the benchmark told of it (C(result)), or why nothing (C(error)).
  returned: success, but not in check mode
  type: list
  elements: dict
release:
  description: Release of the engine.
  returned: success, but not in check mode
  type: str
  sample: 0.32.0
files:
  description: Name of the folder with the model's files, which is its commit or a digest.
  returned: success, but not in check mode
  type: str
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client, programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line
from ansible_collections.llmfleet.serving.plugins.module_utils.text import redact

# Seconds for the imports of an engine, which take the longest from a cold disk.
SECONDS_TO_IMPORT = 300
SECONDS_TO_ANSWER = 10.0
MOST_BYTES = 1 << 20
MOST_CHARACTERS = 500
# What the program is told of an order.
TOLD = ("base_url", "connect", "model", "tokenizer_mode", "input_len", "output_len", "points", "seconds")


class UnknownError(Exception):
    """What is asked for cannot be found out; the text says why, and the remedy."""


def folder_of(order: dict[str, Any], key: str) -> str:
    """Return where an engine has its model's files, as it says itself."""
    url = f"{order['engine_url']}/v1/models"
    try:
        with http_client.Client("llmfleet").open(url, SECONDS_TO_ANSWER, {"Authorization": f"Bearer {key}"}) as answer:
            status, body = answer.status, answer.read(MOST_BYTES)
        listed = json.loads(body)["data"] if status == 200 else []
        return next(str(one["root"]) for one in listed if one.get("root"))
    except http_client.TroubleError as error:
        raise UnknownError(f"{url}: {error.reason}; start the engine, or see its log") from None
    except (ValueError, LookupError, TypeError, StopIteration):
        raise UnknownError(f"{url} does not say where the model's files are; see the engine's log") from None


def run(given: dict[str, Any], tokenizer: str) -> tuple[list[dict[str, Any]], str]:
    """Run the program; return what it told of each point, and the release of the engine."""
    order = given["order"]
    request = {name: order[name] for name in TOLD}
    request |= {"tokenizer": tokenizer, "ca": given["ca"], "api_key": given["api_key"], "seed": given["seed"] % 2**31}
    command = order["command"]
    if not all(os.path.exists(word) for word in command):
        raise UnknownError(f"{' '.join(command)} is not there; run site.yml, which brings the program of this version")
    printed, ending = programs.run_program(command, order["seconds"] + SECONDS_TO_IMPORT, json.dumps(request))
    said = [json.loads(text) for text in printed.splitlines() if text.startswith("{")]
    release = next((str(one["release"]) for one in said if "release" in one), "")
    points = [one for one in said if "name" in one]
    if not points or not release:
        last = redact((printed.strip().splitlines() or [""])[-1], [given["api_key"]])[:MOST_CHARACTERS]
        raise UnknownError(f"{' '.join(command)} {ending or 'ended early'}: {last}; run site.yml, or see the message")
    return points, release


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "host": OPTION,
        "order": {"type": "dict", "required": True},
        "api_key": {"type": "str", "required": True, "no_log": True},
        "engine_api_key": {"type": "str", "required": True, "no_log": True},
        "ca": {"type": "str", "default": ""},
        "seed": {"type": "int", "required": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        folder = folder_of(given["order"], given["engine_api_key"])
        points, release = run(given, given["order"]["tokenizer"] or folder)
    except UnknownError as error:
        module.fail_json(msg=line(host_name(given), given["order"]["model"], str(error)))
    module.exit_json(changed=False, points=points, release=release, files=os.path.basename(folder.rstrip("/")))


if __name__ == "__main__":
    main()
