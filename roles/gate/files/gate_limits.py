# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of keys, teams and models: requests and tokens of a minute, and requests at once.

One process counts here, so its counts are exact; gate_shared.py counts for several. A minute is one of the clock. As
tokens are booked when they are known, a key may exceed its tokens by those of its requests in flight. A refused request
uses up nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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

    def reached(self, limit: str, now: float) -> LimitReachedError:
        """What a request is told whose limit is reached: `rpm`, `tpm` or `parallel`."""
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


@dataclass(frozen=True)
class Slot:
    """One request in flight: for whom it counts until it ends, its key first and its model last."""

    counted: tuple[str, ...]
    key: str
    model: str
    # What all gates count of it together.
    rows: tuple[Row, ...] = ()


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
        # Of each side, and of each key at each model, for keys that have a share of its slots.
        self._running: Counter[str] = Counter()

    def admit(self, sides: Sequence[Side], now: float) -> Slot:
        """Count a request for all its sides, or raise LimitReachedError and count nothing.

        The first side is the key, the last one the model.
        """
        requests, tokens = self._requests.counts(now), self._tokens.counts(now)
        rows = self.rows(sides)
        for row in rows:
            if row.rpm is not None and requests[row.name] >= row.rpm:
                raise row.reached("rpm", now)
            if row.tpm is not None and tokens[row.name] >= row.tpm:
                raise row.reached("tpm", now)
        for row in rows:
            if row.parallel is not None and self._running[row.name] >= row.parallel:
                raise row.reached("parallel", now)
        return self.take(sides, now)

    def take(self, sides: Sequence[Side], now: float) -> Slot:
        """Count a request, whatever the limits are."""
        key, model = sides[0], sides[-1]
        requests = self._requests.counts(now)
        slot = Slot(tuple(side.counted for side in sides), key.name, model.name)
        for counted in slot.counted:
            requests[counted] += 1
            self._running[counted] += 1
        self._running[shared(slot.key, slot.model)] += 1
        return slot

    def rows(self, sides: Sequence[Side]) -> tuple[Row, ...]:
        """The counts of a request that have a limit, in the order in which they are checked."""
        rows = []
        for side in sides:
            limits = side.limits
            given = (limits.rpm, limits.tpm, limits.max_parallel_requests)
            if given != (None, None, None):
                rows.append(Row(side.counted, side.title, *given))
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

    def end(self, slot: Slot, tokens: int, now: float) -> None:
        """Give back what a request held, and book its tokens."""
        booked = self._tokens.counts(now)
        for counted in slot.counted:
            booked[counted] += tokens
        for counted in (*slot.counted, shared(slot.key, slot.model)):
            self._running[counted] -= 1
            if not self._running[counted]:
                del self._running[counted]
