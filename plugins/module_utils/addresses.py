# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that services listen on: which of them collide, and where a listener is asked from its own host."""

from __future__ import annotations

import ipaddress
from typing import Any


def unmapped(address: Any) -> Any:
    """Return the IPv4 address inside ``::ffff:127.0.0.1``, and any other address as it is."""
    return getattr(address, "ipv4_mapped", None) or address


def _address(text: str) -> Any:
    """Return an address; a name that is none counts as any, so that its port is checked on all."""
    try:
        return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]"))
    except ValueError:
        return ipaddress.IPv4Address(0)


def overlap(one: str, other: str) -> bool:
    """Tell whether two addresses cannot both be listened on at the same port. An empty address is any."""
    first, second = (unmapped(_address(text)) for text in (one, other))
    # IPv6's any address takes IPv4 too, unless a socket says otherwise; better refuse once too often.
    return bool(first.is_unspecified or second.is_unspecified or first == second)


def reachable(listen: str) -> str:
    """Return the address at which a listener is asked from its own host: loopback where it listens on all addresses.

    :param listen: an IPv4 or IPv6 address, with or without brackets, or a name; empty is any address.
    """
    text = listen.strip().strip("[]")
    try:
        address = ipaddress.ip_address(text) if text else ipaddress.IPv4Address(0)
    except ValueError:
        return text
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def bracketed(address: str) -> str:
    """Return an address as it stands before a port: an IPv6 address in brackets, any other as it is."""
    text = address.strip().strip("[]")
    return f"[{text}]" if ":" in text else text


def authority(listen: str, port: int) -> str:
    """Return ``host:port`` of a URL that asks a listener from its own host; IPv6 addresses are put in brackets."""
    return f"{bracketed(reachable(listen))}:{port}"
