# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of a host that other hosts may reach, and which, derived from the plan and the table of applications.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Container, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bare, on_loopback
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.egress import LOCAL, addresses

Hosts = Mapping[str, Mapping[str, Any]]


def services(
    instances: list[dict[str, Any]],
    listeners: list[dict[str, Any]],
    hosts: Hosts,
    clients: list[str],
    further: Mapping[str, list[str]],
) -> list[dict[str, Any]]:
    """Return the services of a host with the addresses that may reach them: ``[{name, port, peers}]``.

    One on loopback needs no rule. The host itself reaches its services anyway and is no peer.

    :param instances: ``llm_instances_here`` of the host.
    :param listeners: those of its applications, see :func:`applications.fleet_listeners`.
    :param hosts: what is known of the fleet's hosts, by name, each with ``address`` and maybe ``addresses``.
    :param clients: hosts that use engines.
    :param further: addresses and networks in addition, by the name of the application or engine.
    """
    engines = [
        {
            "name": registry.service(one),
            "application": registry.of(one).name,
            "address": one["listen"],
            "port": one["port"],
            "clients": clients,
        }
        for one in instances
    ]
    return [
        {
            "name": one["name"],
            "port": int(one["port"]),
            "peers": _peers(one["clients"], hosts, further.get(one["application"]) or []),
        }
        for one in [*engines, *listeners]
        if not on_loopback(str(one["address"]))
    ]


def _peers(clients: list[str], hosts: Hosts, further: list[str]) -> list[str]:
    known = addresses({name: hosts[name] for name in clients if hosts.get(name)})
    return list(dict.fromkeys([*known, *further]))


def problems(address: str, further: Any, known: list[str], host: str = "", told: Container[str] = ()) -> list[Problem]:
    """Return a problem for each name where the firewall needs an address, and for each unknown application.

    Names are not looked up: what a name server says later would differ from what the rules admit.

    :param address: ``llm_address`` of the host; empty if it is not known yet.
    :param further: ``llm_firewall_peers``.
    :param known: names of applications and engines.
    :param told: variables that another check refuses, so that one mistake is one problem.
    """
    found: list[Problem] = []
    if address and address not in LOCAL and "llm_address" not in told and not _is_network(bare(address)):
        text = "it is a name, but the firewall of the other hosts admits addresses"
        found.append(Problem("llm_address", address, text, "give its address, or set llm_firewall to false", host))
    if not isinstance(further, Mapping):
        remedy = "give lists of addresses and networks by application, such as {node_exporter: [192.0.2.9]}"
        return [*found, Problem("llm_firewall_peers", further, "it is no dictionary", remedy, host)]
    for name, entries in further.items():
        where = f"llm_firewall_peers.{name}"
        if name not in known:
            text = "no application and no engine has this name"
            found.append(Problem(where, entries, text, nearest(str(name), known), host))
        for entry in entries if isinstance(entries, (list, tuple)) else [entries]:
            if not _is_network(str(entry)) or not isinstance(entries, (list, tuple)):
                remedy = "give a list of addresses and networks, such as [192.0.2.9, 10.1.0.0/24]"
                found.append(Problem(where, entry, "it is no list of addresses and networks", remedy, host))
    return found


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
