# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keys, teams and models may cost in a day, a week or a month, and what they have cost.

Periods are those of the calendar (UTC); a week begins on Monday. A period is named by the date on which it begins. What
was spent is counted in units of 1e-9, whole numbers, and for all three periods, so that a budget of another period goes
on with what was spent in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from gate_cost import text

PERIODS = ("day", "week", "month")
# Units of one; and the most that a budget may have and that is counted of one request, so that 64 bits hold counts.
UNITS = 10**9
MOST = 10**9
DAY = 86400
EPOCH = date(1970, 1, 1)
# Seconds that a clock may be set back without a period's counts being forgotten.
SLACK = 60


@dataclass(frozen=True)
class Budget:
    """An amount that may be spent in a period, one of `PERIODS`."""

    amount: Decimal
    per: str

    @property
    def units(self) -> int:
        return units(self.amount)


def units(amount: Decimal) -> int:
    """An amount in the units of counts."""
    return int((min(amount, Decimal(MOST)) * UNITS).to_integral_value(ROUND_HALF_EVEN))


def shown(count: int) -> str:
    """An amount in units, as a person reads it."""
    return text(Decimal(count) / UNITS)


def budget(given: object) -> Budget:
    """A budget as a file has it, `{"amount": 50, "per": "month"}`; ValueError says what is wrong."""
    if not isinstance(given, dict) or set(given) != {"amount", "per"}:
        raise ValueError("budget must have amount and per")
    amount, per = given["amount"], given["per"]
    try:
        number = Decimal(str(amount)) if not isinstance(amount, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and number * UNITS >= 1 and number <= MOST):
        raise ValueError(f"budget: amount must be a number above 0 and at most {MOST}, not {amount!r}")
    if per not in PERIODS:
        raise ValueError(f"budget: per must be one of {', '.join(PERIODS)}, not {per!r}")
    return Budget(number, per)


def begin(per: str, now: float) -> date:
    """The first day of the period of `now`, in seconds since the epoch."""
    today = EPOCH + timedelta(days=int(now // DAY))
    if per == "week":
        return today - timedelta(days=today.weekday())
    return today.replace(day=1) if per == "month" else today


def left(per: str, now: float) -> int:
    """Seconds until the period of `now` is over, at least 1."""
    first = begin(per, now)
    days = {"day": 1, "week": 7, "month": 32}[per]
    # A month is never longer than 31 days, and 32 days after its first day the next one is not over yet.
    after = first + timedelta(days=days)
    after = after.replace(day=1) if per == "month" else after
    return max(1, math.ceil((after - EPOCH).days * DAY - now))


class Period:
    """Counts by name that begin anew with each period."""

    def __init__(self, per: str) -> None:
        self._per = per
        self._day = -1
        self.first = EPOCH
        self._counts: Counter[str] = Counter()

    def counts(self, now: float) -> Counter[str]:
        """The counts of the period of `now`, in seconds since the epoch."""
        day = int(now // DAY)
        if day != self._day:
            first = begin(self._per, now)
            if first > self.first or begin(self._per, now + SLACK) < self.first:
                self.first, self._counts = first, Counter()
            self._day = day
        return self._counts


class Spent:
    """What was spent, by the name of a count, in the present day, week and month."""

    def __init__(self) -> None:
        self.periods = {per: Period(per) for per in PERIODS}

    def of(self, name: str, per: str, now: float) -> int:
        """What was spent in this period, in units."""
        return self.periods[per].counts(now)[name]

    def add(self, names: Iterable[str], cost: int, now: float) -> None:
        """Add what a request cost, in units."""
        for per in PERIODS:
            counts = self.periods[per].counts(now)
            for name in names:
                counts[name] += cost

    def learn(self, name: str, per: str, count: int, now: float) -> None:
        """Take what all gates together have counted."""
        self.periods[per].counts(now)[name] = count

    def owe(self, name: str, counts: Iterable[int], now: float) -> None:
        """Add what nobody was told, in the order of `PERIODS`."""
        for per, count in zip(PERIODS, counts):
            self.periods[per].counts(now)[name] += count

    def known(self, now: float) -> dict[str, tuple[int, ...]]:
        """What is known by name, in the order of `PERIODS`, without what is nothing."""
        counts = [self.periods[per].counts(now) for per in PERIODS]
        found = {name: tuple(count[name] for count in counts) for name in sorted(set().union(*counts))}
        return {name: spent for name, spent in found.items() if any(spent)}

    def dates(self, now: float) -> list[str]:
        """The names of the present periods, in the order of `PERIODS`."""
        return [begin(per, now).isoformat() for per in PERIODS]
