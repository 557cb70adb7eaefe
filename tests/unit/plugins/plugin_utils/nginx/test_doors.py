# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx.doors import doors

API = {"server_name": "api.test", "port": "443"}
CHAT = {"server_name": "chat.test", "port": 8443}
SHUT: dict[str, Any] = {"server_name": "", "port": 1}
ALIASES = {"api": ["b.test"], "chat": ["api.test", "a.test"]}


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
    found = doors(api, chat, north, ALIASES)
    assert [door["kind"] for door in found["open"]] == kinds
    assert (found["names"], found["ports"], found["by_address"]) == (names, ports, [])


@pytest.mark.parametrize(
    ("name", "address"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("1a.test", False)]
)
def test_an_address_among_the_names(name: str, address: bool) -> None:
    assert doors({"server_name": name, "port": 1}, SHUT)["by_address"] == ([1] if address else [])
    assert doors(API, CHAT, aliases={"chat": [name]})["by_address"] == ([8443] if address else [])


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_doors_on_loopback_have_every_name_of_it(listen: str) -> None:
    found = doors({**API, "server_name": "localhost"}, CHAT, own_listen=listen)
    api, chat = found["open"]
    assert (api["names"], api["moved"]) == (["localhost", "127.0.0.1", "::1"], [])
    assert (chat["names"], chat["moved"]) == (["chat.test"], ["localhost", "127.0.0.1", "::1"])
    assert found["names"] == ["localhost", "chat.test", "127.0.0.1", "::1"]
    assert found["by_address"] == [443, 8443]


def test_the_dashboards_have_a_door_like_the_chat_page() -> None:
    board = {"server_name": "Board.test", "port": "8445"}
    found = doors(API, CHAT, aliases={"dashboards": ["ops.test"]}, own_listen="127.0.0.1", dashboards=board)
    assert [door["kind"] for door in found["open"]] == ["api", "chat", "dashboards"]
    door = found["open"][2]
    assert (door["port"], door["names"], door["moved"][:1]) == (8445, ["Board.test", "ops.test"], ["localhost"])
    assert doors(API, CHAT, dashboards={"server_name": "", "port": 1})["open"][-1]["kind"] == "chat"


def test_on_one_port_a_name_of_loopback_belongs_to_one_door() -> None:
    found = doors(API, {**CHAT, "port": 443, "server_name": "Localhost"}, own_listen="127.0.0.1")
    api, chat = found["open"]
    assert api["names"] == ["api.test", "127.0.0.1", "::1"]
    assert (chat["names"], chat["moved"]) == (["Localhost"], [])


@pytest.mark.parametrize("listen", ["", "0.0.0.0", "::", "192.0.2.1"])
def test_doors_elsewhere_have_their_own_names_alone(listen: str) -> None:
    found = doors(API, CHAT, own_listen=listen)
    assert (found["names"], found["by_address"]) == (["api.test", "chat.test"], [])
    assert [door["moved"] for door in found["open"]] == [[], []]
