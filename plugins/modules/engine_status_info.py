#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Read what the engines and the other services of a host do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_status_info
short_description: Read what the engines and the other services of a host do
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Tells of every instance that the host has recorded whether it serves, since when, from which generation, with which
    requests, and whether its definition on the disk differs from what runs.
  - Reads the last entry of the ledger of each, holds and the lock of the host. It returns no secret.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  manager: {description: Manager of the services., type: str, choices: [systemd, supervisor], required: true}
  prefix: {description: Prefix of unit and program names., type: str, default: llm-}
  services:
    description: Other services of the host - C(name) with prefix, and C(url) of their health, which is empty for one
      that serves while its manager says that it runs.
    type: list
    elements: dict
    default: []
  record:
    description: File with the instances that the host has recorded.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  timeout: {description: Seconds for an answer of a service., type: int, default: 5}
  config_root: {description: Directory of configuration., type: path, default: /etc/llmfleet}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
  log_root: {description: Directory of supervisor's log files., type: path, default: /var/log/llmfleet}
  supervisorctl: {description: The C(supervisorctl) program., type: path}
"""

EXAMPLES = r"""
- name: Read the status of the engines
  llmfleet.serving.engine_status_info:
    manager: systemd
  become: true
  register: status
"""

RETURN = r"""
engines:
  description: >-
    Each instance - C(model), C(instance), C(service), C(engine), C(revision), C(generation), C(package), C(state),
    C(held), C(since) (UTC), C(kv), C(running) and C(waiting) requests, C(last) entry of the ledger, C(drift),
    C(request) and C(source).
  returned: always
  type: list
  elements: dict
services:
  description: Each of O(services) with C(state) and C(since).
  returned: always
  type: list
  elements: dict
lock:
  description: The run that holds the host; empty if none does.
  returned: always
  type: dict
"""

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import idle, registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger, readiness, run_lock, status
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store
from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import Manager, Supervisor, Systemd
from ansible_collections.llmfleet.serving.plugins.module_utils.service.started import Started

# Bytes of metrics that are read of an engine.
MOST_METRICS = 4 * 1024**2


class Host:
    """The host whose services are read."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        kind = Systemd if self.params["manager"] == "systemd" else Supervisor
        places = {key: self.params[key] for key in ("prefix", "config_root", "log_root", "supervisorctl")}
        self.manager: Manager = kind(run=self.command, **places)
        self.store = Store(self.params["state_root"])
        self.started = Started(self.params["state_root"])

    def command(self, argv: list[str], check: bool = False) -> str:
        """Run a command and return what it printed, also where it fails: then there is nothing to tell."""
        try:
            _code, out, err = self.module.run_command(argv, handle_exceptions=False)
        except OSError as error:
            return str(error)
        return str(out or err)

    def get(self, url: str) -> tuple[bool, str]:
        """Return whether a URL answers with 200, and what."""
        try:
            with Client("llmfleet-status").open(url, self.params["timeout"]) as answer:
                return answer.status == 200, answer.read(MOST_METRICS).decode("utf-8", "replace")
        except TroubleError:
            return False, ""

    def since(self, name: str, managed: str) -> str:
        """Return since when a service runs."""
        run = self.manager.incarnation(name) if managed == service_state.RUNNING else ""
        began = processes.began(run) if run.isdigit() else None
        return ledger.stamp(datetime.datetime.fromtimestamp(began, datetime.timezone.utc)) if began else ""

    def engines(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what each recorded instance does."""
        instances = record.get("instances") or []
        managed = self.manager.states([registry.service(one) for one in instances])
        last = ledger.last_of(self.store.entries())

        def answers(one: dict[str, Any]) -> tuple[bool, str]:
            """Return whether an engine serves, and its metrics."""
            known = registry.interface_of(one)
            base = f"http://{authority(str(one.get('listen') or '127.0.0.1'), int(one['port']))}"
            good = self.get(f"{base}{known['health_path']}")[0]
            return good, self.get(f"{base}{known['metrics_path']}")[1] if good else ""

        with ThreadPoolExecutor(max_workers=max(1, len(instances))) as pool:
            found = list(pool.map(answers, instances))
        rows = zip(instances, found)
        return [self.engine(one, *told, managed, record.get("measured") or [], last) for one, told in rows]

    def engine(
        self,
        one: dict[str, Any],
        serves: bool,
        metrics: str,
        states: dict[str, str],
        measured: list[dict[str, Any]],
        last: dict[str, dict[str, Any]],
    ) -> dict[str, Any]:
        """Return what one instance does."""
        service = registry.service(one)
        present, entry = self.store.present(service) or {}, last.get(one["name"]) or {}
        busy = idle.requests(metrics, registry.interface_of(one)["busy_metrics"]) or {}
        wanted: dict[str, str] = {}
        if present:
            wanted = readiness.wanted_digests(self.manager, present["service"])
        return {
            "model": one["model"],
            "instance": one["name"],
            "service": service,
            "engine": registry.of(one).name,
            "source": one.get("source"),
            "revision": present.get("revision") or one.get("revision") or "",
            "generation": present.get("generation"),
            "package": present.get("package") or "",
            "state": status.state_of(states[service], serves, entry.get("kind") or ""),
            "held": self.store.held(service),
            "since": self.since(service, states[service]),
            "kv": status.sizes(one, measured),
            "running": busy.get("running"),
            "waiting": busy.get("waiting"),
            "last": {key: entry.get(key) for key in ("when", "kind", "who", "verdict")} if entry else {},
            "drift": status.drift(self.started.digests(service), wanted, states[service]),
            "request": one.get("request"),
            "requested_revision": one.get("revision"),
        }

    def services(self) -> list[dict[str, Any]]:
        """Return what the other services do."""
        given = self.params["services"]
        names = [one["name"].removeprefix(self.params["prefix"]) for one in given]
        managed = self.manager.states(names)

        def serves(url: str, name: str) -> bool:
            """Return whether a service does what it is there for."""
            return self.get(url)[0] if url else managed[name] == service_state.RUNNING

        with ThreadPoolExecutor(max_workers=max(1, len(given))) as pool:
            found = list(pool.map(serves, [one["url"] for one in given], names))
        return [
            {
                "name": one["name"],
                "url": one["url"],
                "state": status.state_of(managed[name], good, ""),
                "since": self.since(name, managed[name]),
            }
            for one, name, good in zip(given, names, found)
        ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "manager": {"choices": ["systemd", "supervisor"], "required": True},
            "prefix": {"default": PREFIX},
            "services": {"type": "list", "elements": "dict", "default": []},
            "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
            "timeout": {"type": "int", "default": 5},
            "config_root": {"type": "path", "default": "/etc/llmfleet"},
            "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
            "log_root": {"type": "path", "default": "/var/log/llmfleet"},
            "supervisorctl": {"type": "path"},
        },
        required_if=[("manager", "supervisor", ["supervisorctl"])],
        supports_check_mode=True,
    )
    host = Host(module)
    record = read_json(module.params["record"])
    lock = read_json(f"{module.params['state_root']}/{run_lock.FILE}")
    module.exit_json(
        changed=False,
        engines=host.engines(record if isinstance(record, dict) else {}),
        services=host.services(),
        lock=lock if isinstance(lock, dict) else {},
    )


if __name__ == "__main__":
    main()
