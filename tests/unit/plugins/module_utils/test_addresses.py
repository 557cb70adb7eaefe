# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority, reachable


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
