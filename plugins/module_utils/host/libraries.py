# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from ``/proc`` which files a process runs, and how old apt's lists are."""

from __future__ import annotations

import os
import time

from ansible_collections.llmfleet.serving.plugins.module_utils.host.processes import PROC, read_proc

LISTS = "/var/lib/apt/lists"


def read_maps(pid: int) -> str:
    """Return the mappings of a process; empty for one whose files are not the host's, such as one in a container."""
    try:
        own = os.path.samestat(os.stat(f"{PROC}/{pid}/root"), os.stat("/"))
    except OSError:
        return ""
    return read_proc(f"{pid}/maps") if own else ""


def lists_age() -> float:
    """Return the seconds since apt's lists were read."""
    try:
        return time.time() - os.stat(LISTS).st_mtime
    except OSError:
        return 0.0
