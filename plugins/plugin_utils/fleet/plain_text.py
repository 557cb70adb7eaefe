# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether plain text between hosts stays in networks that are private.

Services of the fleet speak plain HTTP with each other. That is right on loopback and in a network that the inventory
calls private, and nowhere else. Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Container, Mapping, Union

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bare, unmapped
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.egress import EVERY_ADDRESS, HOST, LOCAL

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# The entry that calls every network private.
EVERY = "any"
# Schemes of URLs without TLS.
PLAIN = ("http", "redis", "valkey", "ws", "tcp", "grpc", "lm", "etcd", "nats", "amqp", "mqtt", "ftp", "ldap")
# A database has TLS only if its URL asks for it: the default of PostgreSQL's clients gives in to a server without.
DATABASE = "postgres"
DATABASE_TLS = re.compile(r"[^\s\"']*[?&](?:sslmode=(?:require|verify-ca|verify-full)|sslaccept=strict)\b")
# Prefix length of IPv4 addresses that are written as IPv6 ones, ::ffff:0:0/96.
MAPPED = 96
ADVICE = "add its network to llm_private_networks if nobody else can read there, or"
NAME = "it is a name, and nobody can tell whether its addresses are private"


def _address(text: str) -> Address | None:
    """Parse an address; None for a name."""
    try:
        found: Address = unmapped(ipaddress.ip_address("127.0.0.1" if text in LOCAL else bare(text)))
    except ValueError:
        return None
    return found


def _network(text: str) -> Network | None:
    """Parse a network; None for anything else, which the check of the inventory's values refuses."""
    try:
        found = ipaddress.ip_network(bare(text), strict=False)
    except ValueError:
        return None
    inner = getattr(found.network_address, "ipv4_mapped", None)
    if inner and found.prefixlen >= MAPPED:
        return ipaddress.ip_network((inner, found.prefixlen - MAPPED))
    return found


def is_private(address: Address, networks: list[str]) -> bool:
    """Return whether nobody outside the fleet reads what is sent to an address: loopback, or in a private network."""
    known = [found for one in networks if (found := _network(str(one)))]
    return address.is_loopback or any(address in one for one in known if one.version == address.version)


def _plain_hosts(text: Any) -> list[str]:
    """Return the hosts of the URLs without TLS in a text."""
    text = str(text)
    return [bare(one[1]) for one in HOST.finditer(text) if _is_plain(one, text)]


def _is_plain(url: re.Match[str], text: str) -> bool:
    scheme = url[0].partition("://")[0].lower()
    return scheme in PLAIN or (scheme.startswith(DATABASE) and not DATABASE_TLS.match(text, url.end()))


def _public(listen: str, networks: list[str], own: list[str]) -> tuple[list[str], str]:
    """Return the addresses of a listener that are not private, and why it is refused; empty if it is not.

    :param own: all addresses of the host; empty if they are not known yet.
    """
    address = _address(listen or "::")
    if address is None:
        return [listen], NAME
    if not address.is_unspecified:
        return ([], "") if is_private(address, networks) else ([listen], "it is in no private network")
    # A listener on all IPv6 addresses accepts IPv4, too.
    heard = [one for text in own if (one := _address(text)) and one.version <= address.version]
    found = [str(one) for one in heard if not is_private(one, networks)]
    return found, f"it is every address of the host, and {', '.join(found)} is in no private network"


def problems(
    listeners: Mapping[str, Any],
    networks: list[str],
    host: str = "",
    own: list[str] | None = None,
    urls: Mapping[str, Any] | None = None,
    told: Container[str] = (),
) -> list[Problem]:
    """Return a problem for each address outside private networks at which a host would be sent or send plain text.

    Several variables with one address are one problem, of the first variable.

    :param listeners: addresses of the host's services without TLS, by variable.
    :param networks: ``llm_private_networks``; ``any`` in it turns the check off.
    :param own: all addresses of the host, which a listener on all of them has; empty if they are not known yet.
    :param urls: texts with URLs that the host's services contact, by variable.
    :param told: variables that another check refuses, so that one mistake is one problem.
    """
    found: list[Problem] = []
    if EVERY in networks:
        return found
    seen: list[str] = []
    for variable, value in listeners.items():
        listen = bare(str(value))
        if listen in seen or variable in told:
            continue
        seen.append(listen)
        refused, reason = _public(listen, networks, own or [])
        if refused:
            remedy = "give its private address" if reason == NAME else f"{ADVICE} give a private address"
            found.append(Problem(variable, listen, f"services speak plain HTTP there, but {reason}", remedy, host))
    for variable, value in (urls or {}).items():
        for other in dict.fromkeys(_plain_hosts(value) if variable not in told else ()):
            listens = other == EVERY_ADDRESS
            refused, reason = _public("" if listens else other, networks, (own or []) if listens else [])
            if refused and listens:
                what = f"the service listens there in plain text, but {reason}"
                found.append(Problem(variable, HIDDEN, what, "name one private address", host))
            elif refused:
                what = f"it is plain text to {refused[0]}, but {reason}"
                remedy = "give its private address, or use TLS" if reason == NAME else f"{ADVICE} use TLS"
                found.append(Problem(variable, HIDDEN, what, remedy, host))
    return found
