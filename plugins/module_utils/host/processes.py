# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read processes and the sockets they hold from ``/proc``."""

from __future__ import annotations

import os
import pwd
import re
from typing import Container, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.host.sockets import (
    Process,
    Socket,
    parse_sockets,
)

PROC = "/proc"


def read_proc(name: str) -> str:
    """Return the text of a file below ``/proc``, empty where it cannot be read."""
    return read_text(f"{PROC}/{name}")


def listening_sockets(ports: Container[int]) -> list[Socket]:
    """Return the TCP sockets that listen on one of the ports."""
    tables = [parse_sockets(read_proc(f"net/{table}")) for table in ("tcp", "tcp6")]
    return [socket for table in tables for socket in table if socket.port in ports]


def began(pid: str) -> float | None:
    """Return when a process began, in seconds since 1970; None if there is no such process."""
    # "pid (name) state parent ...": the 20th field after the name is the time after the boot, in ticks.
    fields = read_proc(f"{pid}/stat").rpartition(")")[2].split()
    boot = re.search(r"^btime (\d+)", read_proc("stat"), re.MULTILINE)
    if len(fields) < 20 or boot is None:
        return None
    return int(boot.group(1)) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def user_name(uid: int) -> str:
    """Return the name of a user, empty where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def read_processes() -> dict[int, Process]:
    """Return all processes by their id."""
    processes = {}
    for name in filter(str.isdigit, os.listdir(PROC)):
        # "pid (name) state parent ...", where the name may hold spaces and brackets.
        stat = read_proc(f"{name}/stat")
        fields = stat[stat.rfind(")") + 1 :].split()
        if len(fields) > 1:
            command = read_proc(f"{name}/cmdline").replace("\0", " ")
            label = stat[stat.find("(") + 1 : stat.rfind(")")]
            # Real, effective, saved and file system's.
            uids = re.search(r"^Uid:\s+\d+\s+(\d+)", read_proc(f"{name}/status"), re.MULTILINE)
            user = user_name(int(uids.group(1))) if uids else ""
            cgroup = read_proc(f"{name}/cgroup")
            processes[int(name)] = Process(int(name), int(fields[1]), label, command, cgroup, user)
    return processes


def socket_inodes(pid: int) -> set[str]:
    """Return the inodes of the sockets that a process holds."""
    folder, inodes = f"{PROC}/{pid}/fd", set()
    try:
        for descriptor in os.listdir(folder):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{descriptor}"))
            if match:
                inodes.add(match.group(1))
    except OSError:
        pass
    return inodes


def find_owners(sockets: Iterable[Socket], processes: Mapping[int, Process], ours: set[int]) -> dict[str, Process]:
    """Return the process of each socket; if several share a socket, one of ours is preferred."""
    wanted = {socket.inode for socket in sockets}
    owners: dict[str, Process] = {}
    for process in sorted(processes.values(), key=lambda process: process.pid not in ours):
        for inode in wanted & socket_inodes(process.pid):
            owners.setdefault(inode, process)
    return owners
