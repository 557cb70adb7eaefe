#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin I/O around module_utils/verify/judge.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_chain
short_description: Check that a serving chain answers, or name the hop that fails
version_added: 0.1.0
description:
  - Sends real requests through the outermost door, as a client would, and judges the answers.
  - The API door must list every model, complete and stream a reply, refuse a wrong and a missing key in OpenAI's
    format, and not serve its metrics. The chat door must show its page. Prometheus must reach each target.
  - It stops at the first check that fails, probes the hops from the innermost outwards, and fails with one message that
    names the check, the expected and the actual result, and the first unhealthy hop, with the remedy.
  - Secrets appear neither in the message nor in the result.
options:
  api_url:
    description:
      - Base URL of the API with its version path, as clients use it, for example V(https://llm.example.com/v1).
      - Empty skips the checks of the API.
    type: str
    default: ""
  chat_url:
    description: URL of the chat page. Empty skips its check.
    type: str
    default: ""
  prometheus_url:
    description: URL of Prometheus, for example V(http://127.0.0.1:9090). Empty skips the check of its targets.
    type: str
    default: ""
  connect_address:
    description:
      - Address to connect to for every URL whose host is that of O(api_url) or O(chat_url), while the TLS server name
        and the C(Host) header stay those of the URL. For names that DNS does not know yet, like C(curl --resolve).
    type: str
    default: ""
  ca_file:
    description: PEM file with the authorities to trust. Empty means those of the system.
    type: path
  api_key:
    description: Key that may use every model of O(models). Required with O(api_url).
    type: str
  models:
    description:
      - Names of the models that must complete a chat. The first of them is streamed as well.
    type: list
    elements: str
    default: []
  embedding_models:
    description: Names of the models that must create an embedding.
    type: list
    elements: str
    default: []
  prompt:
    description: Prompt for the models.
    type: str
    default: Hello! Please introduce yourself.
  max_tokens:
    description: Maximum length of a reply, in tokens.
    type: int
    default: 32
  expected_jobs:
    description: Jobs for which Prometheus must have at least one target.
    type: list
    elements: str
    default: []
  away:
    description: Addresses of hosts that may be off, so that Prometheus need not reach its targets there.
    type: list
    elements: str
    default: []
  scrape_timeout:
    description: Seconds that Prometheus gets to see every target up. A target is unknown until its first scrape.
    type: int
    default: 60
  timeout:
    description: Seconds that each request may take, from connecting to its last byte.
    type: int
    default: 60
  hops:
    description:
      - The processes that a request passes, from the inside out. They are probed only when a check fails.
      - A proxy's URL should lead to the service behind it if possible, so that wrong wiring is found, too.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the service in its manager.
        type: str
        required: true
      url:
        description: URL of its health probe.
        type: str
        required: true
      host:
        description: Name of its host. Empty means the host on which the module runs.
        type: str
        default: ""
      headers:
        description: Headers for the probe, for example C(Authorization). Their values are secrets.
        type: dict
        default: {}
      status:
        description: Status codes of a healthy hop.
        type: list
        elements: int
        default: [200]
      remedy:
        description: Remedy if it is not healthy. Empty means the command that shows its journal.
        type: str
        default: ""
      serves:
        description: Doors that depend on this hop, so that a failed chat page is not blamed for a failed completion.
        type: list
        elements: str
        choices: [api, chat, metrics]
        default: [api, chat, metrics]
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode:
    support: partial
    details: Sends no request in check mode, as the chain may not exist yet, and says that it was skipped.
  diff_mode:
    support: none
    details: Changes nothing.
  idempotent: {support: full, details: It changes nothing.}
author:
  - llmfleet contributors (@llmfleet)
"""

EXAMPLES = r"""
- name: Prove the whole chain from its gateway
  llmfleet.serving.verify_chain:
    api_url: https://llm.example.com/v1
    chat_url: https://chat.example.com/
    prometheus_url: http://127.0.0.1:9090
    connect_address: 127.0.0.1
    ca_file: /etc/llmfleet/nginx/tls/ca.pem
    api_key: "{{ llm_secrets.secrets.litellm_master_key }}"
    models: [chat]
    expected_jobs: [vllm, litellm, nginx, node]
    hops:
      - name: llm-vllm-chat-0
        host: gpu1
        url: http://10.0.0.11:8100/health
      - name: llm-nginx
        url: http://127.0.0.1:4100/chat/v1/models
        headers:
          Authorization: "Bearer {{ llm_secrets.secrets.vllm_api_key }}"
        serves: [api]
      - name: llm-litellm
        url: http://127.0.0.1:4000/health/liveliness
      - name: llm-nginx
        url: https://llm.example.com/health

- name: Prove the metrics alone
  llmfleet.serving.verify_chain:
    prometheus_url: http://127.0.0.1:9090
    expected_jobs: [vllm, node]
"""

RETURN = r"""
checks:
  description: Each check that ran, in order.
  returned: always, empty in check mode
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check.
      type: str
    ok:
      description: Whether it passed.
      type: bool
    seconds:
      description: Seconds that it took.
      type: float
    detail:
      description: The measurement, or the unexpected answer.
      type: str
  sample:
    - {name: completion of chat, ok: true, seconds: 0.21, detail: 48 characters}
timings:
  description:
    - Measurements in seconds, and the number of events of the stream. Keys are those whose checks ran.
  returned: always, empty in check mode
  type: dict
  sample: {completion_chat: 0.21, stream_first_chunk: 0.05, stream_spread: 0.17, stream_chunks: 18, total: 1.4}
hop:
  description: Name of the hop that failed, empty if every hop is healthy.
  returned: on failure
  type: str
  sample: llm-vllm-chat-0
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.text import redact
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import (
    Break,
    Hop,
    Reply,
    Verdict,
    explain,
    judge_closed,
    judge_completion,
    judge_embedding,
    judge_hop,
    judge_models,
    judge_page,
    judge_refusal,
    judge_stream,
    judge_targets,
)

LARGEST_BODY = 8 * 1024 * 1024
SCRAPE_POLL_SECONDS = 1.0
# A busy machine can deliver a good stream to us all at once; a proxy that buffers does it every time. Seconds before
# each try: what makes a machine busy (services just started, other hosts' checks) outlasts a few tries in a row.
STREAM_PAUSES = (0, 1, 2, 4, 8, 15)

HOP_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "host": {"type": "str", "default": ""},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "remedy": {"type": "str", "default": ""},
    "serves": {
        "type": "list",
        "elements": "str",
        "choices": ["api", "chat", "metrics"],
        "default": ["api", "chat", "metrics"],
    },
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "host": OPTION,
    "api_url": {"type": "str", "default": ""},
    "chat_url": {"type": "str", "default": ""},
    "prometheus_url": {"type": "str", "default": ""},
    "connect_address": {"type": "str", "default": ""},
    "ca_file": {"type": "path"},
    "api_key": {"type": "str", "no_log": True},
    "models": {"type": "list", "elements": "str", "default": []},
    "embedding_models": {"type": "list", "elements": "str", "default": []},
    "prompt": {"type": "str", "default": "Hello! Please introduce yourself."},
    "max_tokens": {"type": "int", "default": 32, "no_log": False},
    "expected_jobs": {"type": "list", "elements": "str", "default": []},
    "away": {"type": "list", "elements": "str", "default": []},
    "scrape_timeout": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 60},
    "hops": {"type": "list", "elements": "dict", "default": [], "options": HOP_OPTIONS},
}


class Client:
    """Sends the requests; every failure to connect or to read is part of the reply."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.timeout = float(params["timeout"])
        doors = {urlsplit(params[key]).hostname or "" for key in ("api_url", "chat_url") if params[key]}
        addresses = dict.fromkeys(doors, params["connect_address"]) if params["connect_address"] else {}
        self.http = http_client.Client("llmfleet-verify", params["ca_file"], addresses=addresses)

    def send(
        self, method: str, url: str, headers: dict[str, str] | None = None, payload: dict[str, Any] | None = None
    ) -> Reply:
        """Send one request and read its reply to the end, noting when each piece of it came."""
        start = time.monotonic()
        pieces: list[tuple[float, bytes]] = []
        status, content_type, retry_after, error = 0, "", 0.0, ""
        sent = {**(headers or {}), **({"Content-Type": "application/json"} if payload is not None else {})}
        body = None if payload is None else json.dumps(payload).encode()
        try:
            with self.http.open(url, self.timeout, sent, method, body) as answer:
                status, content_type = answer.status, answer.headers.get("Content-Type", "").lower()
                after = answer.headers.get("Retry-After", "")
                retry_after = float(after) if after.isdigit() else 1.0
                for piece in answer.pieces(LARGEST_BODY):
                    pieces.append((time.monotonic() - start, piece))  # noqa: PERF401 - what came before a failure counts
        except http_client.TroubleError as trouble:
            error = trouble.reason
        return Reply(status, content_type, pieces, time.monotonic() - start, retry_after, error)

    def ask(
        self, method: str, url: str, headers: dict[str, str] | None = None, payload: dict[str, Any] | None = None
    ) -> Reply:
        """Like send, but wait as a busy fleet asks, up to the timeout, because a fleet at its limits is not broken."""
        deadline = time.monotonic() + self.timeout
        while True:
            reply = self.send(method, url, headers, payload)
            if reply.status != 429 or time.monotonic() + reply.retry_after > deadline:
                return reply
            time.sleep(reply.retry_after)


class Chain:
    """The checks of one run, and what they found."""

    def __init__(self, params: dict[str, Any], host: str) -> None:
        self.params = params
        self.host = host
        self.client = Client(params)
        self.wrong_key = "sk-wrong-" + secrets.token_urlsafe(24)
        self.secrets = [self.wrong_key, params["api_key"] or ""]
        for hop in params["hops"]:
            self.secrets += [str(value) for value in hop["headers"].values()]
        self.checks: list[dict[str, Any]] = []
        self.timings: dict[str, float] = {}

    def _bearer(self, key: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def _chat(self, model: str, stream: bool, max_tokens: int = 0) -> Reply:
        payload: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": self.params["prompt"]}],
            "max_tokens": max_tokens or self.params["max_tokens"],
        }
        if stream:
            payload["stream"] = True
        url = self.params["api_url"].rstrip("/") + "/chat/completions"
        return self.client.ask("POST", url, self._bearer(self.params["api_key"]), payload)

    def _completion(self, model: str) -> Verdict:
        verdict = judge_completion(self._chat(model, False))
        self._record(f"completion_{model}", verdict)
        return verdict

    def _embedding(self, model: str) -> Verdict:
        url = self.params["api_url"].rstrip("/") + "/embeddings"
        payload = {"model": model, "input": self.params["prompt"]}
        verdict = judge_embedding(self.client.ask("POST", url, self._bearer(self.params["api_key"]), payload))
        self._record(f"embedding_{model}", verdict)
        return verdict

    def _stream(self, model: str) -> Verdict:
        for pause in STREAM_PAUSES:
            time.sleep(pause)
            reply = self._chat(model, True)
            verdict = judge_stream(reply)
            if verdict.buffered:
                verdict = judge_stream(reply, self._chat(model, True, max_tokens=1).seconds)
            if not verdict.buffered:
                break
        self._record("stream", verdict)
        return verdict

    def _targets(self) -> Verdict:
        url = self.params["prometheus_url"].rstrip("/") + "/api/v1/targets?state=active"
        deadline = time.monotonic() + self.params["scrape_timeout"]
        while True:
            verdict = judge_targets(self.client.send("GET", url), self.params["expected_jobs"], self.params["away"])
            if verdict.ok or time.monotonic() > deadline:
                return verdict
            time.sleep(SCRAPE_POLL_SECONDS)

    def _record(self, name: str, verdict: Verdict) -> None:
        for figure, value in verdict.figures.items():
            self.timings[name if figure == "seconds" else f"{name}_{figure}"] = round(value, 4)

    def steps(self) -> Iterator[tuple[str, str, str, Callable[[], Verdict]]]:
        """Door, name, URL and the check itself, in the order in which an operator would look."""
        params, ask = self.params, self.client.ask
        if params["api_url"]:
            api = params["api_url"].rstrip("/")
            parts = urlsplit(api)
            models = [*params["models"], *params["embedding_models"]]
            good, wrong = self._bearer(params["api_key"]), self._bearer(self.wrong_key)
            listing = api + "/models"
            metrics = f"{parts.scheme}://{parts.netloc}/metrics"
            yield "api", "models", listing, lambda: judge_models(ask("GET", listing, good), models)
            for model in params["models"]:
                yield "api", f"completion of {model}", api, partial(self._completion, model)
            for model in params["embedding_models"]:
                yield "api", f"embedding of {model}", api, partial(self._embedding, model)
            for model in params["models"][:1]:
                yield "api", f"stream of {model}", api, partial(self._stream, model)
            yield "api", "wrong key", listing, lambda: judge_refusal(ask("GET", listing, wrong))
            yield "api", "no key", listing, lambda: judge_refusal(ask("GET", listing))
            yield "api", "metrics closed", metrics, lambda: judge_closed(ask("GET", metrics))
        if params["chat_url"]:
            chat = params["chat_url"]
            yield "chat", "chat page", chat, lambda: judge_page(ask("GET", chat))
        if params["prometheus_url"]:
            yield "metrics", "prometheus targets", params["prometheus_url"], self._targets

    def find_break(self, door: str) -> tuple[Break | None, list[str]]:
        """Return the first unhealthy hop from the innermost outwards, and the names of the healthy ones."""
        healthy: list[str] = []
        for given in self.params["hops"]:
            if door not in given["serves"]:
                continue
            hop = Hop(
                name=given["name"],
                host=given["host"] or self.host,
                url=given["url"],
                remedy=given["remedy"] or f"see `journalctl -u {given['name']}`",
                status=given["status"],
            )
            headers = {str(name): str(value) for name, value in given["headers"].items()}
            broken = judge_hop(hop, self.client.send("GET", hop.url, headers))
            if broken is not None:
                return broken, healthy
            healthy.append(hop.name)
        return None, healthy

    def run(self) -> dict[str, Any]:
        """Run the checks up to the first that fails."""
        begin = time.monotonic()
        result: dict[str, Any] = {"changed": False, "checks": self.checks, "timings": self.timings}
        for door, name, url, check in self.steps():
            start = time.monotonic()
            verdict = check()
            self.checks.append(
                {
                    "name": name,
                    "ok": verdict.ok,
                    "seconds": round(time.monotonic() - start, 4),
                    "detail": redact(verdict.got, self.secrets),
                }
            )
            if not verdict.ok:
                broken, healthy = self.find_break(door)
                result["hop"] = broken.hop.name if broken else ""
                result["msg"] = redact(explain(self.host, name, url, verdict, broken, healthy), self.secrets)
                break
        self.timings["total"] = round(time.monotonic() - begin, 4)
        return result


def main() -> None:
    """Check the options, run the chain of checks and report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if not (params["api_url"] or params["chat_url"] or params["prometheus_url"]):
        remedy = "give at least one of api_url, chat_url and prometheus_url"
        refuse(module, "api_url", None, "there is nothing to verify", remedy)
    if params["api_url"] and not (params["api_key"] and (params["models"] or params["embedding_models"])):
        remedy = "give api_key and at least one of models and embedding_models"
        refuse(module, "api_url", params["api_url"], "it cannot be verified without a key and a model", remedy)
    if module.check_mode:
        module.exit_json(
            changed=False, skipped=True, msg="Skipped: check mode sends no request.", checks=[], timings={}
        )
    result = Chain(params, host_name(params)).run()
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
