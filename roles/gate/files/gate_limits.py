# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of keys, teams and models: requests and tokens of a minute, and requests at once.

One process counts, so the counts are exact. A minute is one of the clock; tokens are booked when they are known, so a
key may exceed its tokens by those of its requests in flight. A refused request uses up nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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


@dataclass(frozen=True)
class Slot:
    """One request in flight: for whom it counts until it ends, its key first and its model last."""

    counted: tuple[str, ...]
    key: str
    model: str


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
        self._running: Counter[str] = Counter()
        # Of each key and model, for keys that have a share of its slots.
        self._shares: Counter[tuple[str, str]] = Counter()

    def admit(self, sides: Sequence[Side], now: float) -> Slot:
        """Count a request for all its sides, or raise LimitReachedError and count nothing.

        The first side is the key, the last one the model.
        """
        key, model = sides[0], sides[-1]
        requests, tokens = self._requests.counts(now), self._tokens.counts(now)
        wait = max(1, math.ceil(MINUTE - now % MINUTE))
        for side in sides:
            rpm, tpm = side.limits.rpm, side.limits.tpm
            if rpm is not None and requests[side.counted] >= rpm:
                raise LimitReachedError(f"{side.title} has had its {rpm} requests of this minute.", "rpm", wait)
            if tpm is not None and tokens[side.counted] >= tpm:
                raise LimitReachedError(f"{side.title} has had its {tpm} tokens of this minute.", "tpm", wait)
        for side in sides:
            most = side.limits.max_parallel_requests
            if most is not None and self._running[side.counted] >= most:
                raise LimitReachedError(f"{side.title} has its {most} requests at once.", "max_parallel_requests", 1)
        share = self.share(key.limits, model.limits)
        if share is not None and self._shares[key.name, model.name] >= share:
            message = f"{key.title} has its share of {share} requests at once of the model {model.name}."
            raise LimitReachedError(message, "key_share", 1)
        slot = Slot(tuple(side.counted for side in sides), key.name, model.name)
        for counted in slot.counted:
            requests[counted] += 1
            self._running[counted] += 1
        self._shares[slot.key, slot.model] += 1
        return slot

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
            self._running[counted] -= 1
            if not self._running[counted]:
                del self._running[counted]
        self._shares[slot.key, slot.model] -= 1
        if not self._shares[slot.key, slot.model]:
            del self._shares[slot.key, slot.model]
