#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what running engines can do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_conformance_info
short_description: Find out what running engines can do
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Sends an instance, itself and with its key, one request of each kind that clients send, and judges the answers.
    For every engine these are a chat, whole and streamed, semantic probes (O(prompts)) and, of embedding models, an
    embedding. For vLLM also a completion, a stop string, logprobs, a JSON schema, a tool call, whole and streamed, the
    split of reasoning, a prompt near the longest context, and Anthropic's API, whole and streamed.
  - Measures short streamed chats - the first token by an answer of one token, and the time from one token to the next
    by what a longer answer takes beyond it. The check C(chats again) is whether all of them were answered.
  - A check that is not passed is no failure of the module, because not every model can do everything. Compare the
    result with that of the instance that serves (P(llmfleet.serving.conformance_problems#filter)).
  - Instances are checked one after another, so that they do not slow each other down.
options:
  instances:
    description: Instances of this host. The environment of an instance is refused, because Ansible writes parameters to
      the log of the host; P(llmfleet.serving.conformance_instances#filter) leaves it out.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the instance., type: str, required: true}
      model: {description: Name of its model., type: str, required: true}
      engine: {description: Name of its engine., type: str, default: vllm}
      listen: {description: Address that it listens on., type: str, default: 127.0.0.1}
      port: {description: Port that it listens on., type: int, required: true}
      max_model_len: {description: Tokens of its context. Without it the instance is asked., type: int}
      mode: {description: Mode of its model., type: str, choices: [chat, embedding], default: chat}
  api_key: {description: Key of the engines., type: str, required: true}
  prompts:
    description: By model, semantic probes - C(prompt), and C(expect), a regular expression that is found in the answer.
    type: dict
    default: {}
  probes: {description: "Streamed chats to measure, after one that is not.", type: int, default: 5}
  seconds:
    description: Seconds that all may take. What is left of them is divided among the instances.
    type: int
    default: 60
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: "Sends no request in check mode, and returns no entries."}
  diff_mode: {support: none, details: "Changes nothing."}
  idempotent: {support: full, details: "It changes nothing."}
"""

EXAMPLES = r"""
- name: Find out what the new instance can do
  llmfleet.serving.engine_conformance_info:
    host: "{{ inventory_hostname }}"
    instances: "{{ llm_instances_here | llmfleet.serving.conformance_instances(llm_models_planned) }}"
    api_key: "{{ llm_engine_api_key }}"
    prompts:
      chat:
        - prompt: What is the capital of France?
          expect: Paris
  register: found
"""

RETURN = r"""
conformance:
  description: >-
    Each instance - C(instance), C(model), C(mode), C(checks) (C(name), C(ok), C(why) if not, and C(seconds)), and of
    each measured chat C(first_token_seconds), and C(token_seconds) from one token to the next.
  returned: always
  type: list
  elements: dict
"""

import json
import re
import time
from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import checks, conformance, parts
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Reply

# What is read of an answer at most.
MOST_BYTES = 1024**2
# Context of an instance that does not tell its own.
DEFAULT_LENGTH = 2048


class Checked:
    """A running instance that is checked."""

    def __init__(self, instance: dict[str, Any], given: dict[str, Any], seconds: float) -> None:
        self.instance = instance
        self.given = given
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.url = f"http://{authority(instance['listen'], instance['port'])}"
        self.headers = {"Authorization": f"Bearer {given['api_key']}", "Content-Type": "application/json"}
        self.client = Client("llmfleet-conformance")
        self.done: list[dict[str, Any]] = []
        self.measured: list[conformance.Times] = []

    def ask(self, path: str, body: Any = None) -> Reply:
        """Send a request and return what came, with the seconds after which each piece did."""
        left, began = self.deadline - time.monotonic(), time.monotonic()
        if left <= 0:
            return Reply(error=f"the {self.seconds:.0f} s for all checks were over")
        pieces: list[tuple[float, bytes]] = []
        status, kind, error = 0, "", ""
        data = None if body is None else json.dumps(body).encode()
        try:
            with self.client.open(f"{self.url}{path}", left, self.headers, "POST" if data else "GET", data) as answer:
                status, kind = answer.status, str(answer.headers.get("Content-Type") or "")
                pieces.extend((time.monotonic() - began, piece) for piece in answer.pieces(MOST_BYTES))
        except TroubleError as trouble:
            error = trouble.reason
        return Reply(status, kind, pieces, time.monotonic() - began, error=error)

    def limits(self) -> dict[str, Any]:
        """Return what the checks depend on."""
        model = self.instance["model"]
        length = self.instance.get("max_model_len")
        if not length:
            said = parts.parsed(self.ask("/v1/models").body.decode("utf-8", "replace"))
            listed = parts.dicts(said, "data")
            length = parts.number(parts.get(next(iter(listed), None), "max_model_len")) or DEFAULT_LENGTH
        mode = self.instance["mode"]
        return {"model": model, "mode": mode, "max_model_len": length, "prompts": self.given["prompts"].get(model)}

    def record(self, name: str, why: str, seconds: float) -> None:
        """Add a check that was made."""
        said = conformance.sentence(why, [self.given["api_key"]])
        self.done.append({"name": name, "ok": not why, "why": said, "seconds": round(seconds, 4)})

    def make(self, check: Mapping[str, Any]) -> None:
        """Make a check."""
        reply = self.ask(check["path"], check["body"])
        self.record(check["name"], conformance.reason(check, reply), reply.seconds)

    def measure(self, streamed: Mapping[str, Any]) -> None:
        """Send a streamed chat again and again, and record as a check whether all were answered."""
        began, why = time.monotonic(), ""
        pair = (checks.one_token(streamed), streamed)
        for number in range(1, self.given["probes"] + 1):
            replies = [self.ask(check["path"], check["body"]) for check in pair]
            why = next(filter(None, map(conformance.reason, pair, replies)), "")
            if why:
                why = f"number {number} of {self.given['probes']}: {why}"
                break
            self.measured.append(conformance.times(*replies))
        self.record(checks.MEASURED, why, time.monotonic() - began)

    def result(self) -> dict[str, Any]:
        """Make all checks and return what they showed. The first streamed chat is the warm-up of those measured."""
        limits = self.limits()
        general = checks.checks(limits)
        for check in general:
            self.make(check)
        streamed = [one for one in general if one["name"] == checks.STREAMED]
        if streamed and self.given["probes"] > 0:
            self.measure(streamed[0])
        for own in registry.of(self.instance).conformance(limits):
            self.make(own)
        return {
            "instance": self.instance["name"],
            "model": self.instance["model"],
            "mode": self.instance["mode"],
            "checks": self.done,
            "first_token_seconds": [round(one.first_token, 6) for one in self.measured],
            "token_seconds": [round(one.token, 6) for one in self.measured if one.token is not None],
        }


def wrong_prompt(prompts: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """Return variable, value and problem of the first semantic probe that is none; null if all are."""
    for model, probes in prompts.items():
        if not isinstance(probes, list):
            return f"prompts[{model}]", probes, "a list is needed"
        for number, one in enumerate(probes):
            variable = f"prompts[{model}][{number}]"
            if not all(isinstance(parts.get(one, key), str) for key in ("prompt", "expect")):
                return variable, one, "it needs the texts prompt and expect"
            try:
                re.compile(one["expect"])
            except re.error as error:
                return f"{variable}.expect", one["expect"], f"it is no regular expression: {error}"
    return None


def main() -> None:
    """Run the module."""
    fields: dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "model": {"type": "str", "required": True},
        "engine": {"type": "str", "default": "vllm"},
        "listen": {"type": "str", "default": "127.0.0.1"},
        "port": {"type": "int", "required": True},
        "max_model_len": {"type": "int"},
        "mode": {"type": "str", "choices": ["chat", "embedding"], "default": "chat"},
    }
    spec: dict[str, Any] = {
        "instances": {"type": "list", "elements": "dict", "required": True, "options": fields},
        "api_key": {"type": "str", "required": True, "no_log": True},
        "prompts": {"type": "dict", "default": {}},
        "probes": {"type": "int", "default": 5},
        "seconds": {"type": "int", "default": 60},
        "host": OPTION,
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    wrong = wrong_prompt(given["prompts"])
    if wrong:
        refuse(module, *wrong, "write it as {MODEL: [{prompt: TEXT, expect: REGULAR EXPRESSION}]}")
    found: list[dict[str, Any]] = []
    end = time.monotonic() + given["seconds"]
    chosen = [] if module.check_mode else given["instances"]
    for number, one in enumerate(chosen):
        share = (end - time.monotonic()) / (len(chosen) - number)
        found.append(Checked(one, given, share).result())
    module.exit_json(changed=False, conformance=found)


if __name__ == "__main__":
    main()
