#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load engines to their planned extremes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prove_engines
short_description: Load engines to their planned extremes before they serve
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - The plan fixes the size of an engine's KV cache, so the engine does not measure itself, and memory that was
    estimated too low is an out-of-memory error under load. This module brings that load before users do - as many
    requests at once as the engine computes, a full step of prompt tokens, the longest context, and the largest image of
    a model that takes images.
  - Requests go to the engine itself with its key. Prompts are token ids, of no meaning.
  - An engine that ran out of memory is no failure of the module. RV(ran_out) names it, so that it can be started once
    more with a smaller cache.
options:
  instances:
    description: The C(llm_instances_here) of a host.
    type: list
    elements: dict
    required: true
  names:
    description: Names of the instances to load.
    type: list
    elements: str
    required: true
  packages:
    description: C(service_packages), whose C(digest) identifies the package that runs an engine.
    type: dict
    default: {}
  api_key: {description: Key of the engines., type: str, required: true}
  modes:
    description: Modes of the models by name, such as V(chat) and V(embedding).
    type: dict
    default: {}
  image_models:
    description: Names of the models that take images.
    type: list
    elements: str
    default: []
  prompts: {description: Prompts of one request at most., type: int, default: 32}
  seconds:
    description: Seconds that loading one instance may take. What is not answered by then is left out.
    type: int
    default: 120
  earlier:
    description: RV(ran_out) of the same instances before they were started once more.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.engine_log
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: "Sends no request in check mode."}
  diff_mode: {support: none, details: "Changes nothing."}
  idempotent: {support: full, details: "It changes nothing."}
notes:
  - Run it as root.
"""

EXAMPLES = r"""
- name: Load the instances to their planned extremes
  llmfleet.serving.prove_engines:
    instances: "{{ llm_instances_here }}"
    names: [chat-0]
    api_key: "{{ llm_engine_api_key }}"
  register: proof
"""

RETURN = r"""
proofs:
  description: >-
    What is known of each instance - its C(combination), C(outcome) (V(held), V(out of memory)), C(done) and C(left_out)
    loads, C(short) (bytes to take from its KV cache) and, of one that has its GPUs for itself, C(used) bytes of each.
  returned: always
  type: list
  elements: dict
ran_out:
  description: The proofs of instances that ran out of memory.
  returned: always
  type: list
  elements: dict
problems:
  description: One sentence for each instance that ran out of memory again.
  returned: always
  type: list
  elements: str
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client, programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.engine_log import EngineLog
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import proofs

# Connections at once; each carries several prompts.
CONNECTIONS = 64
# What is read of an answer at most.
MOST_BYTES = 64 * 1024
MOST_SHOWN = 300
# Seconds that a dying engine gets to write down why.
SECONDS_TO_DIE = 20
# Seconds until the health of an engine that failed a request shows whether it dies of it.
SECONDS_TO_SHOW = 5
MIB = 1024**2


class DiedError(Exception):
    """An engine that does not answer any more."""


class Engine:
    """A running instance."""

    def __init__(self, instance: dict[str, Any], given: dict[str, Any]) -> None:
        self.instance = instance
        self.engine = registry.of(instance)
        self.url = f"http://{authority(instance['listen'], instance['port'])}"
        self.headers = {"Authorization": f"Bearer {given['api_key']}", "Content-Type": "application/json"}
        self.client = http_client.Client("llmfleet-prove")
        self.given = given
        self.deadline = time.monotonic() + given["seconds"]
        self.log = EngineLog(registry.service(instance), given["prefix"], given["log_root"])

    def ask(self, path: str, body: Any = None, seconds: float = 10.0) -> tuple[int, bytes]:
        """Return status and beginning of an answer."""
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if data is None else "POST"
        with self.client.open(f"{self.url}{path}", seconds, self.headers, method, data) as answer:
            return answer.status, answer.read(MOST_BYTES)

    def limits(self) -> dict[str, Any]:
        """Return what the instance is loaded up to."""
        one, name = self.instance, str(self.instance["model"])
        length = one.get("max_model_len")
        if not length:
            _status, text = self.ask("/v1/models")
            served = (json.loads(text).get("data") or [{}])[0]
            length = served.get("max_model_len") or self.engine.cpu_batched_tokens
        return {
            "model": name,
            "mode": self.given["modes"].get(name, "chat"),
            "max_model_len": length,
            "max_num_seqs": one.get("max_num_seqs") or self.engine.default_sequences,
            "max_num_batched_tokens": one.get("max_num_batched_tokens") or self.engine.cpu_batched_tokens,
            "prompts": self.given["prompts"],
            "images": name in self.given["image_models"],
        }

    def send(self, request: Mapping[str, Any]) -> str:
        """Send a request; return why it was no load: too late, or refused. Empty if it was answered.

        :raises DiedError: the engine did not survive it.
        """
        left = self.deadline - time.monotonic()
        late = f"no answer within {self.given['seconds']} s"
        if left <= 0:
            return late
        try:
            status, text = self.ask(request["path"], request["body"], left)
        except http_client.TroubleError as error:
            if error.kind == http_client.TIMEOUT:
                return late
            raise DiedError from error
        if status >= 500 and not self.stays_alive():
            raise DiedError
        return "" if status == 200 else f"{status} {text[:MOST_SHOWN].decode('utf-8', 'replace')}"

    def loaded(self, load: Mapping[str, Any]) -> str:
        """Send the requests of a load at once; return why one of them was none, empty if all were answered.

        :raises DiedError: the engine did not survive it.
        """
        with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
            answered = list(pool.map(self.send, load["requests"]))
        return next(filter(None, answered), "")

    def alive(self) -> bool:
        """Check whether it is healthy."""
        try:
            return self.ask(self.engine.health_path)[0] == 200
        except http_client.TroubleError:
            return False

    def stays_alive(self) -> bool:
        """Check whether it is still healthy when a failure would have shown."""
        end = time.monotonic() + SECONDS_TO_SHOW
        while self.alive():
            if time.monotonic() >= end:
                return True
            time.sleep(0.5)
        return False

    def cause(self) -> tuple[int | None, str]:
        """Return the bytes that it lacked when it died, 0 if it did not say, null for another cause; and its log."""
        end = time.monotonic() + SECONDS_TO_DIE
        while time.monotonic() < end:
            text = self.log.since()
            lacked = self.engine.ran_out(text)
            if lacked is not None:
                return lacked, text
            time.sleep(1)
        # A process that the kernel killed with all its children says nothing.
        return (None, text) if "Traceback" in text else (0, text)

    def used(self, others: list[dict[str, Any]]) -> int | None:
        """Return the most bytes in use on one of its GPUs; null where others use them, too, or nothing tells."""
        own = set(self.instance.get("gpus") or [])
        shared = [one for one in others if one["name"] != self.instance["name"] and own & set(one.get("gpus") or [])]
        if not own or shared:
            return None
        command = ["nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"]
        printed, _ending = programs.run_program(command, 30.0)
        rows = [line.split(", ") for line in printed.splitlines()]
        found = [int(row[1]) for row in rows if len(row) == 2 and row[0] in own and row[1].strip().isdigit()]
        return max(found) * MIB if len(found) == len(own) else None


def prove(instance: dict[str, Any], given: dict[str, Any], host: str) -> dict[str, Any]:
    """Load an instance and return what is known of it then."""
    began = time.monotonic()
    engine = Engine(instance, given)
    taken = sum(int(one["short"]) for one in given["earlier"] if one["instance"] == instance["name"])
    done: list[str] = []
    left_out: list[str] = []
    proof = {
        "instance": instance["name"],
        "combination": proofs.combination(instance, given["packages"]),
        "host": host,
        **proofs.room(instance),
        "outcome": proofs.HELD,
        "done": done,
        "left_out": left_out,
    }
    name = ""
    if not engine.alive():
        return {**proof, "outcome": proofs.AWAY}
    try:
        for load in engine.engine.load(engine.limits()):
            name = str(load["name"])
            why = engine.loaded(load)
            if why:
                left_out.append(f"{name} ({why})")
            elif not engine.alive():
                raise DiedError
            else:
                done.append(name)
        used = engine.used(given["instances"])
        if used is not None:
            proof["used"] = used
    except (DiedError, http_client.TroubleError):
        lacked, text = engine.cause()
        if lacked is None:
            proof.update(outcome=proofs.FAILED, at=name, log=text[-2000:])
        else:
            taken += proofs.shortage(instance, lacked)
            proof.update(outcome=proofs.RAN_OUT, at=name, lacked=lacked)
    if taken:
        proof["short"] = taken
    return {**proof, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "instances": {"type": "list", "elements": "dict", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "packages": {"type": "dict", "default": {}},
        "api_key": {"type": "str", "required": True, "no_log": True},
        "modes": {"type": "dict", "default": {}},
        "image_models": {"type": "list", "elements": "str", "default": []},
        "prompts": {"type": "int", "default": 32},
        "seconds": {"type": "int", "default": 120},
        "earlier": {"type": "list", "elements": "dict", "default": []},
        "prefix": {"default": PREFIX},
        "log_root": {"type": "path", "default": "/var/log/llmfleet"},
        "host": OPTION,
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    host = host_name(module.params)
    chosen = [one for one in given["instances"] if one["name"] in given["names"]]
    found = [] if module.check_mode else [prove(one, given, host) for one in chosen]
    away = [one["instance"] for one in found if one["outcome"] == proofs.AWAY]
    if away:
        fail(module, f"instance {', '.join(away)} does not answer, so it cannot be loaded: see its log, and run again")
    failed = [one for one in found if one["outcome"] == proofs.FAILED]
    if failed:
        text = f"instance {failed[0]['instance']} did not survive {failed[0]['at']}, which it was planned for"
        fail(module, f"{text}. The end of its log:\n{failed[0]['log']}")
    for one in (one for one in found if one["left_out"]):
        module.warn(f"{host}: instance {one['instance']} was not loaded with {', '.join(one['left_out'])}")
    before = {one["instance"]: one for one in given["earlier"]}
    again = [one for one in found if one["outcome"] == proofs.RAN_OUT and one["instance"] in before]
    ran_out = [one for one in found if one["outcome"] == proofs.RAN_OUT]
    problems = [proofs.twice(host, before[one["instance"]], one) for one in again]
    module.exit_json(changed=False, proofs=found, ran_out=ran_out, problems=problems)


if __name__ == "__main__":
    main()
