# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens per second and cost per million tokens: from what was measured or is given, never guessed. Pure functions."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import speeds

SECONDS = 3600
MILLION = 1_000_000
HOW_RATE = (
    "tokens per second are unknown: no formula tells them. Measure the model on such cards with "
    "playbooks/benchmark.yml, or give those of one answer under full load with -e tokens_per_second=N"
)
HOW_COST = "give what the cards cost in an hour with -e cost_per_hour=N"


class Given(NamedTuple):
    """What is known of speed and price."""

    tokens_per_second: float | None = None
    """Of one answer under full load, as in `llm_models`."""
    cost_per_hour: float | None = None
    """Of all cards together, in any currency."""


def of(given: Given, users: int, measured: Mapping[str, Any] | None = None, replicas: int = 1) -> dict[str, Any]:
    """Return tokens per second of all requests together and the cost of a million of them; null is unknown.

    What is given counts before what was measured. Measured is full load of a replica; fewer requests get their share
    of it, which is less than they get on an engine that is not full.

    :param users: requests at once.
    :param measured: speed of one replica (`fleet.speeds`).
    """
    total = None if given.tokens_per_second is None else given.tokens_per_second * max(1, users)
    said = None
    if total is None and measured:
        full = measured["at_once"] * replicas
        total = measured["tokens_per_second"] * replicas * min(1.0, max(1, users) / full)
        said = speeds.sentence(measured)
    price = None if total is None or given.cost_per_hour is None else given.cost_per_hour / (total * SECONDS) * MILLION
    unknown = []
    if total is None:
        unknown.append(HOW_RATE)
    if given.cost_per_hour is None:
        unknown.append(f"cost per million tokens is unknown: {HOW_COST}")
    return {
        "tokens_per_second": total,
        "measured": said,
        "cost_per_hour": given.cost_per_hour,
        "cost_per_million_tokens": price,
        "unknown": unknown,
    }
