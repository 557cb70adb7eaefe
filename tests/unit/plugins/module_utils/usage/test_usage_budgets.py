# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is spent of budgets, by periods that are those of the gate."""

from __future__ import annotations

import json
from typing import Any

import gate_budgets
import pytest
from ansible_collections.llmfleet.serving.plugins.filter.database import FilterModule
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import budgets, lines
from ansible_collections.llmfleet.serving.plugins.plugin_utils.usage import text

FILTERS = FilterModule().filters()
# Wednesday, 4 November 2026, 12:00 UTC.
WEDNESDAY = 1793793600
DAY = 86400
KEYS: dict[str, Any] = {
    "keys": [{"alias": "b", "budget": {"amount": 0.5, "per": "day"}}, {"alias": "a"}],
    "teams": [{"name": "red", "budget": {"amount": 50.0, "per": "month"}}, {"name": "blue", "budget": None}],
}
SETTINGS = {"models": [{"name": "chat", "budget": {"amount": 2, "per": "week"}}, {"name": "guide"}]}
GIVEN = [
    {"kind": "key", "name": "b", "amount": "0.5", "per": "day"},
    {"kind": "team", "name": "red", "amount": "50", "per": "month"},
    {"kind": "model", "name": "chat", "amount": "2", "per": "week"},
]


@pytest.mark.parametrize("per", budgets.PERIODS)
@pytest.mark.parametrize("days", [0, 1, 2, 4, 5, 27, 60, 419])
def test_a_period_begins_when_the_gate_begins_it(per: str, days: int) -> None:
    for now in (WEDNESDAY + days * DAY, WEDNESDAY + days * DAY + 43199, WEDNESDAY + days * DAY + 43200):
        assert budgets.first_day(per, now) == gate_budgets.begin(per, now)


def test_the_budgets_are_those_that_the_gate_knows() -> None:
    assert budgets.given(KEYS, SETTINGS) == GIVEN
    assert budgets.given({}, {}) == []
    assert budgets.query([], WEDNESDAY) == ""


def test_the_query_asks_once_for_each_kind_and_period() -> None:
    asked = budgets.query([*GIVEN, {**GIVEN[0], "name": "c'; DROP"}], WEDNESDAY)
    assert asked.count("SELECT") == 3
    assert "SELECT 'model', 'week', model, sum(cost) FROM usage.minutes WHERE minute >= '2026-11-02 00:00+00'" in asked
    assert "DROP" not in asked


def line(days: float, cost: str, **changed: Any) -> bytes:
    entry = {"time": WEDNESDAY - days * DAY, "key": "b", "team": "red", "model": "chat", "status": 200, "cost": cost}
    return json.dumps({**entry, **changed}).encode()


def test_what_is_spent_is_the_cost_of_the_present_period() -> None:
    found, _unreadable = lines.summed(
        [
            line(0, "0.25"),
            line(0.4, "0.5"),
            line(1, "1.5"),
            line(3.1, "4"),
            line(4, "8"),
            line(0, "3", key="a", team=""),
        ],
        {},
    )
    told = {one["name"]: one for one in budgets.of_lines(GIVEN, found, WEDNESDAY)}
    assert (told["b"]["since"], told["b"]["spent"], told["b"]["left"]) == ("2026-11-04", "0.75", "-0.25")
    assert (told["red"]["since"], told["red"]["spent"], told["red"]["left"]) == ("2026-11-01", "6.25", "43.75")
    assert (told["chat"]["since"], told["chat"]["spent"], told["chat"]["left"]) == ("2026-11-02", "5.25", "-3.25")
    fields = [["key", "day", "b", "0.750"], ["team", "month", "red", "6.25"], ["model", "week", "chat", "5.250"]]
    assert budgets.of_fields(GIVEN, [*fields, ["key", "day", "a", "3"]], WEDNESDAY) == list(told.values())
    assert [one["spent"] for one in budgets.of_fields(GIVEN, [], WEDNESDAY)] == ["0", "0", "0"]


def result(source: str, spent: str) -> dict[str, Any]:
    one = {"kind": "team", "name": "red", "per": "month", "since": "2026-11-01", "amount": "50"}
    return {"source": source, "rows": [], "budgets": [{**one, "spent": spent, "left": "0"}]}


def test_budgets_are_a_report_of_their_own() -> None:
    logs = json.loads(FILTERS["usage_text"]([result("log", "1.5"), result("log", "2")], "budget", "json"))
    assert [(one["spent"], one["left"]) for one in logs] == [("3.5", "46.5")]
    both = [result("log", "1.5"), result("database", "9")]
    assert json.loads(FILTERS["usage_text"](both, "budget", "json"))[0]["spent"] == "9"
    heads, row = FILTERS["usage_text"](both, "budget", "csv").splitlines()
    assert heads == "kind,name,per,since,amount,spent,left"
    assert row == "team,red,month,2026-11-01,50,9,0"
    assert FILTERS["usage_text"]([{"source": "log", "rows": [], "budgets": []}], "budget", "table") == text.NO_BUDGETS
    assert FILTERS["usage_names"]("budget") == []


@pytest.mark.parametrize(
    ("by", "month", "words"),
    [("budget,key", "", "give budget alone"), ("budget", "2026-11", "leave it out"), ("budgets", "", "mean budget")],
)
def test_budgets_go_with_no_other_words(by: str, month: str, words: str) -> None:
    (found,) = FILTERS["usage_problems"](by, month, "table")
    assert words in found["remedy"]
    assert FILTERS["usage_problems"]("budget", "", "csv") == []
