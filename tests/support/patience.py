# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seconds for tests that say how long something may take: those in which no program waited for a processor.

A machine with two cores that does other things too, or whose own host is busy, is no failure of what is tested. Linux
counts the time in which a program waits for a processor (/proc/pressure/cpu) and that which the host takes (steal in
/proc/stat). On a quiet machine these are next to nothing, and a limit is as sharp as it is written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

PRESSURE, STAT = Path("/proc/pressure/cpu"), Path("/proc/stat")
# Of the time that passed, this part counts at least, so that something that hangs fails on any machine.
LEAST = 0.1


def lost() -> float:
    """Seconds since the machine started in which a program waited for a processor, or the host took one."""
    seconds = 0.0
    try:
        # some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS
        seconds += int(PRESSURE.read_text().split("total=", 1)[1].split()[0]) / 1e6
        # cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...
        seconds += int(STAT.read_text().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        # A kernel that does not count this: all seconds are taken as they are.
        pass
    return seconds


class Watch:
    """Seconds since it was made that the machine had for everybody."""

    def __init__(self) -> None:
        self._began, self._lost = time.monotonic(), lost()

    def seconds(self) -> float:
        passed = time.monotonic() - self._began
        return max(passed * LEAST, passed - (lost() - self._lost))


def within(seconds: float, true: Callable[[], object], what: str, pause: float = 0.01) -> None:
    """Wait until something is true."""
    watch = Watch()
    while not true():
        assert watch.seconds() < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
