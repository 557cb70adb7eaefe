# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine has counted since it started, from its Prometheus metrics: pure functions over texts.

The text format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from typing import Any, Iterator, Mapping, NamedTuple

# Labels may hold every character; a time may follow the value.
SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPED = re.compile(r"\\(.)")
# The moment at which a process started, in seconds since 1970, where its library tells it.
STARTED = "process_start_time_seconds"
COUNTERS = ("requests", "errors", "aborts", "failed_answers", "preemptions")
HISTOGRAMS = ("first_token", "token")
KEYS = (*COUNTERS, *HISTOGRAMS)


class Sample(NamedTuple):
    """One line of the metrics."""

    name: str
    labels: dict[str, str]
    value: float


class Selector(NamedTuple):
    """A metric, and the values that labels of it must have."""

    name: str
    labels: dict[str, str]

    def selects(self, sample: Sample, end: str = "") -> bool:
        """Return whether a sample is of this metric.

        :param end: what its name has at the end besides.
        """
        same = self.labels.items() <= sample.labels.items()
        return same and sample.name == self.name + end


def samples(text: str) -> Iterator[Sample]:
    """Yield the samples of a text whose values are finite numbers."""
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found:
            try:
                value = float(found[3])
            except ValueError:
                continue
            yield Sample(found[1], _labels(found[2] or ""), value if math.isfinite(value) else 0.0)


def selector(text: str) -> Selector:
    """Return what a text selects that names a metric as Prometheus does: ``name{label="value"}``."""
    name, _brace, labels = text.partition("{")
    return Selector(name.strip(), _labels(labels))


def _labels(text: str) -> dict[str, str]:
    return {
        name: ESCAPED.sub(lambda one: {"n": "\n"}.get(one[1], one[1]), value) for name, value in LABEL.findall(text)
    }


def read(text: str, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what an engine has counted since it started, summed over its cores and models; null if it tells nothing.

    It is ``{started, requests, errors, aborts, failed_answers, preemptions, first_token, token}``. A counter that the
    engine does not have is 0. A histogram, of seconds, is ``{count, total, buckets}``, where ``buckets`` has pairs of
    an upper bound and the number of values up to it, in ascending order and without the infinite one; null where the
    engine does not have it. ``started`` is seconds since 1970, or null.

    :param text: its metrics in Prometheus' text format.
    :param names: ``traffic_metrics`` of its interface.
    """
    all_samples = list(samples(text))
    wanted = {key: selector(names[key]) for key in KEYS if names.get(key)}
    known = {one.name for one in all_samples}
    if "requests" not in wanted or wanted["requests"].name not in known:
        return None
    started = next((one.value for one in all_samples if one.name == STARTED), None)
    found: dict[str, Any] = {"started": started}
    for key in COUNTERS:
        chosen = [one for one in all_samples if key in wanted and wanted[key].selects(one)]
        found[key] = round(sum(one.value for one in chosen))
    for key in HISTOGRAMS:
        found[key] = _histogram(all_samples, wanted[key]) if key in wanted else None
    return found


def _histogram(all_samples: list[Sample], wanted: Selector) -> dict[str, Any] | None:
    counts = [one.value for one in all_samples if wanted.selects(one, "_count")]
    if not counts:
        return None
    buckets: dict[float, float] = {}
    for one in all_samples:
        if wanted.selects(one, "_bucket"):
            try:
                bound = float(one.labels.get("le", ""))
            except ValueError:
                continue
            if math.isfinite(bound):
                buckets[bound] = buckets.get(bound, 0.0) + one.value
    total = sum(one.value for one in all_samples if wanted.selects(one, "_sum"))
    pairs = [[bound, round(buckets[bound])] for bound in sorted(buckets)]
    return {"count": round(sum(counts)), "total": round(total, 6), "buckets": pairs}
