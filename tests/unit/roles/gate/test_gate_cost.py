# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What requests cost: exact, whatever the prices are."""

from __future__ import annotations

from decimal import Decimal

import pytest
from gate_cost import FREE, price, text

CHAT = {"input_per_token": "0.0000002", "output_per_token": "0.0000006"}


@pytest.mark.parametrize(
    ("given", "tokens", "cost"),
    [
        (CHAT, (100, 20, 0), "0.000032"),
        (CHAT, (100, 20, 64), "0.000032"),
        ({**CHAT, "cached_per_token": "0"}, (100, 20, 64), "0.0000192"),
        ({**CHAT, "cached_per_token": "0.0000001"}, (100, 20, 64), "0.0000256"),
        # No part is larger than its whole.
        ({**CHAT, "cached_per_token": "0.0000001"}, (100, 0, 500), "0.00001"),
        ({"input_per_token": "0.1"}, (3, 5, 0), "0.3"),
        ({"input_per_token": "1"}, (100, 0, 0), "100"),
        ({}, (10**9, 10**9, 0), "0"),
    ],
)
def test_tokens_have_prices(given: dict[str, str], tokens: tuple[int, int, int], cost: str) -> None:
    assert text(price(given).of(*tokens)) == cost


def test_a_million_costs_have_an_exact_sum() -> None:
    one = price({"input_per_token": "0.0000000123456789"}).of(7, 0, 0)
    assert sum([one] * 1_000_000) == Decimal("0.0000000123456789") * 7_000_000


def test_a_model_without_prices_is_free() -> None:
    assert FREE.free
    assert price({"input_per_token": "0"}).free
    assert not price({"cached_per_token": "0.1"}).free
