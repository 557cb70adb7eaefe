# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that a service may exchange traffic with, from its spec, and the rules of nftables for them.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import DROP_IN
from ansible_collections.llmfleet.serving.plugins.module_utils.service.nftables import EGRESS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service.parts import fail

# In the list of a service that may reach every address.
ANY = "any"
# Changes with the form of the rules, so that a run replaces those of an earlier version.
VERSION = "1"
# Every service may use these. 127.0.1.1 is the address of the host's own name on Debian. The rest of 127.0.0.0/8 is
# left out, because systemd-resolved (127.0.0.53) and Docker (127.0.0.11) would pass on a service's questions to name
# servers of the internet.
LOOPBACK = ("127.0.0.1", "127.0.1.1", "::1")


def _short(network: Any) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def networks(name: str, given: Any) -> list[str] | None:
    """Return the networks of a service with loopback, IPv4 first, each once; ``[any]`` for one without a filter.

    :param name: the service.
    :param given: ``egress`` of its spec; null for a service that has none.
    :raises ProblemsError: for an entry that is no network.
    """
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        fail(name, "egress", given, "it is no list", f"give a list of addresses and networks, or [{ANY}]")
    if ANY in given:
        return [ANY]
    try:
        return collapsed([*LOOPBACK, *given])
    except ValueError as error:
        remedy = f"give an address or a network, such as 192.0.2.1 or 192.0.2.0/28, or {ANY}"
        fail(name, "egress", error.args[0], "it is neither an address nor a network", remedy)


def collapsed(entries: Iterable[Any]) -> list[str]:
    """Return addresses and networks as nftables and systemd take them: IPv4 first, sorted, each once, none in another.

    :raises ValueError: for an entry that is neither; its argument is the entry.
    """
    found: dict[int, list[Any]] = {4: [], 6: []}
    for entry in entries:
        try:
            network = ipaddress.ip_network(str(entry), strict=False)
        except ValueError as error:
            raise ValueError(entry) from error
        found[network.version].append(network)
    return [_short(network) for version in (4, 6) for network in ipaddress.collapse_addresses(found[version])]


def by_family(networks_given: list[str]) -> dict[str, list[str]]:
    """Return networks by the name of their family in nftables, ``ip`` and ``ip6``; a family without any is left out."""
    families = {
        "ip": [one for one in networks_given if ":" not in one],
        "ip6": [one for one in networks_given if ":" in one],
    }
    return {family: found for family, found in families.items() if found}


def ruleset(user: str, allowed: list[str]) -> str:
    """Return the rules by which nftables filters what a user's processes send, as a file that replaces earlier ones.

    They begin with the digest of the rest, so that what is loaded can be compared with what is wanted. Connections are
    not tracked, because that costs a gateway with many clients much: what begins a connection is refused, and what
    belongs to an accepted one passes.

    :param user: user whose processes are filtered; it also names the chain.
    :param allowed: as :func:`networks` returns them.
    """
    empty = f"table inet {EGRESS} {{\n  chain {user} {{\n  }}\n}}\ndelete chain inet {EGRESS} {user}\n"
    if allowed == [ANY]:
        return empty
    rules = [
        "type filter hook output priority 0; policy accept;",
        f'meta skuid != "{user}" accept comment "{{}}"',
        "tcp flags & (fin | syn | rst | ack) != syn accept",
        # Programs find their own host at any of its addresses.
        'oifname "lo" ip daddr != 127.0.0.0/8 accept',
        'oifname "lo" meta nfproto ipv6 accept',
        *(f"{family} daddr {{ {', '.join(found)} }} accept" for family, found in by_family(allowed).items()),
        "meta l4proto tcp reject with tcp reset",
        "reject",
    ]
    rules[1] = rules[1].format(digest(user, allowed))
    body = "".join(f"    {rule}\n" for rule in rules)
    return f"{empty}table inet {EGRESS} {{\n  chain {user} {{\n{body}  }}\n}}\n"


def digest(user: str, allowed: list[str]) -> str:
    """Return the digest of a user's rules; empty without a filter."""
    if allowed == [ANY]:
        return ""
    return hashlib.sha256(" ".join([VERSION, user, *allowed]).encode()).hexdigest()[:16]


def _has_drop_in(spec: dict[str, Any], manager: str) -> bool:
    return manager == "systemd" and spec["egress"] is not None


def _has_rules(spec: dict[str, Any], manager: str) -> bool:
    """Return whether nftables filters a service: supervisor has no filter, and a container is not part of its unit."""
    return spec["egress"] is not None and (manager != "systemd" or bool(spec["container"]))


def _drop_in(spec: dict[str, Any], prefix: str) -> str:
    return DROP_IN.format(f"{prefix}{spec['name']}")


def _rules_file(spec: dict[str, Any]) -> str:
    return f"{spec['config_dir'].rpartition('/')[0]}/egress/{spec['user']}.nft"


def files(spec: dict[str, Any], manager: str, prefix: str) -> list[dict[str, Any]]:
    """Return the files of the filter of a service, shaped like a spec's ``files``.

    They are applied to the running service, so none of them is a part of what it is started with.
    """
    owned = {"owner": "root", "group": "root", "mode": "0644", "validate": "", "spec": spec}
    found = []
    if _has_drop_in(spec, manager):
        found.append({**owned, "src": "egress.conf.j2", "dest": _drop_in(spec, prefix)})
    if _has_rules(spec, manager):
        content = ruleset(spec["user"], spec["egress"])
        found.append({**owned, "src": "egress.nft.j2", "dest": _rules_file(spec), "content": content})
    return found


def directories(spec: dict[str, Any], manager: str, prefix: str) -> list[dict[str, str]]:
    """Return the directories of these files, ``[{path, owner, group, mode}]``."""
    paths = [one["dest"].rpartition("/")[0] for one in files(spec, manager, prefix)]
    return [{"path": path, "owner": "root", "group": "root", "mode": "0755"} for path in paths]


def rules(specs: list[dict[str, Any]], manager: str) -> list[dict[str, str]]:
    """Return the rules that nftables must have loaded: ``[{name, path, digest}]``."""
    return [
        {"name": spec["user"], "path": _rules_file(spec), "digest": digest(spec["user"], spec["egress"])}
        for spec in specs
        if _has_rules(spec, manager)
    ]
