#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a container engine with the configuration on the disk, and drain its containers before a restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_engine_restart
short_description: Run a container engine with the configuration on the disk
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Starts a container engine that does not run, and restarts one that was started before its configuration last
    changed.
  - A restart would end every container at once, so the units that run containers are stopped first, in one call and
    with their own deadlines. Exactly those units are started again and waited for.
  - It compares with the I(running) process, so that the next run completes an interrupted play.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says what it would do and which units it would stop and start.}
  diff_mode: {support: full, details: Shows the same.}
  idempotent: {support: full, details: An engine that runs with what is on the disk is left alone.}
options:
  service: {description: Unit of the engine., type: str, default: docker.service}
  program: {description: Client of the engine., type: str, default: docker}
  files: {description: Files that it reads when it starts., type: list, elements: path, default: []}
  changed: {description: Restart it in any case., type: bool, default: false}
  units:
    description: Pattern of systemd units that may run containers. A unit runs one if there is a container of the same
      name.
    type: str
    default: llm-*.service
  serving:
    description:
      - Names of what serves on this host. As long as there are any, a restart that would stop units is refused.
      - What is on the disk is in force after the next restart, which a later run does once nothing serves.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  timeout: {description: Seconds until the units must be active again., type: int, default: 300}
"""

EXAMPLES = r"""
- name: Have Docker running as it is configured
  llmfleet.serving.container_engine_restart:
    files: [/etc/docker/daemon.json]
"""

RETURN = r"""
action: {description: "V(start), V(restart) or V(none).", returned: always, type: str}
units: {description: Units that were stopped and started again., returned: always, type: list, elements: str}
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import restart as logic
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX

ARGUMENTS: dict[str, Any] = {
    "host": OPTION,
    "service": {"type": "str", "default": "docker.service"},
    "program": {"type": "str", "default": "docker"},
    "files": {"type": "list", "elements": "path", "default": []},
    "changed": {"type": "bool", "default": False},
    "units": {"type": "str", "default": f"{PREFIX}*.service"},
    "serving": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 300},
}
PROC = "/proc"


def changes(paths: list[str]) -> list[float]:
    """Return when each existing file last changed."""
    return [os.stat(path).st_mtime for path in paths if os.path.exists(path)]


class Engine:
    """The engine's unit, and the units of containers."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.service = module.params["service"]

    def systemctl(self, *words: str) -> str:
        """Query systemd without changing anything."""
        _code, out, _err = self.module.run_command(["systemctl", *words])
        return str(out)

    def must(self, *words: str) -> None:
        """Run a command of systemd, or fail with the end of the container engine's log."""
        code, _out, err = self.module.run_command(["systemctl", *words])
        if code:
            log = ["journalctl", "--unit", self.service, "--lines", "20", "--no-pager", "--output", "cat"]
            _code, out, _err = self.module.run_command(log)
            fail(
                self.module,
                f"'systemctl {' '.join(words)}' failed: {err.strip().rstrip('.')}; mend what the log says, then run "
                f"this again. The end of the log of {self.service}:\n{out}",
            )

    def units(self) -> list[str]:
        """Return the live units with a container."""
        pattern = self.module.params["units"]
        listed = self.systemctl("list-units", "--all", "--plain", "--no-legend", pattern)
        argv = [self.module.params["program"], "ps", "--all", "--format", "{{.Names}}"]
        _code, out, _err = self.module.run_command(argv)
        return logic.units_of_containers(listed, out)

    def wait(self, units: list[str]) -> None:
        """Wait until the units are active."""
        deadline = time.monotonic() + self.module.params["timeout"]
        late = units
        while late and time.monotonic() < deadline:
            late = [unit for unit in late if self.systemctl("is-active", unit).strip() != "active"]
            if late:
                time.sleep(1)
        if late:
            fail(
                self.module,
                f"{', '.join(late)} did not come back within {self.module.params['timeout']} s "
                f"after {self.service} was restarted: see 'journalctl -u {late[0]}'.",
            )

    def restart(self, units: list[str]) -> None:
        """Stop the units, restart the engine, start the units: also where the engine fails, so that systemd goes on."""
        if units:
            self.must("stop", *units)
        self.systemctl("daemon-reload")
        try:
            self.must("restart", self.service)
        finally:
            if units:
                self.systemctl("start", "--no-block", *units)
        self.wait(units)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    engine = Engine(module)
    shown = logic.properties(engine.systemctl("show", engine.service, "--property=ActiveState,MainPID,UnitFileState"))
    pid = shown.get("MainPID") or "0"
    started = logic.process_start(read_text(f"{PROC}/{pid}/stat"), read_text(f"{PROC}/stat"), os.sysconf("SC_CLK_TCK"))
    active = shown.get("ActiveState") in ("active", "reloading")
    action = logic.action(active, started, changes(module.params["files"]), module.params["changed"])
    enable = shown.get("UnitFileState") == "disabled"
    units = engine.units() if action == "restart" else []
    if not module.check_mode:
        if units and module.params["serving"]:
            fail(
                module,
                f"{engine.service} was started before its configuration last changed, and a restart would end what "
                f"serves here ({', '.join(module.params['serving'])}), so it goes on with what it has. Run "
                f"playbooks/maintain.yml -e host={host_name(module.params)} -e do=driver: it checks that others of the "
                "model serve, takes this host out of the traffic, and restarts it.",
            )
        if enable:
            engine.must("enable", engine.service)
        if action == "start":
            engine.systemctl("daemon-reload")
            engine.systemctl("reset-failed", engine.service)
            engine.must("start", engine.service)
        elif action == "restart":
            engine.restart(units)
    before = f"{engine.service}: {shown.get('ActiveState', 'unknown')}{', disabled' if enable else ''}\n"
    after = f"{engine.service}: {action if action != 'none' else shown.get('ActiveState', 'unknown')}\n"
    module.exit_json(
        changed=action != "none" or enable,
        action=action,
        units=units,
        diff={"before": before, "after": after + "".join(f"{unit}: stopped, started again\n" for unit in units)},
    )


if __name__ == "__main__":
    main()
