# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gate's metrics say, and that nothing is said of what there is not."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import pytest
from gate_metrics import Metrics


def told(metrics: Metrics, name: str) -> dict[str, float]:
    """The samples of a metric by their labels."""
    text = metrics.text().decode()
    return {
        labels: float(value) for labels, value in re.findall(rf"^llmfleet_gate_{name}(\{{.*\}})? (\S+)$", text, re.M)
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_requests_are_counted_by_who_and_how_they_ended(metrics: Metrics) -> None:
    metrics.requests.labels("k", "red", "m", "/v1/completions", "200").inc()
    metrics.tokens.labels("k", "red", "m", "prompt").inc(7)
    labels = '{key="k",model="m",path="/v1/completions",status="200",team="red"}'
    assert told(metrics, "requests_total") == {labels: 1}
    assert told(metrics, "tokens_total") == {'{key="k",model="m",team="red",type="prompt"}': 7}


def test_a_store_is_named_while_there_is_one(metrics: Metrics) -> None:
    for up, said in ((None, {}), (False, {"": 0}), (True, {"": 1}), (True, {"": 1}), (None, {}), (None, {})):
        metrics.store(up)
        assert told(metrics, "limit_store_up") == said


def test_booking_is_named_while_somebody_books(metrics: Metrics) -> None:
    for lag in (None, (120, 5.0), (0, 9.0), None):
        metrics.booking(lag)
        assert told(metrics, "usage_unbooked_bytes") == ({"": lag[0]} if lag else {})
        assert told(metrics, "usage_booked_timestamp_seconds") == ({"": lag[1]} if lag else {})


def test_budgets_that_are_gone_are_not_named(metrics: Metrics) -> None:
    red, key = ("", "red", "", "day"), ("k", "", "", "month")
    metrics.budgets({})
    assert told(metrics, "budget_spent") == {}
    metrics.budgets({red: ("1.5", Decimal("2")), key: ("0", Decimal("50"))})
    assert sorted(told(metrics, "budget_spent").values()) == [0, 1.5]
    metrics.budgets({key: ("0.25", Decimal("50"))})
    labels = '{key="k",model="",per="month",team=""}'
    assert told(metrics, "budget_spent") == {labels: 0.25}
    assert told(metrics, "budget_amount") == {labels: 50}
    metrics.budgets({})
    assert told(metrics, "budget_amount") == {}


def test_a_probe_keeps_the_time_of_its_last_success_until_its_replica_is_gone(metrics: Metrics) -> None:
    labels = '{model="m",replica="0"}'
    metrics.probed("m", "0", success=True, seconds=0.2, jammed=False)
    at = told(metrics, "probe_last_success_timestamp_seconds")[labels]
    assert 0 <= time.time() - at < 60
    metrics.probed("m", "0", success=False, seconds=3, jammed=True)
    assert told(metrics, "probe_last_success_timestamp_seconds") == {labels: at}
    names = ("probe_success", "probe_jammed", "probe_duration_seconds")
    assert [told(metrics, name) for name in names] == [{labels: 0}, {labels: 1}, {labels: 3}]
    metrics.forget_probe("m", "0")
    assert [told(metrics, name) for name in names] == [{}, {}, {}]
