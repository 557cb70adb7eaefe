# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that a service may exchange traffic with, derived from the hosts of the fleet and from the inventory.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Container, Iterator, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bare
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

# The host of each URL in a text, after user and password.
HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^\s/]*@)?(\[[^\]\s]+\]|[^\s/:?#,;\"'\]]+)", re.IGNORECASE)
# A name that every host knows without a name server.
LOCAL = ("localhost",)
# In a URL, every address of the service's own host.
EVERY_ADDRESS = "*"

Values = Mapping[str, Any]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def source_addresses(facts: Mapping[str, Any], address: str) -> list[str]:
    """Return the addresses from which a host may send to the fleet and to itself, its own one first.

    The others of its interface matter where the fleet's address is not the first one there, and that of the default
    route where programs find the address of their own host by it. IPv6 has addresses that change daily, so others than
    the host's own one count only on a host without IPv4.

    :param facts: facts of the host, with ``interfaces``, ``default_ipv4`` and ``default_ipv6``.
    :param address: ``llm_address`` of the host.
    """
    routes = [(facts.get(name) or {}).get("address") for name in ("default_ipv4", "default_ipv6")]
    default = [str(one) for one in routes if one][:1]
    for name in facts.get("interfaces") or []:
        own = facts.get(str(name).replace("-", "_")) or {}
        entries = [own.get("ipv4") or {}, *(own.get("ipv4_secondaries") or [])]
        found = [str(entry["address"]) for entry in entries if entry.get("address")]
        if address in found:
            return list(dict.fromkeys([address, *found, *default]))
    return list(dict.fromkeys([address, *default]))


def addresses(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the addresses of hosts, in their order; names are left out.

    :param hosts: what is known of them, by name, each with ``address`` and maybe ``addresses``.
    """
    known = [bare(str(one)) for own in hosts.values() for one in own.get("addresses") or [own.get("address", "")]]
    return [one for one in known if _is_address(one)]


def _hosts(value: Any) -> Iterator[str]:
    """Give the host of every URL in a value and in what it contains."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _hosts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _hosts(item)
    elif isinstance(value, str):
        yield from (bare(host) for host in HOST.findall(value))


def networks(values: Values, names: list[str], hosts: Mapping[str, Mapping[str, Any]], further: list[str]) -> list[str]:
    """Return the networks of a service: the fleet's hosts, further networks, and the addresses that its variables name.

    :param values: values of variables, by name.
    :param names: the variables that name hosts for the service.
    :param hosts: what is known of the fleet's hosts, by name, each with ``address`` and maybe ``addresses``.
    """
    named = [host for name in names for host in _hosts(values.get(name)) if _is_address(host)]
    return list(dict.fromkeys([*addresses(hosts), *further, *named]))


def problems(
    values: Values,
    services: Mapping[str, list[str]],
    further: list[str],
    address: str,
    host: str = "",
    told: Container[str] = (),
) -> list[Problem]:
    """Return a problem for each name of a host in the inventory that a filtered service could not reach.

    A filter knows addresses alone, and the service cannot ask a name server. Whoever names further networks has thought
    of both, so nothing is refused then.

    :param services: services, each with the variables that name hosts for it; none for one that is not filtered or not
        on the host.
    :param address: ``llm_address`` of the host; empty if it is not known yet.
    :param told: variables that another check refuses, so that one mistake is one problem.
    """
    found: list[Problem] = []
    if further or not any(services.values()):
        return found
    remedy = "give its address, or add its network and that of a name server to llm_egress_networks"
    if address and "llm_address" not in told and address not in LOCAL and not _is_address(bare(address)):
        text = "it is a name, but hosts of the fleet are let through by their addresses"
        found.append(Problem("llm_address", address, text, remedy, host))
    for service, names in services.items():
        for name in names:
            for other in dict.fromkeys(_hosts(values.get(name)) if name not in told else ()):
                if other not in (*LOCAL, EVERY_ADDRESS) and not _is_address(other):
                    text = f"it names {other}, but the service reaches addresses alone"
                    advice = f"{remedy}, or set {service}_egress to [any]"
                    found.append(Problem(name, HIDDEN, text, advice, host))
    return found
