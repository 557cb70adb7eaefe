# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an engine has requests, from its Prometheus metrics: pure functions over texts and readings."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import counters

# Readings in a row by which an engine counts as idle, or as one that does not tell.
IDLE_READINGS = 2
SILENT_READINGS = 3
# What a reading says of an engine that nobody listens for: it has no requests.
GONE: Mapping[str, int] = {"running": 0, "waiting": 0}
IDLE, BUSY, SILENT = "idle", "busy", "silent"
Reading = Mapping[str, int]


def requests(text: str, names: Mapping[str, str]) -> dict[str, int] | None:
    """Return the requests in an engine, ``{running, waiting}``, summed over its cores and models; null if it does not
    tell.

    :param text: its metrics in Prometheus' text format.
    :param names: names of the metrics, ``busy_metrics`` of its interface.
    """
    found: dict[str, float] = {}
    for one in counters.samples(text):
        found[one.name] = found.get(one.name, 0) + one.value
    if not names or any(name not in found for name in names.values()):
        return None
    return {kind: round(found[name]) for kind, name in names.items()}


def verdict(readings: Sequence[Reading | None]) -> str:
    """Return whether an engine is :data:`IDLE`, still :data:`BUSY`, or :data:`SILENT`, which nothing is known of.

    One reading can fall between two requests, so two in a row without any are needed.

    :param readings: what it said so far, in order; null where it said nothing.
    """
    last = readings[-IDLE_READINGS:]
    if len(last) == IDLE_READINGS and all(one is not None and not any(one.values()) for one in last):
        return IDLE
    if len(readings) >= SILENT_READINGS and all(one is None for one in readings[-SILENT_READINGS:]):
        return SILENT
    return BUSY


def left(name: str, readings: Sequence[Reading | None]) -> dict[str, Any]:
    """Return what an instance had left at the last reading, ``{name, running, waiting}``; null if nothing was said."""
    last = readings[-1] if readings else None
    return {"name": name, "running": None, "waiting": None, **(last or {})}
