# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keys, teams and models have spent of their budgets, from the database or from the gate's own log.

Pure functions; no Ansible, no files, no network. Periods are those of the gate (gate_budgets.py): of the calendar, in
UTC, and a week begins on Monday.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.usage.lines import Row, Sums, start_of

# Who has budgets; columns of the database have the same names.
KINDS = ("key", "team", "model")
PERIODS = ("day", "week", "month")


def first_day(per: str, now: float) -> date:
    """Return the first day of a period.

    :param per: one of :data:`PERIODS`.
    :param now: a moment in it, in seconds since 1970.
    """
    today = datetime.fromtimestamp(now, timezone.utc).date()
    if per == "week":
        return today - timedelta(days=today.weekday())
    return today.replace(day=1) if per == "month" else today


def given(keys: Mapping[str, Any], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the budgets that a gate knows, each with ``kind``, ``name``, ``amount`` and ``per``.

    :param keys: its ``keys.json``, with ``keys`` and ``teams``.
    :param settings: its ``gate.json``, with ``models``.
    """
    entries = [("key", "alias", keys.get("keys")), ("team", "name", keys.get("teams"))]
    found = []
    for kind, name, several in (*entries, ("model", "name", settings.get("models"))):
        having = [(one[name], one["budget"]) for one in several or [] if one.get("budget")]
        found += [{"kind": kind, "name": who, "amount": _text(one["amount"]), "per": one["per"]} for who, one in having]
    return sorted(found, key=lambda one: (KINDS.index(one["kind"]), one["name"]))


def query(budgets: list[dict[str, Any]], now: float) -> str:
    """Return the SQL for what was spent, with columns kind, per, name and cost; empty if there are no budgets."""
    wanted = sorted({(one["kind"], one["per"]) for one in budgets})
    parts = [
        f"SELECT '{kind}', '{per}', {kind}, sum(cost) FROM usage.minutes "  # noqa: S608 # nosec B608
        f"WHERE minute >= '{first_day(per, now)} 00:00+00' GROUP BY {kind}"
        for kind, per in wanted
    ]
    return " UNION ALL ".join(parts) + ";" if parts else ""


def of_fields(budgets: list[dict[str, Any]], rows: list[list[str]], now: float) -> list[dict[str, Any]]:
    """Return budgets with what is spent and left of them, from the fields of :func:`query`."""
    return _shown(budgets, {(kind, per, name): Decimal(cost) for kind, per, name, cost in rows}, now)


def of_lines(budgets: list[dict[str, Any]], rows: Mapping[Row, Sums], now: float) -> list[dict[str, Any]]:
    """Return the same from lines of the log, see :func:`lines.summed`."""
    costs: dict[tuple[str, str, str], Decimal] = {}
    wanted = {(one["kind"], one["per"]): first_day(one["per"], now) for one in budgets}
    for row, sums in rows.items():
        day = start_of(row.minute).date()
        for (kind, per), first in wanted.items():
            if day >= first:
                group = (kind, per, getattr(row, kind))
                costs[group] = costs.get(group, Decimal(0)) + sums.cost
    return _shown(budgets, costs, now)


def _shown(
    budgets: list[dict[str, Any]], costs: Mapping[tuple[str, str, str], Decimal], now: float
) -> list[dict[str, Any]]:
    """Return budgets with ``since``, ``spent`` and ``left``; amounts are texts of their exact digits."""
    found = []
    for one in budgets:
        spent = costs.get((one["kind"], one["per"], one["name"]), Decimal(0))
        since = first_day(one["per"], now).isoformat()
        found.append({**one, "since": since, "spent": _text(spent), "left": _text(Decimal(one["amount"]) - spent)})
    return found


def _text(amount: Any) -> str:
    text = f"{Decimal(str(amount)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
