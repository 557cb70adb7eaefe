# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening sockets and processes as records, and the kernel's table of sockets read into them."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import unmapped

LISTENING = "0A"


class Socket(NamedTuple):
    """A listening TCP socket."""

    address: str
    port: int
    inode: str


class Process(NamedTuple):
    """Facts of a process; texts are empty if the kernel does not report them."""

    pid: int
    parent: int
    name: str
    command: str
    cgroup: str
    user: str = ""


def parse_sockets(table: str) -> list[Socket]:
    """Return the listening sockets of ``/proc/net/tcp`` or ``/proc/net/tcp6``."""
    sockets = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTENING:
            address, port = fields[1].split(":")
            # The kernel prints the address as 32-bit words in the machine's own byte order.
            order = "<" if sys.byteorder == "little" else ">"
            words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
            bound = unmapped(ipaddress.ip_address(struct.pack(f"{order}{len(words)}I", *words)))
            sockets.append(Socket(str(bound), int(port, 16), fields[9]))
    return sockets


def refusal(address: str, port: int, seconds: float = 5.0) -> str:
    """Connect to a TCP port and disconnect; return an empty string on success, else the error."""
    try:
        socket.create_connection((address.strip("[]"), port), timeout=seconds).close()
    except OSError as error:
        return f"port {port} of {address} takes no connection ({error.strerror or error})"
    return ""
