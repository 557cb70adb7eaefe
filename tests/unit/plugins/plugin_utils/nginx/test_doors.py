# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx.doors import doors

API = {"server_name": "api.test", "port": "443", "aliases": ["b.test"]}
CHAT = {"server_name": "chat.test", "port": 8443, "aliases": ["api.test", "a.test"]}
SHUT: dict[str, Any] = {"server_name": "", "port": 1, "aliases": ["x"]}


@pytest.mark.parametrize(
    ("api", "chat", "north", "kinds", "names", "ports"),
    [
        (API, CHAT, True, ["api", "chat"], ["api.test", "chat.test", "b.test", "a.test"], [443, 8443]),
        (API, SHUT, True, ["api"], ["api.test", "b.test"], [443]),
        (SHUT, CHAT, True, ["chat"], ["chat.test", "api.test", "a.test"], [8443]),
        (API, {**CHAT, "port": 443}, True, ["api", "chat"], ["api.test", "chat.test", "b.test", "a.test"], [443]),
        (SHUT, SHUT, True, [], [], []),
        (API, CHAT, False, [], [], []),
    ],
)
def test_doors(api: Any, chat: Any, north: bool, kinds: list[str], names: list[str], ports: list[int]) -> None:
    found = doors(api, chat, north)
    assert [door["kind"] for door in found["open"]] == kinds
    assert (found["names"], found["ports"]) == (names, ports)


@pytest.mark.parametrize(
    ("name", "address"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("1a.test", False)]
)
def test_an_address_among_the_names(name: str, address: bool) -> None:
    assert doors({"server_name": name, "port": 1}, SHUT)["by_address"] is address
