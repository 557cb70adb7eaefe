# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A size that is estimated, and how far it may be off.

Pure functions; no Ansible, no files, no network. All sizes are bytes.
"""

from __future__ import annotations

import math
from typing import Iterable, NamedTuple


class Estimate(NamedTuple):
    """What is planned for something, and between which sizes it was seen."""

    planned: int
    low: int
    high: int
    what: str = ""
    """What it is, in the words of a message."""
    source: str = ""
    """Where sizes of this kind were seen."""


# What a start measured is not the same to the byte at the next one.
MEASURED_SPREAD = 0.05


def exact(size: int, what: str = "", source: str = "") -> Estimate:
    """Return what was measured: it may be off by 5 %."""
    return Estimate(size, int(size * (1 - MEASURED_SPREAD)), math.ceil(size * (1 + MEASURED_SPREAD)), what, source)


def together(parts: Iterable[Estimate]) -> Estimate:
    """Return several sizes as one; what and source are those of the part that may exceed its plan by most."""
    known = list(parts)
    worst = max(known, key=lambda part: part.high - part.planned, default=Estimate(0, 0, 0))
    planned, low, high = ([getattr(part, name) for part in known] for name in ("planned", "low", "high"))
    return Estimate(sum(planned), sum(low), sum(high), worst.what, worst.source)


def margin(parts: Iterable[Estimate]) -> int:
    """Return the bytes by which several sizes together may exceed their plan.

    Their errors have different causes, so it is the root of the sum of squares of what each may exceed its own by.
    """
    return math.ceil(math.sqrt(sum(max(0, part.high - part.planned) ** 2 for part in parts)))
