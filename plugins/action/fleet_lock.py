# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Hold hosts for one run: the module of this name does it, and this action tells it who runs what and where."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import subprocess
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

MODULE = "llmfleet.serving.fleet_lock"
# How a control node without /proc tells when a process began.
PS = ("ps", "-o", "lstart=", "-p")


def read(path: str) -> str:
    """Return the text of a file of the kernel; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def place() -> str:
    """Return what tells apart where process ids mean something else: the name of their space."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def began(pid: int) -> str:
    """Return when a process began, in any form that never changes; empty if there is no such process."""
    if os.path.isdir("/proc/self"):
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        # A process that has ended and was not waited for yet is a zombie.
        alive = len(fields) > 19 and fields[0] != "Z"
        return f"{read('/proc/sys/kernel/random/boot_id')} {fields[19]}" if alive else ""
    try:
        return subprocess.run([*PS, str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def identity(pid: int) -> str:
    """Return the id of the run of a process; empty if there is no such process."""
    moment = began(pid)
    return hashlib.sha256(f"{platform.node()} {place()} {pid} {moment}".encode()).hexdigest()[:8] if moment else ""


def user() -> str:
    """Return who runs Ansible; with sudo, who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def has_ended(lock: dict[str, Any]) -> bool:
    """Return whether a lock is of this control node and its process is gone."""
    here = lock.get("control_host") == platform.node() and lock.get("place") == place()
    pid = str(lock.get("pid") or "")
    return here and pid.isdigit() and identity(int(pid)) != lock.get("id")


class ActionModule(ActionBase):
    """Calls the module on the host, and once more if the run that has the lock is known to have ended."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the module."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        playbooks = context.CLIARGS.get("args") or ("",)
        # Tasks run in children of the process that runs the playbook.
        pid = os.getppid()
        run = {
            "id": identity(pid),
            "playbook": os.path.basename(str(playbooks[0])),
            "user": user(),
            "control_host": platform.node(),
            "place": place(),
            "pid": pid,
        }
        arguments = {**self._task.args, "run": run}
        done = self._execute_module(MODULE, arguments, task_vars=task_vars)
        lock = done.get("holder") or {}
        if done.get("outcome") == "held" and has_ended(lock):
            done = self._execute_module(MODULE, {**arguments, "ended": lock["id"]}, task_vars=task_vars)
        return {**result, **done, "who": f"{run['user']}@{run['control_host']}"}
