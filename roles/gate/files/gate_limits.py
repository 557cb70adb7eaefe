# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of keys, teams and models: requests and tokens of a minute, requests at once, and what may be spent.

One process counts here, so its counts are exact; gate_shared.py counts for several. A minute is one of the clock. As
tokens and costs are booked when they are known, a key may exceed them by those of its requests in flight. A refused
request uses up nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gate_budgets import Budget, Spent, left, shown
from gate_cost import text as digits

MINUTE = 60.0
TITLES = {"key": "The API key", "team": "The team", "model": "The model"}


class Limited(Protocol):
    """What has limits: a key, a team or a model."""

    @property
    def rpm(self) -> int | None: ...
    @property
    def tpm(self) -> int | None: ...
    @property
    def max_parallel_requests(self) -> int | None: ...


class LimitReachedError(Exception):
    """A request that has to come back after `retry_after` seconds."""

    def __init__(self, message: str, limit: str, retry_after: int) -> None:
        super().__init__(message)
        self.message, self.limit, self.retry_after = message, limit, retry_after


@dataclass(frozen=True)
class Side:
    """Somebody for whom a request counts. `kind` is one of `TITLES`, and `name` is an alias or a name."""

    kind: str
    name: str
    limits: Limited
    # None also where the request costs nothing.
    budget: Budget | None = None

    @property
    def counted(self) -> str:
        """The name of its counts."""
        return f"{self.kind}/{self.name}"

    @property
    def title(self) -> str:
        """How a message begins that is about it."""
        return f"{TITLES[self.kind]} {self.name}"


class Row(NamedTuple):
    """A count with its limits: that of a side, or of a key's requests in flight at the model `share_of`."""

    name: str
    title: str
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    share_of: str = ""
    budget: Budget | None = None

    def reached(self, limit: str, now: float, spent: int = 0) -> LimitReachedError:
        """What a request is told whose limit is reached: `budget`, `rpm`, `tpm` or `parallel`. `spent` is in units."""
        if limit == "budget" and self.budget:
            amount, per = digits(self.budget.amount), self.budget.per
            message = f"{self.title} has spent {shown(spent)} of its budget of {amount} for this {per}."
            return LimitReachedError(message, "budget_exceeded", left(per, now))
        wait = max(1, math.ceil(MINUTE - now % MINUTE))
        if limit == "rpm":
            return LimitReachedError(f"{self.title} has had its {self.rpm} requests of this minute.", "rpm", wait)
        if limit == "tpm":
            return LimitReachedError(f"{self.title} has had its {self.tpm} tokens of this minute.", "tpm", wait)
        if not self.share_of:
            message = f"{self.title} has its {self.parallel} requests at once."
            return LimitReachedError(message, "max_parallel_requests", 1)
        message = f"{self.title} has its share of {self.parallel} requests at once of the model {self.share_of}."
        return LimitReachedError(message, "key_share", 1)


@dataclass(frozen=True, eq=False)
class Slot:
    """For whom a request counts until it ends; all requests of a key to a model have the same."""

    key: str
    model: str
    # Names of counts: those of its sides, its key first and its model last, and that of its key's share of the model.
    counted: tuple[str, ...]
    share: str
    # Those that have a limit, in the order in which they are checked.
    rows: tuple[Row, ...]


def shared(key: str, model: str) -> str:
    """The name of the count of a key's requests at a model; both may have slashes."""
    return f"share/{len(key)}/{key}/{model}"


class Minute:
    """Counts by name that begin anew with each minute of the clock."""

    def __init__(self) -> None:
        self._minute = -1
        self._counts: Counter[str] = Counter()

    def counts(self, now: float) -> Counter[str]:
        """The counts of the minute of `now`, in seconds since the epoch."""
        minute = int(now // MINUTE)
        # A clock that is set back a little goes on with the counts that it has. One that was far ahead would otherwise
        # never begin anew.
        if not self._minute - 1 <= minute <= self._minute:
            self._minute, self._counts = minute, Counter()
        return self._counts


class Limits:
    """Who has used how much. Keys are counted by alias, so that a rotated key goes on with what it had used."""

    def __init__(self, key_share: float = 0.5) -> None:
        self.key_share = key_share
        self._requests, self._tokens = Minute(), Minute()
        self.spent = Spent()
        # Of each side, and of each key at each model, for keys that have a share of its slots.
        self._running: Counter[str] = Counter()

    def slot(self, sides: Sequence[Side]) -> Slot:
        """For whom requests of these sides count while settings and keys stay as they are.

        The first side is the key, the last one the model.
        """
        key, model = sides[0].name, sides[-1].name
        counted = tuple(side.counted for side in sides)
        return Slot(key, model, counted, shared(key, model), self._rows(sides))

    def admit(self, slot: Slot, now: float) -> None:
        """Count a request, or raise LimitReachedError and count nothing."""
        requests, tokens = self._requests.counts(now), self._tokens.counts(now)
        for row in slot.rows:
            if row.budget and (spent := self.spent.of(row.name, row.budget.per, now)) >= row.budget.units:
                raise row.reached("budget", now, spent)
        for row in slot.rows:
            if row.rpm is not None and requests[row.name] >= row.rpm:
                raise row.reached("rpm", now)
            if row.tpm is not None and tokens[row.name] >= row.tpm:
                raise row.reached("tpm", now)
        for row in slot.rows:
            if row.parallel is not None and self._running[row.name] >= row.parallel:
                raise row.reached("parallel", now)
        self.take(slot, now)

    def take(self, slot: Slot, now: float) -> None:
        """Count a request, whatever the limits are."""
        requests, running = self._requests.counts(now), self._running
        for counted in slot.counted:
            requests[counted] += 1
            running[counted] += 1
        running[slot.share] += 1

    def _rows(self, sides: Sequence[Side]) -> tuple[Row, ...]:
        """The counts of a request that have a limit."""
        rows = []
        for side in sides:
            limits = side.limits
            given = (limits.rpm, limits.tpm, limits.max_parallel_requests)
            if given != (None, None, None) or side.budget:
                rows.append(Row(side.counted, side.title, *given, budget=side.budget))
        key, model = sides[0], sides[-1]
        share = self.share(key.limits, model.limits)
        if share is not None:
            name = shared(key.name, model.name)
            rows.append(Row(name, key.title, parallel=share, share_of=model.name))
        return tuple(rows)

    def learn(self, name: str, requests: int | None, tokens: int | None, now: float) -> None:
        """Take what all gates together have counted in this minute."""
        if requests is not None:
            self._requests.counts(now)[name] = requests
        if tokens is not None:
            self._tokens.counts(now)[name] = tokens

    def known(self, now: float) -> Iterator[tuple[str, int, int]]:
        """Name, requests and tokens of each count of this minute."""
        requests, tokens = self._requests.counts(now), self._tokens.counts(now)
        for name in sorted({*requests, *tokens}):
            yield name, requests[name], tokens[name]

    def share(self, key: Limited, model: Limited) -> int | None:
        """Requests at once of a key that has no limit of its own, so that no key holds a whole model."""
        if key.max_parallel_requests is not None or model.max_parallel_requests is None:
            return None
        return max(1, int(model.max_parallel_requests * self.key_share))

    def end(self, slot: Slot, tokens: int, now: float, cost: int = 0) -> None:
        """Give back what a request held, and book its tokens and its cost in units."""
        if cost:
            self.spent.add([row.name for row in slot.rows if row.budget], cost, now)
        booked, running = self._tokens.counts(now), self._running
        for counted in slot.counted:
            booked[counted] += tokens
        for counted in (*slot.counted, slot.share):
            running[counted] -= 1
            if not running[counted]:
                del running[counted]
