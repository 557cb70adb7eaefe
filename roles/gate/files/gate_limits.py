# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of keys and models: requests and tokens of a minute, and requests at once.

One process counts, so the counts are exact. A minute is one of the clock; tokens are booked when they are known, so a
key may exceed its tokens by those of its requests in flight. A refused request uses up nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

MINUTE = 60.0


class Limited(Protocol):
    """What has limits: a key or a model."""

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
class Slot:
    """One request in flight: what it holds until it ends."""

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

    def admit(self, alias: str, key: Limited, name: str, model: Limited, now: float) -> Slot:
        """Count a request of a key for a model, or raise LimitReachedError and count nothing."""
        sides = ((f"key/{alias}", f"The API key {alias}", key), (f"model/{name}", f"The model {name}", model))
        requests, tokens = self._requests.counts(now), self._tokens.counts(now)
        wait = max(1, math.ceil(MINUTE - now % MINUTE))
        for counted, title, limits in sides:
            if limits.rpm is not None and requests[counted] >= limits.rpm:
                raise LimitReachedError(f"{title} has had its {limits.rpm} requests of this minute.", "rpm", wait)
            if limits.tpm is not None and tokens[counted] >= limits.tpm:
                raise LimitReachedError(f"{title} has had its {limits.tpm} tokens of this minute.", "tpm", wait)
        for counted, title, limits in sides:
            most = limits.max_parallel_requests
            if most is not None and self._running[counted] >= most:
                raise LimitReachedError(f"{title} has its {most} requests at once.", "max_parallel_requests", 1)
        share = self.share(key, model)
        if share is not None and self._shares[alias, name] >= share:
            message = f"The API key {alias} has its share of {share} requests at once of the model {name}."
            raise LimitReachedError(message, "key_share", 1)
        for counted, _title, _limits in sides:
            requests[counted] += 1
            self._running[counted] += 1
        self._shares[alias, name] += 1
        return Slot(alias, name)

    def share(self, key: Limited, model: Limited) -> int | None:
        """Requests at once of a key that has no limit of its own, so that no key holds a whole model."""
        if key.max_parallel_requests is not None or model.max_parallel_requests is None:
            return None
        return max(1, int(model.max_parallel_requests * self.key_share))

    def end(self, slot: Slot, tokens: int, now: float) -> None:
        """Give back what a request held, and book its tokens."""
        booked = self._tokens.counts(now)
        for counted in (f"key/{slot.key}", f"model/{slot.model}"):
            booked[counted] += tokens
            self._running[counted] -= 1
            if not self._running[counted]:
                del self._running[counted]
        self._shares[slot.key, slot.model] -= 1
        if not self._shares[slot.key, slot.model]:
            del self._shares[slot.key, slot.model]
