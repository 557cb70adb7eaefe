# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that services listen on: which of them conflict, how a listener is reached from its own host, and what
keeps the processes of one program on the loopback interface.
"""

from __future__ import annotations

import ipaddress
from typing import Any

# Environment of a program whose processes work together on one host. Gloo listens on the address of the host's name and
# NCCL on the first interface that is not loopback, although nobody outside the host has to reach either.
GROUP_ON_LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def unmapped(address: Any) -> Any:
    """Return the IPv4 address inside ``::ffff:127.0.0.1``, and any other address as it is."""
    return getattr(address, "ipv4_mapped", None) or address


def _address(text: str) -> Any:
    """Parse an address; anything else counts as all addresses, so that its port is checked on all of them."""
    try:
        return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]"))
    except ValueError:
        return ipaddress.IPv4Address(0)


def overlap(one: str, other: str) -> bool:
    """Check whether two listeners on the same port would conflict. An empty address means all addresses."""
    first, second = (unmapped(_address(text)) for text in (one, other))
    # An IPv6 socket on all addresses also accepts IPv4 unless it is set otherwise, so this counts as a conflict.
    return bool(first.is_unspecified or second.is_unspecified or first == second)


def reachable(listen: str) -> str:
    """Return the address at which a listener can be reached from its own host; loopback if it listens on all addresses.

    :param listen: an IPv4 or IPv6 address, with or without brackets, or a name; empty is any address.
    """
    text = bare(listen)
    try:
        address = ipaddress.ip_address(text) if text else ipaddress.IPv4Address(0)
    except ValueError:
        return text
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def on_loopback(listen: str) -> bool:
    """Return whether a listener can be reached from its own host alone."""
    return bool(unmapped(_address(listen)).is_loopback)


def bare(address: str) -> str:
    """Return an address in the form that programs listen on: an IPv6 address without brackets, any other unchanged."""
    return address.strip().strip("[]")


def bracketed(address: str) -> str:
    """Return an address in the form that is used before a port: an IPv6 address in brackets, any other unchanged."""
    text = bare(address)
    return f"[{text}]" if ":" in text else text


def authority(listen: str, port: int) -> str:
    """Return ``host:port`` of a URL for a listener on the same host; IPv6 addresses are in brackets."""
    return f"{bracketed(reachable(listen))}:{port}"
