# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the gate's log, their sums, and reports of both."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.filter.database import FilterModule
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import lines, report
from ansible_collections.llmfleet.serving.plugins.plugin_utils.usage import text

PRICES = {"chat": {"input_per_token": 1e-07, "output_per_token": "0.0000004"}}
NOVEMBER = 1793491200
FILTERS = FilterModule().filters()


def line(**changed: Any) -> bytes:
    entry = {
        "time": NOVEMBER + 30.5,
        "request_id": "a",
        "key": "team-a",
        "model": "chat",
        "path": "/v1/completions",
        "status": 200,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cached_tokens": 64,
        "usage_known": True,
        "seconds": 1.25,
        "first_byte_seconds": 0.5,
    }
    return json.dumps({**entry, **changed}).encode()


def test_a_line_counts_for_a_minute() -> None:
    found = lines.read(line(team="blue", person="ann@example.com", instance="chat-0"), PRICES)
    assert found
    row, sums = found
    assert row == (NOVEMBER // 60, "team-a", "blue", "ann@example.com", "chat", "chat-0", "answered")
    assert (sums.requests, sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens) == (1, 100, 20, 64)
    assert sums.cost == Decimal("0.000018")
    assert (sums.seconds, sums.first_seconds, sums.first_requests, sums.uncounted) == (1.25, 0.5, 1, 0)


def test_a_line_costs_what_its_request_cost_then() -> None:
    for written, cost in (("0.0000152", "0.0000152"), ("0", "0"), ("7", "7")):
        found = lines.read(line(cost=written), PRICES)
        assert found
        assert found[1].cost == Decimal(cost)
    for wrong in (0.5, "-1", "NaN", "1e30", "9" * 50, None):
        found = lines.read(line(cost=wrong), PRICES)
        assert found
        assert found[1].cost == Decimal("0.000018")


def test_what_a_line_lacks_is_empty() -> None:
    found = lines.read(line(first_byte_seconds=None, usage_known=False, model="guide", person=None, team=7), PRICES)
    assert found
    row, sums = found
    assert (row.team, row.person, row.instance) == ("", "", "")
    assert (sums.cost, sums.first_requests, sums.uncounted) == (0, 0, 1)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "answered"), (206, "answered"), (400, "refused"), (429, "refused"), (499, "left"), (500, "failed")],
)
def test_the_outcome_follows_from_the_status(status: int, outcome: str) -> None:
    assert lines.outcome(status) == outcome


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        line(time="now"),
        line(time=1e400),
        line(time=-1),
        line(time=True),
        line(status="200"),
        line(status=None),
    ],
)
def test_a_line_that_is_none_counts_for_nothing(broken: bytes) -> None:
    assert lines.summed([broken, line()], {})[1] == 1


def test_numbers_that_are_none_count_nothing() -> None:
    found = lines.read(line(prompt_tokens=-5, completion_tokens=1 << 60, cached_tokens=True, seconds="x"), PRICES)
    assert found
    sums = found[1]
    assert (sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens, sums.seconds) == (0, 0, 0, 0.0)


def test_a_name_has_nothing_that_a_store_refuses() -> None:
    assert lines.name_of("a\x00\n\tb\ud800") == "ab"
    assert lines.name_of("x" * 999) == "x" * lines.MOST_LETTERS


def test_the_query_asks_for_what_is_wanted() -> None:
    asked = report.query(["key", "month"], "2026-12")
    assert asked.startswith("SELECT key, to_char(minute AT TIME ZONE 'UTC', 'YYYY-MM'), sum(requests)")
    assert "minute >= '2026-12-01 00:00+00' AND minute < '2027-01-01 00:00+00'" in asked
    assert asked.endswith(" GROUP BY 1, 2 ORDER BY 1, 2;")
    assert "WHERE" not in report.query([], "").replace("WHERE outcome", "")
    assert report.query([], "2026-01").endswith("minute < '2026-02-01 00:00+00' HAVING count(*) > 0;")
    fields = ["team-a", "2026-12", "2", "200", "40", "128", "0.0000360", "2.5", "1", "2", "0", "1"]
    shown = report.row(["key", "month"], fields)
    assert (shown["key"], shown["month"], shown["cost"], shown["others"]) == ("team-a", "2026-12", "0.000036", 1)


def rows(*given: bytes, by: list[str], month: str = "") -> list[dict[str, Any]]:
    return report.of_lines(lines.summed(given, PRICES)[0], by, month)


def test_a_report_of_lines() -> None:
    given = [line(), line(status=499, key="team-b"), line(time=NOVEMBER - 60, seconds=2)]
    assert [(row["month"], row["requests"], row["others"]) for row in rows(*given, by=["month"])] == [
        ("2026-10", 1, 0),
        ("2026-11", 2, 1),
    ]
    (november,) = rows(*given, by=[], month="2026-11")
    assert (november["requests"], november["cost"], november["seconds"]) == (2, "0.000036", 2.5)
    assert [row["day"] for row in rows(*given, by=["day"])] == ["2026-10-31", "2026-11-01"]


@pytest.mark.parametrize(
    ("by", "month", "form", "words"),
    [
        ("keys", "", "table", "did you mean key"),
        ("key,key", "", "table", "it has a name twice"),
        ("key", "2026-13", "table", "it is no month"),
        ("key", "november", "table", "it is no month"),
        ("key", "2026-11' OR 1=1", "table", "it is no month"),
        ("key", "", "xml", "give one of table, csv, json"),
    ],
)
def test_wrong_words_are_refused(by: str, month: str, form: str, words: str) -> None:
    (found,) = FILTERS["usage_problems"](by, month, form)
    assert words in f"{found['problem']} {found['remedy']}"
    assert FILTERS["usage_problems"](["key", "day"], "2026-11", "json") == []


def result(source: str, *given: bytes) -> dict[str, Any]:
    return {"source": source, "rows": rows(*given, by=["key", "model"])}


def test_the_sums_of_gateways_are_added() -> None:
    results = [result("log", line(), line(key="team-b")), result("log", line(), line(key="=HYPERLINK(1)"))]
    found = json.loads(FILTERS["usage_text"](results, "key, model", "json"))
    assert [(one["key"], one["requests"], one["cost"]) for one in found] == [
        ("=HYPERLINK(1)", 1, "0.000018"),
        ("team-a", 2, "0.000036"),
        ("team-b", 1, "0.000018"),
    ]
    assert (found[1]["mean_seconds"], found[1]["mean_first_seconds"]) == (1.25, 0.5)
    table = list(csv.DictReader(FILTERS["usage_text"](results, ["key", "model"], "csv").splitlines()))
    assert [one["requests"] for one in table] == ["1", "2", "1"]
    assert FILTERS["usage_text"](results, "key,model", "table").splitlines()[0].startswith("key  ")


def test_the_database_has_all_gateways() -> None:
    results = [result("log", line()), result("database", line(), line()), result("database", line(), line())]
    assert json.loads(FILTERS["usage_text"](results, "key,model", "json"))[0]["requests"] == 2


def test_no_usage_is_said() -> None:
    assert FILTERS["usage_text"]([{"source": "log", "rows": []}], "key", "table") == text.NOTHING
    assert FILTERS["usage_text"]([{"source": "log", "rows": []}], "key", "csv").count("\n") == 0
    assert FILTERS["usage_names"]("key, model,") == ["key", "model"]
