# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a dashboard consists of.

Pure types; no Ansible, no files, no network. An expression may contain ``$model``, ``$host`` or ``$key``, the variables
of its dashboard, each as the pattern of a label: ``{model=~"$model"}``. A legend names labels as ``{{label}}``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Units of values. All times are in seconds, all shares from 0 to 1.
UNITS = (
    "seconds",
    "share",
    "count",
    "requests/s",
    "tokens/s",
    "bytes",
    "bytes/s",
    "celsius",
    "watts",
    "megahertz",
    "tokens/joule",
    "per second",
)
KINDS = ("lines", "areas", "number", "table")


class Query(NamedTuple):
    """One expression of a panel."""

    expr: str
    """PromQL, with the variables of the dashboard."""
    legend: str
    """Name of each series, with its labels as ``{{label}}``."""


class Panel(NamedTuple):
    """One chart."""

    title: str
    unit: str
    """One of ``UNITS``."""
    queries: tuple[Query, ...]
    help: str
    """What it shows, and what it means, in one or two sentences."""
    kind: str = "lines"
    """One of ``KINDS``: ``areas`` are stacked; ``number`` and ``table`` show the present only."""


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


class Variable(NamedTuple):
    """A label whose values a reader chooses from."""

    name: str
    """Name of the label and of the variable."""
    title: str
    series: str
    """A selector of the series whose label it is."""


class Dashboard(NamedTuple):
    """One page of charts."""

    key: str
    """Stable name in lower case: the identifier in Grafana is ``llmfleet-KEY``."""
    title: str
    help: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels in their order."""
        return tuple(panel for row in self.rows for panel in row.panels)


MODEL = Variable("model", "Model", 'up{replica!=""}')
HOST = Variable("host", "Host", 'up{host!=""}')
KEY = Variable("key", "Key", "llmfleet_gate_requests_total")
CARD_HOST = Variable("host", "Host", "DCGM_FI_DEV_GPU_UTIL")

VARIABLE = re.compile(r"[$]([a-z]+)")


def q(expr: str, legend: str) -> Query:
    """Return a query; line breaks of the expression are for its reader alone."""
    return Query(" ".join(expr.split()), legend)


def quantile(share: float, metric: str, by: str, where: str = "") -> str:
    """Return the expression of a quantile of a histogram over five minutes.

    :param share: from 0 to 1.
    :param metric: name of the histogram, without ``_bucket``.
    :param by: labels that are kept.
    :param where: matchers of labels.
    """
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{where}}}[5m])))"
