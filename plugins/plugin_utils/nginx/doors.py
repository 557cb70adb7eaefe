# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open doors of the proxy, with all their names and ports.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils import addresses

ADDRESS = re.compile(r"[0-9.]+|.*:.*")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def unique(items: Iterable[Any]) -> list[Any]:
    """Return items in their order, each once."""
    return list(dict.fromkeys(items))


def doors(
    api: dict[str, Any],
    chat: dict[str, Any],
    north: bool = True,
    aliases: dict[str, list[str]] | None = None,
    own_listen: str = "",
    dashboards: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the properties of the doors for the proxy's configuration and certificate.

    :param api: ``nginx_api``.
    :param chat: ``nginx_chat``.
    :param north: whether this host has outer doors at all.
    :param aliases: further names of the doors, by ``api``, ``chat`` and ``dashboards``.
    :param own_listen: the address of the doors if the host makes the certificate itself. If it is of loopback, the
        certificate has all names of loopback, because some clients replace one by another. The API answers to them; the
        chat page and the dashboards, which have one origin, send browsers to their own name.
    :param dashboards: ``nginx_dashboards``.
    :return: ``open``: the open doors, each with its ``kind``, its ``names`` and the names that it redirects, ``moved``;
        ``names``: every name of the certificate; ``ports``; ``by_address``: the ports where an address is among the
        names. No client sends an address as TLS server name, so there the clients that send none are let in.
    """
    given = {"api": api, "chat": chat, "dashboards": dashboards or {}}
    every = [{**door, "kind": kind} for kind, door in given.items() if north]
    opened = [door for door in every if door.get("server_name", "") != ""]
    for door in opened:
        further = (aliases or {}).get(door["kind"]) or []
        door.update(port=int(door["port"]), names=unique([door["server_name"], *further]), moved=[])
    loopback = LOOPBACK if opened and addresses.on_loopback(own_listen) else ()
    for port, door in {door["port"]: door for door in reversed(opened)}.items():
        taken = {name.lower() for other in opened if other["port"] == port for name in other["names"]}
        free = [name for name in loopback if name not in taken]
        door["names" if door["kind"] == "api" else "moved"] += free
    answered: dict[int, list[str]] = {port: [] for port in sorted({door["port"] for door in opened})}
    for door in opened:
        answered[door["port"]] += door["names"] + door["moved"]
    first = [door["server_name"] for door in opened]
    return {
        "open": opened,
        "names": unique([*first, *(name for names in answered.values() for name in names)]),
        "ports": list(answered),
        "by_address": [port for port, names in answered.items() if any(map(ADDRESS.fullmatch, names))],
    }
