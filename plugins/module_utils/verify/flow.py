# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What engines did between two readings of their counters (`engines/counters.py`).

Pure functions: readings are handed in.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple

# Seconds by which two readings of the same start may differ.
SAME_START = 1.0


class Times(NamedTuple):
    """A histogram of seconds: how many values, their sum, and by upper bound how many are up to it."""

    values: int = 0
    total: float = 0.0
    buckets: Mapping[float, int] = {}

    @property
    def mean(self) -> float | None:
        """Return the mean in seconds, which is exact; null for no values."""
        return self.total / self.values if self.values else None

    def bucket(self, share: float) -> tuple[float, float | None]:
        """Return the bounds of the bucket in which a quantile lies, the upper one null in the last bucket.

        :param share: which quantile, 0.95 for instance.
        """
        below = 0.0
        for bound in sorted(self.buckets):
            if self.buckets[bound] >= share * self.values:
                return below, bound
            below = bound
        return below, None

    def quantile(self, share: float) -> float | None:
        """Return a quantile in seconds as Prometheus' ``histogram_quantile`` does: by linear interpolation within its
        bucket, and the highest bound for what lies above it; null for no values.

        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.values:
            return None
        lower, upper = self.bucket(share)
        if upper is None:
            return lower
        before = self.buckets.get(lower, 0)
        inside = self.buckets[upper] - before
        return lower + (upper - lower) * (share * self.values - before) / inside if inside else upper


class Flow(NamedTuple):
    """What ended between two readings: requests, how many of them with errors and by aborts, preemptions, and times."""

    requests: int = 0
    errors: int = 0
    aborts: int = 0
    preemptions: int = 0
    first_token: Times = Times()
    token: Times = Times()


def restarted(began: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether an engine started anew between two readings: its process is another one, or counts went down."""
    if began.get("started") and now.get("started"):
        return abs(float(now["started"]) - float(began["started"])) > SAME_START
    keys = ("requests", "errors", "aborts", "failed_answers", "preemptions")
    return any(int(now[key]) < int(began[key]) for key in keys)


def between(began: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Flow:
    """Return what happened between two readings of one process.

    An answer that failed counts as a request, too: the engine itself counts none where its API refuses one. What it
    counts as an error is one of these answers, unless it was a stream that had begun.

    :param began: the first reading; null for the start of the process.
    """
    start = began or {}
    keys = ("requests", "errors", "aborts", "failed_answers", "preemptions")
    ended, errors, aborts, failed, preemptions = (max(0, int(now[key]) - int(start.get(key) or 0)) for key in keys)
    return Flow(
        ended + max(0, failed - errors),
        max(errors, failed),
        aborts,
        preemptions,
        _times(start.get("first_token"), now.get("first_token")),
        _times(start.get("token"), now.get("token")),
    )


def _times(began: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Times:
    if not now:
        return Times()
    before = {float(bound): int(count) for bound, count in (began or {}).get("buckets") or []}
    return Times(
        max(0, int(now["count"]) - int((began or {}).get("count") or 0)),
        max(0.0, float(now["total"]) - float((began or {}).get("total") or 0)),
        {float(bound): max(0, int(count) - before.get(float(bound), 0)) for bound, count in now["buckets"]},
    )


def together(flows: Iterable[Flow]) -> Flow:
    """Return what several instances did."""
    found = Flow()
    for one in flows:
        found = Flow(
            found.requests + one.requests,
            found.errors + one.errors,
            found.aborts + one.aborts,
            found.preemptions + one.preemptions,
            _sum(found.first_token, one.first_token),
            _sum(found.token, one.token),
        )
    return found


def _sum(one: Times, other: Times) -> Times:
    """Add two histograms. Of bounds that differ, those remain that both have."""
    if not one.values or not other.values:
        return one if one.values else other
    shared = set(one.buckets) & set(other.buckets)
    buckets = {bound: one.buckets[bound] + other.buckets[bound] for bound in shared}
    return Times(one.values + other.values, one.total + other.total, buckets)
