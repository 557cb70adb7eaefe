# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A listener is asked at an address that it answers at."""

from __future__ import annotations

import re
from pathlib import Path

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


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("::", "[::]"),
        ("[::]", "[::]"),
        ("fd00::1", "[fd00::1]"),
        ("gateway", "gateway"),
        ("", ""),
    ],
)
def test_what_stands_before_a_port(address: str, written: str) -> None:
    assert FILTERS["bracketed"](address) == written
    assert FILTERS["bare_address"](address) == FILTERS["bare_address"](written) == address.strip("[]")


# An address of a listener that is put before a port, or made one to ask, without a filter.
BY_HAND = re.compile(r"_listen *(?:\}\}:|~ *':')|replace\('[^']*0\[?[.]\]?0[^']*', *'127")


def test_no_role_turns_addresses_by_hand() -> None:
    roles = Path(__file__).resolve().parents[4] / "roles"
    found = [
        f"{path.relative_to(roles)}:{number}"
        for path in sorted([*roles.rglob("*.yml"), *roles.rglob("*.j2")])
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BY_HAND.search(line) and path.parts[-4] != "fleet_defaults"
    ]
    assert found == []
