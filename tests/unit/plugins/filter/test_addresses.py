# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A listener is asked at an address that it answers at."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.filter.addresses import FilterModule

FILTERS = FilterModule().filters()


@pytest.mark.parametrize(
    ("listen", "host", "pair"),
    [
        ("0.0.0.0", "127.0.0.1", "127.0.0.1:80"),
        ("10.0.0.0", "10.0.0.0", "10.0.0.0:80"),
        ("::", "::1", "[::1]:80"),
        ("[::]", "::1", "[::1]:80"),
        ("fd00::1", "fd00::1", "[fd00::1]:80"),
        ("localhost", "localhost", "localhost:80"),
        ("", "127.0.0.1", "127.0.0.1:80"),
    ],
)
def test_addresses(listen: str, host: str, pair: str) -> None:
    assert FILTERS["reachable"](listen) == host
    assert FILTERS["authority"](listen, "80") == pair
