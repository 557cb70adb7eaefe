# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of what was used, from the database or from the gate's own logs.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.usage.lines import Row, Sums, start_of

# By what usage can be told apart. The columns of the database have the same names, but for the two of time.
BY = ("key", "team", "person", "model", "instance", "outcome", "month", "day")
TIMES = {"month": ("%Y-%m", "YYYY-MM"), "day": ("%Y-%m-%d", "YYYY-MM-DD")}
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
DECEMBER = 12


def is_month(text: str) -> bool:
    """Return whether a text names a month, such as 2026-11."""
    return MONTH.fullmatch(text) is not None


def _next(month: str) -> str:
    year, number = (int(part) for part in month.split("-"))
    return f"{year + 1}-01" if number == DECEMBER else f"{year}-{number + 1:02d}"


def query(by: list[str], month: str) -> str:
    """Return the SQL that sums usage: columns as :func:`row` takes them, separated by tabs.

    :param by: some of :data:`BY`.
    :param month: a month (UTC); empty for all.
    """
    chosen = [f"to_char(minute AT TIME ZONE 'UTC', '{TIMES[one][1]}')" if one in TIMES else one for one in by]
    amounts = [f"sum({name})" for name in Sums.NAMES]
    failed = "coalesce(sum(requests) FILTER (WHERE outcome <> 'answered'), 0)"
    text = f"SELECT {', '.join([*chosen, *amounts, failed])} FROM usage.minutes"  # noqa: S608 # nosec B608
    if month:
        text += f" WHERE minute >= '{month}-01 00:00+00' AND minute < '{_next(month)}-01 00:00+00'"
    numbers = ", ".join(str(number + 1) for number in range(len(by)))
    group = f" GROUP BY {numbers} ORDER BY {numbers}" if by else " HAVING count(*) > 0"
    return f"{text}{group};"


def row(by: list[str], fields: list[str]) -> dict[str, Any]:
    """Return a row of a report from the fields of :func:`query`."""
    amounts = fields[len(by) :]
    return _shown(dict(zip(by, fields)), dict(zip((*Sums.NAMES, "others"), map(Decimal, amounts))))


def of_lines(rows: Mapping[Row, Sums], by: list[str], month: str) -> list[dict[str, Any]]:
    """Return the same report from lines of the log, see :func:`lines.summed`."""
    found: dict[tuple[str, ...], dict[str, Decimal]] = {}
    for one, sums in rows.items():
        start = start_of(one.minute)
        if month and start.strftime(TIMES["month"][0]) != month:
            continue
        group = tuple(start.strftime(TIMES[name][0]) if name in TIMES else getattr(one, name) for name in by)
        total = found.setdefault(group, dict.fromkeys((*Sums.NAMES, "others"), Decimal(0)))
        for name in Sums.NAMES:
            total[name] += Decimal(getattr(sums, name))
        total["others"] += 0 if one.outcome == "answered" else sums.requests
    return [_shown(dict(zip(by, group)), found[group]) for group in sorted(found)]


def _shown(names: dict[str, str], sums: Mapping[str, Decimal]) -> dict[str, Any]:
    """Return a row as JSON can have it: counts whole, the cost as text of its exact digits, times in seconds."""
    whole = ("requests", "others", "prompt_tokens", "completion_tokens", "cached_tokens", "first_requests", "uncounted")
    cost = f"{sums['cost']:f}"
    return {
        **names,
        **{name: int(sums[name]) for name in whole},
        "cost": cost.rstrip("0").rstrip(".") if "." in cost else cost,
        "seconds": round(float(sums["seconds"]), 3),
        "first_seconds": round(float(sums["first_seconds"]), 3),
    }
