# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the gate's usage log, summed by minute and by who used what.

The role usage copies this file to gateways, so it imports nothing of the collection. No prompt and no key is in a line;
what names a key is its alias.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Iterable, Mapping, NamedTuple

# Texts of a line by which its requests are counted apart, and what they are cut to.
NAMES = ("key", "team", "person", "model", "instance")
MOST_LETTERS = 200
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A cost as the gate writes it, in which the prices of its time are.
COST = re.compile(r"[0-9]{1,30}(\.[0-9]{1,40})?", re.ASCII)
# A line with more than this in a number was not written by the gate.
MOST = 1 << 53
# The status that the gate gives to a request whose client left.
LEFT = 499
OUTCOMES = ("answered", "left", "refused", "failed")
SECONDS_OF_A_MINUTE = 60
# The first and the last time that is one: years 2000 and 2200.
FIRST_TIME, LAST_TIME = 946684800, 7258118400


class Row(NamedTuple):
    """Whose requests of a minute are counted together."""

    minute: int
    """Minutes since 1970 (UTC)."""
    key: str
    team: str
    person: str
    model: str
    instance: str
    outcome: str
    """One of :data:`OUTCOMES`."""


class Sums:
    """What requests used together."""

    NAMES = (
        "requests",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "cost",
        "seconds",
        "first_seconds",
        "first_requests",
        "uncounted",
    )
    __slots__ = NAMES

    def __init__(self) -> None:
        self.requests = self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
        self.cost = Decimal(0)
        self.seconds = self.first_seconds = 0.0
        # Requests of which the time to the first byte is known, and those whose tokens nobody counted.
        self.first_requests = self.uncounted = 0

    def add(self, other: Sums) -> None:
        """Add what other requests used."""
        for name in self.NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


# Prices of a token by model, as text: of a prompt's, and of an answer's.
Prices = Mapping[str, Mapping[str, Any]]


def outcome(status: int) -> str:
    """Return what became of a request, by its status."""
    if status == LEFT:
        return "left"
    return "answered" if status < 400 else "refused" if status < 500 else "failed"


def name_of(value: Any) -> str:
    """Return a text that a store can keep; empty for what is none."""
    return CONTROL.sub("", value)[:MOST_LETTERS] if isinstance(value, str) else ""


def _count(value: Any) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST
    return value if good else 0


def _seconds(value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if good else 0.0


def _cost(sums: Sums, price: Mapping[str, Any]) -> Decimal:
    """Return what a request costs whose line has no cost, as lines of earlier versions of the gate have none."""
    prompt, completion = (Decimal(str(price.get(name) or 0)) for name in ("input_per_token", "output_per_token"))
    return prompt * sums.prompt_tokens + completion * sums.completion_tokens


def read(line: bytes, prices: Prices) -> tuple[Row, Sums] | None:
    """Return what a line counts for; None for one that is no line of the log."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    time, status = _seconds(entry.get("time")), _count(entry.get("status"))
    if not FIRST_TIME <= time < LAST_TIME or not status:
        return None
    key, team, person, model, instance = (name_of(entry.get(name)) for name in NAMES)
    sums = Sums()
    sums.requests = 1
    sums.prompt_tokens, sums.completion_tokens = (
        _count(entry.get("prompt_tokens")),
        _count(entry.get("completion_tokens")),
    )
    sums.cached_tokens, sums.seconds = _count(entry.get("cached_tokens")), _seconds(entry.get("seconds"))
    sums.uncounted = 0 if entry.get("usage_known") is True else 1
    if entry.get("first_byte_seconds") is not None:
        sums.first_seconds, sums.first_requests = _seconds(entry["first_byte_seconds"]), 1
    written = entry.get("cost")
    if isinstance(written, str) and COST.fullmatch(written):
        sums.cost = Decimal(written)
    else:
        sums.cost = _cost(sums, prices.get(model) or {})
    minute = int(time) // SECONDS_OF_A_MINUTE
    return Row(minute, key, team, person, model, instance, outcome(status)), sums


def summed(lines: Iterable[bytes], prices: Prices) -> tuple[dict[Row, Sums], int]:
    """Return what lines count for by row, and how many of them could not be read."""
    found: dict[Row, Sums] = {}
    unreadable = 0
    for line in lines:
        one = read(line, prices)
        if one is None:
            unreadable += 1
        else:
            found.setdefault(one[0], Sums()).add(one[1])
    return found, unreadable


def start_of(minute: int) -> datetime:
    """Return when a minute begins (UTC)."""
    return datetime.fromtimestamp(minute * SECONDS_OF_A_MINUTE, timezone.utc)
