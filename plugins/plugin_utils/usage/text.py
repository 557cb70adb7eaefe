# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was used, in a form for people and programs: a table, CSV or JSON.

Pure functions over rows of usage_info; no Ansible, no files, no network.
"""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import report

FORMATS = ("table", "csv", "json")
COUNTS = ("requests", "others", "prompt_tokens", "completion_tokens", "cached_tokens")
AMOUNTS = (*COUNTS, "first_requests", "uncounted", "seconds", "first_seconds")
NOTHING = "No usage is booked there."
# A report of its own, of budgets in place of usage.
BUDGET = "budget"
OF_BUDGETS = ("kind", "name", "per", "since", "amount", "spent", "left")
NO_BUDGETS = "No key, team or model has a budget."


def columns(by: Any) -> list[str]:
    """Return what usage_info tells usage apart by, which returns budgets in any case."""
    return [name for name in names(by) if name != BUDGET]


def names(by: Any) -> list[str]:
    """Return what usage is told apart by, from a list or names joined by commas."""
    given = by.split(",") if isinstance(by, str) else by
    return [str(name).strip() for name in given if str(name).strip()]


def problems(by: Any, month: Any, form: Any) -> list[Problem]:
    """Return what is wrong with the words of a report."""
    known = (*report.BY, BUDGET)
    found = [
        Problem("by", name, "usage is not told apart by it", nearest(name, known))
        for name in names(by)
        if name not in known
    ]
    if BUDGET in names(by) and len(names(by)) > 1:
        found.append(Problem("by", by, "budgets are a report of their own", f"give {BUDGET} alone"))
    if BUDGET in names(by) and month:
        found.append(Problem("month", month, "budgets are those of the present day, week or month", "leave it out"))
    if len(set(names(by))) < len(names(by)):
        found.append(Problem("by", by, "it has a name twice", "name each once"))
    if month and not report.is_month(str(month)):
        found.append(Problem("month", month, "it is no month", "give one such as 2026-11, or leave it out for all"))
    if form not in FORMATS:
        found.append(Problem("format", form, "there is no such form", f"give one of {', '.join(FORMATS)}"))
    return found


def together(results: list[dict[str, Any]], by: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the fleet: those of the database, which has all gateways, or the sums of their own logs.

    :param results: results of usage_info, one for each gateway.
    """
    for one in results:
        if one["source"] == "database":
            return list(one["rows"])
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in results:
        for entry in one["rows"]:
            group = tuple(str(entry[name]) for name in by)
            total = found.setdefault(
                group, {**{name: entry[name] for name in by}, **dict.fromkeys(AMOUNTS, 0), "cost": "0"}
            )
            for name in AMOUNTS:
                total[name] = round(total[name] + entry[name], 3)
            total["cost"] = f"{Decimal(total['cost']) + Decimal(entry['cost']):f}"
    return [found[group] for group in sorted(found)]


def _columns(entry: dict[str, Any], by: list[str]) -> dict[str, Any]:
    """Return a row with means in place of sums of times."""
    requests, first = entry["requests"], entry["first_requests"]
    return {
        **{name: entry[name] for name in (*by, *COUNTS)},
        "cost": entry["cost"],
        "mean_seconds": round(entry["seconds"] / requests, 3) if requests else 0.0,
        "mean_first_seconds": round(entry["first_seconds"] / first, 3) if first else 0.0,
    }


def text(results: list[dict[str, Any]], by: Any, form: str) -> str:
    """Return the usage of the fleet as a text.

    :param results: results of usage_info, one for each gateway that answered.
    :param by: what it is told apart by, see :func:`names`.
    :param form: one of :data:`FORMATS`.
    """
    wanted = names(by)
    if BUDGET in wanted:
        return _written(budgets(results), list(OF_BUDGETS), form, NO_BUDGETS)
    rows = [_columns(entry, wanted) for entry in together(results, wanted)]
    return _written(rows, [*wanted, *COUNTS, "cost", "mean_seconds", "mean_first_seconds"], form, NOTHING)


def budgets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the budgets of the fleet with what is spent: by the database, or by the logs of all gateways together."""
    for one in results:
        if one["source"] == "database":
            return list(one["budgets"])
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for budget in (budget for one in results for budget in one["budgets"]):
        known = found.setdefault((budget["kind"], budget["name"]), {**budget, "spent": "0"})
        spent = Decimal(known["spent"]) + Decimal(budget["spent"])
        known.update(spent=f"{spent:f}", left=f"{Decimal(known['amount']) - spent:f}")
    return list(found.values())


def _written(rows: list[dict[str, Any]], heads: list[str], form: str, nothing: str) -> str:
    """Return rows as JSON, CSV or a table.

    :param nothing: what a table says that has no rows.
    """
    if form == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if form == "csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().rstrip("\n")
    if not rows:
        return nothing
    return table(([str(entry[name]) or "-" for name in heads] for entry in rows), heads)
