# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of nftables by which only their peers reach the services of a host.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError
from ansible_collections.llmfleet.serving.plugins.module_utils.service.nftables import INGRESS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service.egress import by_family, collapsed

# The chain of the table.
CHAIN = "input"
# In a name these would end the comment of a rule.
UNFIT = re.compile(r"[^\w.-]")
PORTS = range(1, 65536)
# One port, or the first and the last of several.
PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def table(services: list[dict[str, Any]]) -> dict[str, str]:
    """Return the table as a file that replaces an earlier one in one step, and its digest: ``{text, digest}``.

    What begins a connection to a port of a service is refused unless it comes from a peer or from the host itself;
    everything else passes. Connections are not tracked, so those that exist outlive a change of the table. A refusal is
    the ICMP message of a firewall, which clients hear of at once and as another error than that of a service that does
    not run. The digest of the rest is a comment in the first rule, so what is loaded can be compared with what is
    wanted.

    :param services: ``{name, port, peers}``; ``port`` may be two with a dash between, peers are addresses and
        networks.
    :raises ProblemsError: for a port or a peer that is none.
    """
    problems = [problem for service in services for problem in _problems(service)]
    if problems:
        raise ProblemsError(problems)
    rules = [rule for service in services for rule in _rules(service)]
    frame = [
        "type filter hook input priority filter; policy accept;",
        # From the host itself, also if it used an address of its own other than loopback.
        'iifname "lo" accept comment "{}"',
        "tcp flags & (fin | syn | rst | ack) != syn accept",
    ]
    digest = hashlib.sha256("\n".join([*frame, *rules]).encode()).hexdigest()[:16]
    frame[1] = frame[1].format(digest)
    body = "".join(f"    {rule}\n" for rule in [*frame, *rules])
    empty = f"table inet {INGRESS} {{\n}}\ndelete table inet {INGRESS}\n"
    return {"text": f"{empty}table inet {INGRESS} {{\n  chain {CHAIN} {{\n{body}  }}\n}}\n", "digest": digest}


def _rules(service: dict[str, Any]) -> list[str]:
    port, name = str(service["port"]), UNFIT.sub("-", str(service["name"]))
    peers = by_family(collapsed(service.get("peers") or []))
    admitted = [f"tcp dport {port} {family} saddr {{ {', '.join(found)} }} accept" for family, found in peers.items()]
    return [*admitted, f'tcp dport {port} counter reject with icmpx admin-prohibited comment "{name}"']


def _problems(service: dict[str, Any]) -> list[Problem]:
    where = f"firewall_services[{service['name']}]"
    found = []
    ports = PORT.fullmatch(str(service["port"]))
    bounds = [int(one) for one in ports.groups() if one] if ports else []
    if not bounds or bounds != sorted(bounds) or not all(one in PORTS for one in bounds):
        remedy = "give a number from 1 to 65535, or the first and the last such as 8500-8531"
        found.append(Problem(f"{where}.port", service["port"], "it is no port", remedy))
    try:
        collapsed(service.get("peers") or [])
    except ValueError as error:
        remedy = "give an address or a network, such as 192.0.2.1 or 192.0.2.0/28"
        found.append(Problem(f"{where}.peers", error.args[0], "it is neither an address nor a network", remedy))
    return found
