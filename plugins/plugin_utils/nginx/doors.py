# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open doors of the proxy, with all their names and ports.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterable

ADDRESS = re.compile(r"[0-9.]+|.*:.*")


def unique(items: Iterable[Any]) -> list[Any]:
    """Return items in their order, each once."""
    return list(dict.fromkeys(items))


def doors(api: dict[str, Any], chat: dict[str, Any], north: bool = True) -> dict[str, Any]:
    """Return the properties of the doors for the proxy's configuration and certificate.

    :param api: ``nginx_api``.
    :param chat: ``nginx_chat``.
    :param north: whether this host has outer doors at all.
    :return: ``open``: the open doors, each with its ``kind``; ``names``: every name that they are known by; ``ports``;
        ``by_address``: whether an address is among the names. No client sends an address as TLS server name, so there
        the clients that send none are let in.
    """
    both = [{**api, "kind": "api"}, {**chat, "kind": "chat"}] if north else []
    opened = [door for door in both if door["server_name"] != ""]
    aliases = [alias for door in opened for alias in door.get("aliases") or []]
    names = unique([door["server_name"] for door in opened] + aliases)
    return {
        "open": opened,
        "names": names,
        "ports": sorted({int(door["port"]) for door in opened}),
        "by_address": any(ADDRESS.fullmatch(name) for name in names),
    }
