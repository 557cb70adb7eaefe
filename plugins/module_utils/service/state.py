# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interpret the output of systemd and supervisor, and decide on actions: pure functions over texts."""

from __future__ import annotations

import re
from typing import Any

# States of a service: running, starting or stopping, dead (given up by the manager or stopped), or unknown.
RUNNING, STARTING, DEAD, UNKNOWN = "running", "starting", "dead", "unknown"

_SYSTEMD = {"active": RUNNING, "reloading": RUNNING, "activating": STARTING, "deactivating": STARTING}
_SUPERVISOR = {"RUNNING": RUNNING, "STARTING": STARTING, "BACKOFF": STARTING, "STOPPING": STARTING}


# Exit statuses of coreutils' timeout, and of a program that it had to kill.
TIMED_OUT = (124, 137)
# Every unit and program that the collection writes contains this text, and removal deletes no other.
MARK = "X-LLMFleet=1"


def is_ours(definition: str, configuration: str) -> bool:
    """Return whether the collection wrote the definition of a service.

    :param definition: text of the unit, or of the program's configuration.
    :param configuration: directory of the service's configuration. What has no mark is of an earlier version if it is
        started from there.
    """
    lines = [line.strip() for line in definition.splitlines()]
    earlier = (f"EnvironmentFile={configuration}/secrets.env", f"ExecStart={configuration}/run")
    return any(line.lstrip("; ") == MARK or line in (*earlier, f"command={configuration}/run") for line in lines)


def parse_systemctl_show(text: str) -> dict[str, dict[str, str]]:
    """Parse ``systemctl show -p Id,... UNIT...``: blocks of KEY=VALUE lines, keyed by Id."""
    units: dict[str, dict[str, str]] = {}
    for block in text.strip().split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in pairs:
            units[pairs["Id"]] = pairs
    return units


def systemd_state(properties: dict[str, str]) -> str:
    """Map a unit's LoadState and ActiveState to one of the four states of this module."""
    if properties.get("LoadState", "not-found") == "not-found":
        return UNKNOWN
    return _SYSTEMD.get(properties.get("ActiveState", ""), DEAD)


def parse_supervisor_status(text: str) -> dict[str, str]:
    """Parse ``supervisorctl status``: one line per program, NAME STATE DETAIL, mapped to states of this module."""
    states: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isupper():
            states[words[0]] = _SUPERVISOR.get(words[1], DEAD)
    return states


def parse_supervisor_pids(text: str) -> dict[str, str]:
    """Parse ``supervisorctl status`` for the process ID, which identifies a run of a program."""
    return dict(re.findall(r"^(\S+) .*\bpid (\d+)", text, re.MULTILINE))


def decide(state: str, wanted: dict[str, str], started_with: dict[str, str], can_reload: bool) -> str:
    """Choose the action that brings a service to its wanted state: ``start``, ``restart``, ``reload`` or ``none``.

    :param state: what the manager says of it.
    :param wanted: digests ``{restart, whole, reload}`` of what it would be started with now.
    :param started_with: ``{restart, reload}`` of what the running process was started with; empty if not known.
    :param can_reload: whether the service knows how to reload.
    """
    if state in (DEAD, UNKNOWN):
        return "start"
    if started_with.get("restart") not in (wanted["restart"], wanted.get("whole", wanted["restart"])):
        return "restart"
    if wanted["reload"] != started_with.get("reload"):
        return "reload" if can_reload else "restart"
    return "none"


def compared(
    wanted: dict[str, str], started_with: dict[str, str], reload_only: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digests that :func:`decide` compares.

    :param reload_only: whether nothing that runs may restart. What it was started with then stays recorded, so a
        restart that is due stays due.
    """
    if not reload_only:
        return wanted, started_with
    kept = started_with.get("restart", "")
    return {**wanted, "restart": kept, "whole": kept}, {**started_with, "restart": kept}


def waves(services: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Order services into waves: services of one wave start together, after those of the wave before are ready.

    A service that names another in ``after`` comes in a later wave. A circle is broken where it is met.
    """
    result: list[list[dict[str, Any]]] = []
    left = list(services)
    placed: set[str] = set()
    while left:
        names = {service["name"] for service in left}
        wave = [s for s in left if not (set(s["after"]) - placed) & names] or left[:1]
        result.append(wave)
        placed |= {service["name"] for service in wave}
        left = [service for service in left if service["name"] not in placed]
    return result


def steps(services: list[dict[str, Any]], actions: dict[str, str]) -> list[list[dict[str, Any]]]:
    """Order services into steps, each of which is ready before the next begins, so that no two running ones are down at
    once.

    Within a wave those that stay come first, as nothing is taken down while another of them is not ready. Then each
    restart is a step of its own, for others carry the load meanwhile. New ones start together at the end: what is
    restarted may give up what they need.
    """
    result = []
    for wave in waves(services):
        kinds: dict[str, list[dict[str, Any]]] = {"none": [], "restart": [], "other": []}
        for service in wave:
            action = actions[service["name"]]
            kinds[action if action in kinds else "other"].append(service)
        result += [kinds["none"], *([service] for service in kinds["restart"]), kinds["other"]]
    return [step for step in result if step]


def changes(
    prefix: str, actions: dict[str, str], prepared: dict[str, list[str]], handed_over: list[str], kept: list[str]
) -> list[str]:
    """Return what was done to services, a line for each change.

    :param actions: the action of each service, ``none`` for one that stays as it is.
    :param prepared: the commands that prepared each service.
    :param handed_over: directories that were given to the users of their services.
    :param kept: services whose first generation was kept.
    """
    lines = [f"{prefix}{name}: prepare with {one}" for name, commands in prepared.items() for one in commands]
    lines += [f"{path}: handed over to the user of its service" for path in handed_over]
    lines += [f"{prefix}{name}: {action}" for name, action in actions.items() if action != "none"]
    return lines + [f"{prefix}{name}: keep what it runs with as its first generation" for name in kept]


def meaning(ready: dict[str, Any]) -> str:
    """Return how a service's readiness is checked: by URL, TCP port, command, or the life of its process."""
    if ready.get("tcp"):
        return f"port {ready['tcp']['port']} of {ready['tcp']['address']} takes connections"
    if ready.get("command"):
        return f"'{' '.join(ready['command'])}' ends with 0"
    if ready.get("url") and ready.get("body"):
        return f"{ready['url']} answers with '{ready['body']}'"
    return ready.get("url") or "the process stays up"


def prepare_failure(host: str, unit: str, command: list[str], code: int, output: str) -> str:
    """Return which command of a service's preparation failed, how, and its last output."""
    how = "it did not end in time" if code in TIMED_OUT else f"it ended with {code}"
    lines = [
        f"{unit} on {host} cannot be started: '{' '.join(command)}' prepares it, and {how}",
        "  the service is as it was; the command runs again with the next run",
    ]
    if output.strip():
        lines += ["  its output ends with:"] + ["    " + line for line in output.strip().splitlines()[-20:]]
    return "\n".join(lines)


def failure_text(host: str, unit: str, ready: dict[str, Any], cause: str, log: str, log_command: str) -> str:
    """Return the message for a service that did not become ready: host, cause, and the end of its log."""
    lines = [
        f"{unit} on {host} is not ready: {cause}",
        f"  ready means: {meaning(ready)} within {ready.get('deadline')} s",
        f"  read more with: {log_command}",
    ]
    if log.strip():
        lines += ["  its log ends with:"] + ["    " + line for line in log.strip().splitlines()]
    return "\n".join(lines)
