# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the units that must stop before a container engine restarts, and whether it must restart at all."""

from __future__ import annotations

import re
from typing import Iterable

# In these states a unit runs or is about to run. Stopped units stay stopped.
LIVE = ("active", "activating", "reloading", "deactivating")
# The kernel reports its boot time in whole seconds.
TOLERANCE = 2.0


def units_of_containers(units: str, containers: str) -> list[str]:
    """Return the live units that run a container of their own name.

    :param units: what ``systemctl list-units --plain --no-legend`` prints.
    :param containers: names of all containers, one a line; a stopped one may be between two starts of its unit.
    """
    names = {name.strip() for name in containers.splitlines()}
    found = []
    for line in units.splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[2] not in LIVE or not fields[0].endswith(".service"):
            continue
        if fields[0][: -len(".service")] in names:
            found.append(fields[0])
    return sorted(found)


def properties(text: str) -> dict[str, str]:
    """Read what ``systemctl show`` prints."""
    return dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)


def process_start(stat: str, boot: str, ticks: int) -> float | None:
    """Return when a process started, in seconds since 1970; None if that is unknown.

    :param stat: text of ``/proc/PID/stat``.
    :param boot: text of ``/proc/stat``.
    :param ticks: clock ticks a second.
    """
    since_boot = stat.rpartition(")")[2].split()
    booted = re.search(r"^btime (\d+)$", boot, re.MULTILINE)
    if len(since_boot) < 20 or not booted or not since_boot[19].isdigit():
        return None
    return int(booted.group(1)) + int(since_boot[19]) / ticks


def action(active: bool, started: float | None, changed: Iterable[float], asked: bool) -> str:
    """Return the action that a container engine needs: ``start``, ``restart`` or ``none``.

    :param changed: when each of its files changed last. One that is newer than the process is not in force yet.
    :param asked: whether this run changed something, which may be newer by less than can be told.
    """
    if not active:
        return "start"
    if asked or (started is not None and any(moment > started + TOLERANCE for moment in changed)):
        return "restart"
    return "none"
