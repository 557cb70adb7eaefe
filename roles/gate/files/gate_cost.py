# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request costs, by the prices that are in force when it ends. Decimal numbers, so sums of many are exact.

The log has the cost of each request, so a price that changes later does not change what was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

FIELDS = ("input_per_token", "output_per_token", "cached_per_token")
AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,30})?", re.ASCII)
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Price:
    """Prices of one token, in the currency of the inventory: of a prompt, of an answer, and of a prompt's tokens that
    were in an engine's cache, which is that of others unless it is given.
    """

    input_per_token: Decimal = NOTHING
    output_per_token: Decimal = NOTHING
    cached_per_token: Decimal | None = None

    @property
    def free(self) -> bool:
        """Whether nothing costs anything."""
        return not (self.input_per_token or self.output_per_token or self.cached_per_token)

    def of(self, prompt: int, completion: int, cached: int) -> Decimal:
        """The cost of so many tokens; the cached ones are among those of the prompt."""
        if self.cached_per_token is None:
            return self.input_per_token * prompt + self.output_per_token * completion
        cached = min(cached, prompt)
        new = self.input_per_token * (prompt - cached)
        return new + self.cached_per_token * cached + self.output_per_token * completion


FREE = Price()


def price(given: object) -> Price:
    """Prices as the settings have them, as texts; ValueError says what is wrong."""
    if not isinstance(given, dict):
        raise ValueError("cost must be an object")
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise ValueError(f"cost: unknown fields {', '.join(unknown)}")
    for name, value in given.items():
        if not isinstance(value, str) or not AMOUNT.fullmatch(value):
            raise ValueError(f"cost: {name} must be a number in a text, not {value!r}")
    return Price(**{name: Decimal(value) for name, value in given.items()})


def text(cost: Decimal) -> str:
    """A cost with all its digits, and none that say nothing."""
    return f"{cost.normalize():f}"
