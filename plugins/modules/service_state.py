#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring services to their wanted state under systemd or supervisor."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: Start, restart or reload services and wait until they are ready
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Compares the inputs with which each running process was started (unit, environment, secrets, configuration files,
    program) with those on the disk now, and takes the smallest action that is needed - nothing, a reload, a restart or
    a start.
  - Because it compares with the I(running) process and not with the changes of this run, the next run completes an
    interrupted play.
  - A directory of state that belongs to another user, because an earlier version ran the service as that user, is
    handed over with all that is in it right before the service is restarted.
  - A changed drop-in of a unit, or other services in its C(After), restarts nothing, as a reload of systemd applies
    it to the running service.
  - Started means ready. A service that is not ready within its deadline, or whose process gave up, fails the task with
    the end of its log.
  - Services of one call start together, unless one names another in C(after). Running services are restarted one at a
    time, each when the one before it is ready, so that a change never stops all replicas of a model.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: "Says what it would start, restart or reload and changes nothing."}
  diff_mode: {support: full, details: Shows the action per service.}
  idempotent: {support: full, details: A second call changes nothing.}
options:
  manager:
    description: Manager of the services.
    type: str
    choices: [systemd, supervisor]
    required: true
  prefix:
    description: Prefix of unit and program names.
    type: str
    default: llm-
  services:
    description:
      - The services. With O(state=stopped) and O(state=absent), none given means all that the collection defined. Their
        definition carries the line C(X-LLMFleet=1), or is started from O(config_root) if an earlier version wrote it. A
        unit of somebody else whose name begins with the prefix stays.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name without prefix., type: str, required: true}
      command:
        description: Absolute path of the program; another build of it means a restart.
        type: path
        required: true
      user: {description: User and group that the service runs as., type: str, default: ''}
      state_dir:
        description: Directory of its state; it must belong to O(services[].user).
        type: path
      restart_files: {description: Files whose change asks for a restart., type: list, elements: path, default: []}
      reload_files: {description: Files whose change asks for a reload., type: list, elements: path, default: []}
      reload_signal: {description: Signal that makes it reload; empty means that it cannot., type: str, default: ''}
      after: {description: Services of this call that must be ready first., type: list, elements: str, default: []}
      beside:
        description: Program that runs a command with the service's rights, C(prepare) or C(ready), before the service
          starts.
        type: path
      prepare:
        description:
          - Commands that run once, in order, before the service is started or restarted. One that fails stops the
            module before the service is touched.
        type: list
        elements: dict
        default: []
        suboptions:
          command: {description: The command., type: list, elements: str, required: true}
          stamp:
            description: File that records that the command has run; it is in the state directory of the service.
            type: path
            required: true
          timeout: {description: Seconds it may take., type: int, default: 600}
      generation:
        description:
          - What the service is, for its generations and the ledger of the host. Without it there are none. Before such
            a service is started or restarted, what it is started with is kept (M(llmfleet.serving.service_generation)),
            and each start, restart and stop is a line of C(ledger.jsonl) in O(state_root).
        type: dict
        suboptions:
          instance: {description: Name of the instance., type: str, required: true}
          model: {description: Name of its model., type: str, default: ''}
          revision: {description: Revision of the model that was asked for., type: str, default: ''}
          snapshot: {description: Directory of the model., type: str, default: ''}
          image: {description: Image that the program comes from; empty without containers., type: str, default: ''}
          secret_files: {description: Files with secrets; they are not kept., type: list, elements: path, default: []}
      ready:
        description: Condition under which the service counts as started.
        type: dict
        default: {}
        suboptions:
          url: {description: URL to poll., type: str, default: ''}
          tcp:
            description: A TCP port that accepts connections, instead of O(services[].ready.url).
            type: dict
            suboptions:
              port: {description: The port., type: int, required: true}
              address: {description: Address to connect to., type: str, default: 127.0.0.1}
          command:
            description:
              - A command that ends with 0, instead of O(services[].ready.url). O(services[].beside) runs it, for 5
                seconds at most. Where none of the three is given a live process is enough.
            type: list
            elements: str
            default: []
          deadline: {description: Seconds it may take., type: int, default: 120}
          ca: {description: CA file for an https URL., type: path}
          headers: {description: Headers of the request., type: dict, default: {}}
          status: {description: HTTP status codes that mean ready., type: list, elements: int, default: [200]}
          body:
            description:
              - Text that the answer of O(services[].ready.url) must contain, in its first 64 KiB. With a digest of the
                configuration in both, the module waits until the service answers with the new one after a reload.
            type: str
            default: ''
  state:
    description:
      - V(started) starts them, V(stopped) stops them until they are started again, V(absent) stops them and removes
        them from their manager.
    type: str
    choices: [started, stopped, absent]
    default: started
  exclusive:
    description:
      - With O(state=started), services whose name starts with this prefix and that are not in O(services) are stopped
        and removed before any other is started. Their directory in O(config_root) is removed as well, because it holds
        secrets; their state stays.
    type: str
    default: ''
  kept:
    description: Services that O(exclusive) leaves alone, by their names.
    type: list
    elements: str
    default: []
  reload_only:
    description:
      - Whether services that run are only reloaded, never restarted. A restart that is due is left to a call without
        this option.
    type: bool
    default: false
  config_root: {description: Directory of configuration., type: path, default: /etc/llmfleet}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
  log_root: {description: Directory of supervisor's log files., type: path, default: /var/log/llmfleet}
  record:
    description: File with the instances in force; the record of an instance is kept with its generation.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  supervisorctl: {description: The C(supervisorctl) program; C(supervisord) lies beside it., type: path}
"""

EXAMPLES = r"""
- name: Keep the gateway running
  llmfleet.serving.service_state:
    manager: systemd
    services:
      - name: litellm
        command: /opt/llmfleet/venvs/litellm/bin/litellm
        restart_files: [/etc/llmfleet/litellm/config.yaml]
        ready: {url: "http://127.0.0.1:4000/health/liveliness", deadline: 180}
"""

RETURN = r"""
actions:
  description: Action that was taken for each service, by name.
  returned: always
  type: dict
  sample: {litellm: restart, nginx: none}
ready_seconds:
  description: Seconds each started service took to be ready.
  returned: when state is started and not in check mode
  type: dict
handed_over:
  description: Directories that were given to the user of their service, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/llmfleet/vllm-chat-0]
kept:
  description: Services that run as they should, and whose first generation was kept, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: [vllm-chat-0]
prepared:
  description: Commands that ran to prepare services, or in check mode would, by name of the service.
  returned: always
  type: dict
"""

import glob
import os
import shutil
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import ownership, stamps
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import delete, read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, host_name, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.service import options, readiness
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.module_utils.service import wait as service_wait
from ansible_collections.llmfleet.serving.plugins.module_utils.service.history import History
from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import Manager, Supervisor, Systemd
from ansible_collections.llmfleet.serving.plugins.module_utils.service.started import Started
from ansible_collections.llmfleet.serving.plugins.module_utils.text import parse_environment_file, redact


class Run:
    """One run of the module: the parameters, the manager and what was decided."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        kind = Systemd if self.params["manager"] == "systemd" else Supervisor
        self.manager: Manager = kind(
            prefix=self.params["prefix"],
            config_root=self.params["config_root"],
            log_root=self.params["log_root"],
            supervisorctl=self.params["supervisorctl"],
            run=self.command,
        )
        self.started = Started(self.params["state_root"])
        self.history = History(self.params["state_root"], self.manager, self.params["record"])
        self.kept: list[str] = []
        self.actions: dict[str, str] = {}
        self.ready_seconds: dict[str, float] = {}
        self.prepared: dict[str, list[str]] = {}
        self.handed_over: list[str] = []
        self.reread = False

    def command(self, argv: list[str], check: bool = True) -> str:
        """Run a command and return what it printed; fail the module where it fails and that matters."""
        try:
            code, out, err = self.module.run_command(argv, handle_exceptions=False)
        except OSError as error:
            code, out, err = 127, "", str(error)
        if check and code != 0:
            said = (err or out).strip().rstrip(".")
            fail(self.module, f"'{' '.join(argv)}' failed with {code}: {said}; run it by hand on the host.")
        return str(out if code == 0 else out + err)

    def start(self) -> None:
        """Bring every service up, step by step."""
        states = self.manager.states([service["name"] for service in self.params["services"]])
        wanted: dict[str, dict[str, str]] = {}
        for service in self.params["services"]:
            name = service["name"]
            wanted[name], started = readiness.wanted_digests(self.manager, service), self.started.digests(name)
            wanted[name], started = logic.compared(wanted[name], started, self.params["reload_only"])
            self.actions[name] = logic.decide(states[name], wanted[name], started, bool(service["reload_signal"]))
            pending = [one for one in service["prepare"] if not stamps.is_stamped(one["stamp"])]
            if pending:
                self.prepared[name] = [" ".join(one["command"]) for one in pending]
            if service["state_dir"] and ownership.is_foreign(service["state_dir"], service["user"]):
                self.handed_over.append(service["state_dir"])
            if self.actions[name] == "none" and self.history.is_new(service):
                self.kept.append(name)
        acts = any(self.actions[name] != "none" for name in wanted)
        # Reading the changed filter of a running service applies it.
        self.reread = not acts and self.manager.stale(list(wanted))
        if self.module.check_mode:
            return
        # An earlier version may have recorded the same state in another way.
        for name in [n for n in wanted if self.actions[n] == "none" and self.started.digests(n) != wanted[n]]:
            self.started.remember(name, wanted[name])
        if acts or self.reread:
            self.manager.prepare(list(wanted))
        for step in logic.steps(self.params["services"], self.actions):
            for service in step:
                self._hand_over(service)
                self._prepare(service)
                self.history.begin(service, self.actions[service["name"]])
            began = time.monotonic()
            for service in step:
                action = self.actions[service["name"]]
                if action != "none":
                    self.started.begin(service["name"], action)
                    self.manager.act(service["name"], action, service["reload_signal"])
            for service in step:
                name = service["name"]
                self._await(service, began)
                if self.actions[name] != "none":
                    self.started.remember(name, wanted[name])
                    self.ready_seconds[name] = round(time.monotonic() - began, 1)
                    self.history.ready(service, self.ready_seconds[name])
                elif name in self.kept:
                    self.history.adopt(service)

    def _hand_over(self, service: dict[str, Any]) -> None:
        """Give the service its directory of state. Until now a process of its earlier user may have worked in it."""
        path, user = service["state_dir"], service["user"]
        if path not in self.handed_over:
            return
        new = ownership.of_account(user)
        if new is None:
            remedy = "run site.yml, which creates it"
            refuse(
                self.module, f"services[{service['name']}].user", user, "the host has no such user and group", remedy
            )
            return
        try:
            ownership.hand_over(path, new)
        except OSError as error:
            where = error.filename or path
            fail(self.module, f"{where} cannot be given to {user} ({error.strerror}); run 'chown -R {user}: {path}'.")

    def _prepare(self, service: dict[str, Any]) -> None:
        """Run what has to run once before the service starts; fail before it is touched."""
        for one in service["prepare"]:
            if stamps.is_stamped(one["stamp"]):
                continue
            code, output = readiness.run_beside(
                self.module.run_command, service["beside"], "prepare", one["command"], one["timeout"]
            )
            if code:
                unit = self.params["prefix"] + service["name"]
                shown = redact(output, self._secrets(service["name"]))
                text = logic.prepare_failure(host_name(self.params), unit, one["command"], code, shown)
                self.module.fail_json(msg=text, actions=self.actions, prepared=self.prepared)
            stamps.stamp(one["stamp"])

    def _await(self, service: dict[str, Any], began: float) -> None:
        """Look at a service until it is ready; fail where it will not be."""
        looks: list[service_wait.Look] = []
        while True:
            looks.append(self._look(service, began))
            verdict = service_wait.judge(looks, service["ready"]["deadline"])
            if verdict.outcome == service_wait.READY:
                return
            if verdict.outcome == service_wait.LOST:
                self._fail(service, verdict.cause)
            time.sleep(service_wait.pause(looks[-1].seconds))

    def _look(self, service: dict[str, Any], began: float) -> service_wait.Look:
        name = service["name"]
        state, run = self.manager.states([name])[name], self.manager.incarnation(name)
        run_command, hidden = self.module.run_command, self._secrets(name)
        problem = readiness.unready(run_command, service, hidden) if state == logic.RUNNING else ""
        return service_wait.Look(time.monotonic() - began, state, run, problem)

    def _fail(self, service: dict[str, Any], cause: str) -> None:
        name = service["name"]
        self.history.failed(service, cause)
        log = redact(self.manager.log_tail(name, 40), self._secrets(name))
        text = logic.failure_text(
            host_name(self.params),
            self.params["prefix"] + name,
            service["ready"],
            cause,
            log,
            self.manager.log_command(name),
        )
        self.module.fail_json(msg=text, actions=self.actions)

    def _secrets(self, name: str) -> list[str]:
        """Return the values that no message may show."""
        return list(parse_environment_file(read_text(os.path.join(self._configuration(name), "secrets.env"))).values())

    def remove(self) -> None:
        """Stop every service and take it from its manager."""
        self._remove(self._named_or_all())

    def stop(self) -> None:
        """Stop services and leave the rest of them where it is."""
        states = self.manager.states(self._named_or_all())
        running = [name for name, state in states.items() if state in (logic.RUNNING, logic.STARTING)]
        self.actions = {name: "stop" if name in running else "none" for name in states}
        if running and not self.module.check_mode:
            self.manager.stop(running)
            self.history.stopped(running)

    def _named_or_all(self) -> list[str]:
        return [service["name"] for service in self.params["services"]] or self._all_names()

    def remove_others(self) -> None:
        """Remove what once belonged to a list of services and no longer does."""
        beginning = self.params["exclusive"]
        if not beginning:
            return
        configured = [os.path.basename(path) for path in glob.glob(self._configuration(f"{beginning}*"))]
        defined = self._defined()
        foreign = {name for name, ours in defined.items() if not ours}
        known = {name for name in defined if name.startswith(beginning)}.union(configured) - foreign
        gone = sorted(known - {service["name"] for service in self.params["services"]} - set(self.params["kept"]))
        self._remove(gone)
        for name in gone:
            if os.path.isdir(self._configuration(name)):
                self.actions[name] = "remove"
                if not self.module.check_mode:
                    shutil.rmtree(self._configuration(name))

    def _configuration(self, name: str) -> str:
        return os.path.join(self.params["config_root"], name)

    def _remove(self, names: list[str]) -> None:
        states = self.manager.states(names)
        for name in names:
            here = states[name] != logic.UNKNOWN or any(
                os.path.exists(path) for path in self.manager.definition_files(name)
            )
            self.actions[name] = "remove" if here else "none"
        if not self.module.check_mode:
            gone = [name for name, action in self.actions.items() if action == "remove"]
            if gone:
                self.history.stopping(gone)
                self.manager.disable(gone)
                self.history.stopped([name for name in gone if states[name] in (logic.RUNNING, logic.STARTING)])
            for path in self.manager.leftovers(gone) + [self.started.marker(name) for name in gone]:
                delete(path)
            if gone:
                self.manager.forget(gone)

    def _defined(self) -> dict[str, bool]:
        """Return every service whose name carries the prefix, and whether the collection defined it."""
        prefix, ending = self.manager.pattern().split("*")
        found = {}
        for path in sorted(glob.glob(f"{glob.escape(prefix)}*{ending}")):
            name = path[len(prefix) : -len(ending)]
            # A masked unit is a link to nowhere that a run of ours never made; its text is empty.
            found[name] = logic.is_ours(read_text(path), self._configuration(name))
        return found

    def _all_names(self) -> list[str]:
        return [name for name, ours in self._defined().items() if ours]

    def result(self) -> dict[str, Any]:
        """Return the result for Ansible."""
        lines = logic.changes(self.params["prefix"], self.actions, self.prepared, self.handed_over, self.kept)
        lines += ["systemd: read changed settings of running services"] if self.reread else []
        return {
            "changed": bool(lines),
            "actions": self.actions,
            "ready_seconds": self.ready_seconds,
            "handed_over": self.handed_over,
            "prepared": self.prepared,
            "kept": self.kept,
            "diff": {"before": "", "after": "".join(f"{line}\n" for line in lines)},
        }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": OPTION,
            "manager": {"type": "str", "choices": ["systemd", "supervisor"], "required": True},
            "prefix": {"type": "str", "default": PREFIX},
            "services": {"type": "list", "elements": "dict", "default": [], "options": options.SERVICE},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
            "exclusive": {"type": "str", "default": ""},
            "kept": {"type": "list", "elements": "str", "default": []},
            "reload_only": {"type": "bool", "default": False},
            "config_root": {"type": "path", "default": "/etc/llmfleet"},
            "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
            "log_root": {"type": "path", "default": "/var/log/llmfleet"},
            "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
            "supervisorctl": {"type": "path"},
        },
        required_if=[("manager", "supervisor", ["supervisorctl"])],
        supports_check_mode=True,
    )
    run = Run(module)
    if module.params["state"] == "absent":
        run.remove()
    elif module.params["state"] == "stopped":
        run.stop()
    else:
        # Unlisted services stop first, because they may hold resources that the others need: ports, cores, GPU memory.
        run.remove_others()
        run.start()
    module.exit_json(**run.result())


if __name__ == "__main__":
    main()
