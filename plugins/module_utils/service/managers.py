# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands of systemd and supervisor. They are run by a function that the caller passes."""

from __future__ import annotations

from typing import Callable, Protocol

from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.records import is_there
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic

Runner = Callable[..., str]

# Where units are. A service that has a timer beside it runs once whenever that says so; what is running is the timer.
UNITS = "/etc/systemd/system"
# Settings of a unit that systemd applies to the running service when it is reloaded.
DROP_IN = "/etc/systemd/system/{}.service.d/llmfleet-egress.conf"
# Properties of a unit that decide on its state.
PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "DropInPaths")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Manager(Protocol):
    """The interface of a service manager for the module ``service_state``. Names are without prefix."""

    def states(self, names: list[str]) -> dict[str, str]:
        """Return the state of each service."""

    def incarnation(self, name: str) -> str:
        """Return what identifies the current run of a service; empty if it does not run."""

    def definition_files(self, name: str) -> list[str]:
        """Return the files that define the service for the manager; a change in one requires a restart."""

    def pattern(self) -> str:
        """Return the glob pattern of the definitions of all our services."""

    def leftovers(self, names: list[str]) -> list[str]:
        """Return the files to delete once the services are stopped for good."""

    def stale(self, names: list[str]) -> bool:
        """Return whether files of a service differ from what the manager has read of them."""

    def prepare(self, names: list[str]) -> None:
        """Make the manager read new definitions."""

    def act(self, name: str, action: str, reload_signal: str) -> None:
        """Start, restart or reload one service."""

    def stop(self, names: list[str]) -> None:
        """Stop services until they are started again; our own supervisor ends when nothing is left running."""

    def disable(self, names: list[str]) -> None:
        """Stop services for good."""

    def forget(self, names: list[str]) -> None:
        """Make the manager forget services whose files were deleted; our own supervisor ends with the last one."""

    def log_command(self, name: str) -> str:
        """Return the command that shows a service's log."""

    def log_tail(self, name: str, lines: int) -> str:
        """Return the last lines of a service's log."""


class Systemd:
    """Services as systemd units."""

    def __init__(self, prefix: str, config_root: str, log_root: str, supervisorctl: str | None, run: Runner) -> None:
        self._prefix = prefix
        self._run = run

    def _service(self, name: str) -> str:
        return f"{self._prefix}{name}.service"

    def _timers(self, names: list[str]) -> list[str]:
        timers = [f"{self._prefix}{name}.timer" for name in names]
        return [timer for timer in timers if is_there(f"{UNITS}/{timer}")]

    def _unit(self, name: str) -> str:
        """Return the unit that is started and whose state counts."""
        return next(iter(self._timers([name])), self._service(name))

    def _show(self, names: list[str]) -> dict[str, dict[str, str]]:
        units = [*map(self._service, names), *self._timers(names)]
        text = self._run(["systemctl", "show", "-p", ",".join(PROPERTIES), "--", *units])
        return logic.parse_systemctl_show(text)

    def states(self, names: list[str]) -> dict[str, str]:
        """Ask systemd once for all units."""
        if not names:
            return {}
        shown = self._show(names)
        return {name: logic.systemd_state(shown.get(self._unit(name), {})) for name in names}

    def incarnation(self, name: str) -> str:
        """Return the id of the main process."""
        pid = self._run(["systemctl", "show", "-p", "MainPID", "--value", "--", self._unit(name)]).strip()
        return "" if pid == "0" else pid

    def definition_files(self, name: str) -> list[str]:
        """Name the unit file, and that of its timer if there is one."""
        return [f"{UNITS}/{unit}" for unit in (self._service(name), *self._timers([name]))]

    def pattern(self) -> str:
        """Match our units."""
        return self.definition_files("*")[0]

    def _drop_in(self, name: str) -> str:
        return DROP_IN.format(f"{self._prefix}{name}")

    def leftovers(self, names: list[str]) -> list[str]:
        """Name the unit files and the drop-ins with their directories."""
        files = [path for name in names for path in (*self.definition_files(name), self._drop_in(name))]
        return files + [self._drop_in(name).rpartition("/")[0] for name in names]

    def _is_stale(self, name: str, properties: dict[str, str]) -> bool:
        # systemd does not look for a directory of drop-ins that is new, so it does not ask for a reload itself.
        read = self._drop_in(name) in properties.get("DropInPaths", "").split()
        unread = bool(read_text(self._drop_in(name))) != read
        return unread or properties.get("LoadState") == "not-found" or properties.get("NeedDaemonReload") == "yes"

    def stale(self, names: list[str]) -> bool:
        """Compare the units and drop-ins with what systemd has read."""
        return bool(names) and self._any_stale(names, self._show(names))

    def _any_stale(self, names: list[str], shown: dict[str, dict[str, str]]) -> bool:
        units = [(name, unit) for name in names for unit in sorted({self._service(name), self._unit(name)})]
        return any(self._is_stale(name, shown.get(unit, {})) for name, unit in units)

    def prepare(self, names: list[str]) -> None:
        """Reload systemd once, and only where a unit is new or changed."""
        shown = self._show(names)
        if self._any_stale(names, shown):
            self._run(["systemctl", "daemon-reload"])
        disabled = [
            self._unit(name) for name in names if shown.get(self._unit(name), {}).get("UnitFileState") != "enabled"
        ]
        if disabled:
            self._run(["systemctl", "enable", "--quiet", "--", *disabled])

    def act(self, name: str, action: str, reload_signal: str) -> None:
        """Run the systemctl verb; a unit that failed before gets a fresh start counter."""
        if action == "start":
            self._run(["systemctl", "reset-failed", "--", self._unit(name)], check=False)
        self._run(["systemctl", action, "--", self._unit(name)], check=action == "reload")

    def stop(self, names: list[str]) -> None:
        """Stop the units; they come back with the next boot or the next play."""
        self._run(["systemctl", "stop", "--", *self._timers(names), *map(self._service, names)])

    def disable(self, names: list[str]) -> None:
        """Stop and disable."""
        units = [*self._timers(names), *map(self._service, names)]
        self._run(["systemctl", "disable", "--now", "--quiet", "--", *units], check=False)

    def forget(self, names: list[str]) -> None:
        """Reload after unit files are gone."""
        self._run(["systemctl", "daemon-reload"])
        self._run(["systemctl", "reset-failed", "--", *map(self._service, names)], check=False)

    def log_command(self, name: str) -> str:
        """Name the journal."""
        return f"journalctl -u {self._service(name)}"

    def log_tail(self, name: str, lines: int) -> str:
        """Read the journal's end."""
        return self._run(
            ["journalctl", "-u", self._service(name), "-n", str(lines), "-o", "cat", "--no-pager"], check=False
        )


class Supervisor:
    """Services as programs of our own supervisord."""

    def __init__(self, prefix: str, config_root: str, log_root: str, supervisorctl: str | None, run: Runner) -> None:
        self._prefix = prefix
        self._config_root = config_root
        self._log_root = log_root
        self._daemon = (supervisorctl or "").replace("supervisorctl", "supervisord")
        self._supervisorctl = supervisorctl or ""
        self._run = run

    def _control(self, *words: str, check: bool = False) -> str:
        return self._run([self._supervisorctl, "-c", f"{self._config_root}/supervisord.conf", *words], check=check)

    def _is_up(self) -> bool:
        return self._control("pid").strip().isdigit()

    def states(self, names: list[str]) -> dict[str, str]:
        """Ask supervisord once for all programs; the result is empty if it does not run."""
        known = logic.parse_supervisor_status(self._control("status"))
        return {name: known.get(self._prefix + name, logic.UNKNOWN) for name in names}

    def incarnation(self, name: str) -> str:
        """Return the id of the process."""
        return logic.parse_supervisor_pids(self._control("status")).get(self._prefix + name, "")

    def definition_files(self, name: str) -> list[str]:
        """Name the program's configuration and its start script."""
        return [f"{self._config_root}/supervisor.d/{self._prefix}{name}.conf", f"{self._config_root}/{name}/run"]

    def pattern(self) -> str:
        """Match our programs."""
        return self.definition_files("*")[0]

    def leftovers(self, names: list[str]) -> list[str]:
        """Name the files of the programs."""
        return [path for name in names for path in self.definition_files(name)]

    def stale(self, names: list[str]) -> bool:
        """Supervisor reads its files whenever it starts a program."""
        return False

    def prepare(self, names: list[str]) -> None:
        """Start supervisord where it does not run; let it read its files."""
        if not self._is_up():
            # Services must not inherit the environment of the user who runs the play. supervisord creates its own log
            # before it sets the umask of its configuration.
            configuration = ["-c", f"{self._config_root}/supervisord.conf"]
            closed = ["/bin/sh", "-c", 'umask 027; exec "$0" "$@"']
            self._run(["env", "-i", "LANG=C.UTF-8", f"PATH={PATH}", *closed, self._daemon, *configuration])
        self._control("reread")

    def act(self, name: str, action: str, reload_signal: str) -> None:
        """Run the supervisorctl verb; ``update`` restarts by itself where the program's definition changed."""
        program = self._prefix + name
        if action == "reload":
            self._control("signal", reload_signal, program, check=True)
            return
        updated = self._control("update", program)
        if "added process group" not in updated and "updated process group" not in updated:
            self._control("restart", program)

    def stop(self, names: list[str]) -> None:
        """Stop the programs, and supervisord if none is left running."""
        self.disable(names)
        if logic.RUNNING not in logic.parse_supervisor_status(self._control("status")).values():
            self._control("shutdown")

    def disable(self, names: list[str]) -> None:
        """Stop the programs."""
        self._control("stop", *[self._prefix + name for name in names])

    def forget(self, names: list[str]) -> None:
        """Remove programs whose files were deleted without restarting others; end supervisord with the last one."""
        self._control("update", *[self._prefix + name for name in names])
        if not logic.parse_supervisor_status(self._control("status")):
            self._control("shutdown")

    def log_command(self, name: str) -> str:
        """Name the log file."""
        return f"tail -n 100 {self._log_root}/{name}.log"

    def log_tail(self, name: str, lines: int) -> str:
        """Read the log file's end."""
        return self._run(["tail", "-n", str(lines), f"{self._log_root}/{name}.log"], check=False)
