# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority, on_loopback, reachable


@pytest.mark.parametrize(
    ("listen", "address", "url"),
    [
        ("0.0.0.0", "127.0.0.1", "127.0.0.1:80"),
        ("", "127.0.0.1", "127.0.0.1:80"),
        ("::", "::1", "[::1]:80"),
        ("[::]", "::1", "[::1]:80"),
        ("0:0::0", "::1", "[::1]:80"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:80"),
        # Text of an address that holds the text of another.
        ("10.0.0.0", "10.0.0.0", "10.0.0.0:80"),
        ("100.0.0.0", "100.0.0.0", "100.0.0.0:80"),
        ("fd00::", "fd00::", "[fd00::]:80"),
        ("[fd00::5]", "fd00::5", "[fd00::5]:80"),
        ("localhost", "localhost", "localhost:80"),
        ("gpu1.example.com", "gpu1.example.com", "gpu1.example.com:80"),
    ],
)
def test_a_listener_is_asked_where_it_answers(listen: str, address: str, url: str) -> None:
    assert reachable(listen) == address
    assert authority(listen, 80) == url


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"])
def test_a_listener_for_its_own_host(listen: str) -> None:
    assert on_loopback(listen)


@pytest.mark.parametrize("listen", ["", "0.0.0.0", "::", "192.0.2.1", "[fd00::5]", "gpu1.example.com"])
def test_a_listener_for_other_hosts(listen: str) -> None:
    assert not on_loopback(listen)
