# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Periods of the calendar and what was spent in them; the script in the store is asked by tests/gate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from gate_budgets import Budget, Spent, begin, budget, left, shown, units
from gate_limits import LimitReachedError, Limits, Side


@dataclass(frozen=True)
class Free:
    """No limits."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None


FREE = Free()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("per", "now", "first", "seconds"),
    [
        ("day", "2028-02-29T23:59:59.5", "2028-02-29", 1),
        ("day", "2028-02-29T00:00:00", "2028-02-29", 86400),
        ("week", "2028-02-29T00:00:00", "2028-02-28", 6 * 86400),
        ("week", "2027-01-03T23:00:00", "2026-12-28", 3600),
        ("week", "2027-01-04T00:00:00", "2027-01-04", 7 * 86400),
        ("month", "2028-02-29T00:00:00", "2028-02-01", 86400),
        ("month", "2027-02-28T00:00:00", "2027-02-01", 86400),
        ("month", "2026-12-31T12:00:00", "2026-12-01", 43200),
        ("month", "2027-01-31T23:59:59.999", "2027-01-01", 1),
    ],
)
def test_periods_are_those_of_the_calendar(per: str, now: str, first: str, seconds: int) -> None:
    assert begin(per, at(now)).isoformat() == first
    assert left(per, at(now)) == seconds


def test_a_new_period_begins_with_nothing() -> None:
    spent, sunday = Spent(), at("2026-11-29T23:59:00")
    spent.add(["a"], 5, sunday)
    assert spent.known(sunday) == {"a": (5, 5, 5)}
    assert spent.known(sunday + 60) == {"a": (0, 0, 5)}
    spent.add(["a", "b"], 2, sunday + 60)
    assert spent.known(sunday + 61) == {"a": (2, 2, 7), "b": (2, 2, 2)}
    assert spent.known(sunday + 2 * 86400) == {"a": (0, 2, 0), "b": (0, 2, 0)}


def test_a_clock_that_is_set_back_a_little_forgets_nothing() -> None:
    spent, monday = Spent(), at("2026-11-30T00:00:01")
    spent.add(["a"], 5, monday)
    assert spent.of("a", "day", monday - 10) == 5
    assert spent.of("a", "day", monday - 3 * 86400) == 0


def test_amounts_are_counted_in_whole_units() -> None:
    assert units(Decimal("0.0000000015")) == 2
    assert units(Decimal("1e30")) == 10**18
    assert shown(1_240_000_000) == "1.24"
    assert budget({"amount": "0.1", "per": "day"}) == budget({"amount": 0.1, "per": "day"})


def test_a_budget_is_spent() -> None:
    limits, now = Limits(), at("2026-11-28T12:00:00")
    slot = limits.slot([Side("key", "k", FREE, Budget(Decimal("0.5"), "day")), Side("model", "m", FREE)])
    for _number in range(2):
        limits.admit(slot, now)
        limits.end(slot, 10, now, units(Decimal("0.3")))
    with pytest.raises(LimitReachedError) as caught:
        limits.admit(slot, now)
    assert caught.value.message == "The API key k has spent 0.6 of its budget of 0.5 for this day."
    assert (caught.value.limit, caught.value.retry_after) == ("budget_exceeded", 43200)
    limits.admit(slot, now + 43200)
    assert limits.spent.of("key/k", "week", now + 43200) == units(Decimal("0.6"))
