# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's metrics for Prometheus. Names of unknown models never become a label, or a client could fill the disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "llmfleet_gate_requests",
            "Requests by the status that the client got; 499 if it left.",
            ["key", "team", "model", "path", "status"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "llmfleet_gate_refusals",
            "Requests that ended here, by reason.",
            ["key", "team", "reason"],
            registry=self.registry,
        )
        self.tokens = Counter(
            "llmfleet_gate_tokens",
            "Tokens of prompts, of those the cached ones, and of answers.",
            ["key", "team", "model", "type"],
            registry=self.registry,
        )
        self.running = Gauge(
            "llmfleet_gate_requests_in_flight", "Requests that are being answered.", ["model"], registry=self.registry
        )
        self.seconds = Histogram(
            "llmfleet_gate_request_duration_seconds",
            "Time from the last byte of a request to the last of its answer.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.first_seconds = Histogram(
            "llmfleet_gate_time_to_first_byte_seconds",
            "Time from the last byte of a request to the first of its answer's body.",
            ["model"],
            buckets=FIRST_SECONDS,
            registry=self.registry,
        )
        self.lost = Counter(
            "llmfleet_gate_usage_entries_lost", "Lines of the usage log not written.", registry=self.registry
        )
        self.answers = Counter(
            "llmfleet_gate_answer_cache_requests",
            "Requests of models whose answers are kept, by what was found: hit or miss.",
            ["model", "result"],
            registry=self.registry,
        )
        self._store_up = Gauge(
            "llmfleet_gate_limit_store_up",
            "Whether the store in which gates count limits together answers.",
            registry=None,
        )
        self._has_store = False
        self._unbooked = Gauge(
            "llmfleet_gate_usage_unbooked_bytes", "Bytes of the usage log that are not booked yet.", registry=None
        )
        self._booked_time = Gauge(
            "llmfleet_gate_usage_booked_timestamp_seconds",
            "Time at which the usage log was last booked, or was found booked.",
            registry=None,
        )
        self._is_booked = False
        budget = ["key", "team", "model", "per"]
        self._budget_amount = Gauge(
            "llmfleet_gate_budget_amount",
            "What a key, a team or a model may cost in a day, a week or a month.",
            budget,
            registry=None,
        )
        self._budget_spent = Gauge(
            "llmfleet_gate_budget_spent",
            "What a key, a team or a model with a budget has cost in this day, week or month, at all gates.",
            budget,
            registry=None,
        )
        self._has_budgets = False
        replica = ["model", "replica"]
        self._probe_success = Gauge(
            "llmfleet_gate_probe_success",
            "Whether a replica gave the last small JSON answer in time.",
            replica,
            registry=self.registry,
        )
        self._probe_jammed = Gauge(
            "llmfleet_gate_probe_jammed",
            "Whether a replica gives plain answers, but no JSON answer: its compiler of grammars hangs.",
            replica,
            registry=self.registry,
        )
        self._probe_seconds = Gauge(
            "llmfleet_gate_probe_duration_seconds",
            "Time that the last small JSON answer took, or until the gate waited no longer.",
            replica,
            registry=self.registry,
        )
        self._probe_time = Gauge(
            "llmfleet_gate_probe_last_success_timestamp_seconds",
            "Time of the last small JSON answer that came in time.",
            replica,
            registry=self.registry,
        )

    def probed(self, model: str, replica: str, *, success: bool, seconds: float, jammed: bool) -> None:
        """Take the result of a probe."""
        self._probe_success.labels(model, replica).set(success)
        self._probe_jammed.labels(model, replica).set(jammed)
        self._probe_seconds.labels(model, replica).set(seconds)
        if success:
            self._probe_time.labels(model, replica).set(time.time())

    def store(self, up: bool | None) -> None:
        """Take whether the store of limits answers; None where there is none, and then nothing is said of it."""
        if up is not None:
            self._store_up.set(up)
        if self._has_store != (up is not None):
            self._has_store = up is not None
            (self.registry.register if self._has_store else self.registry.unregister)(self._store_up)

    def booking(self, lag: tuple[int, float] | None) -> None:
        """Take how far the usage log is booked; None where nobody books, and then nothing is said of it."""
        if lag is not None:
            self._unbooked.set(lag[0])
            self._booked_time.set(lag[1])
        if self._is_booked != (lag is not None):
            self._is_booked = lag is not None
            for gauge in (self._unbooked, self._booked_time):
                (self.registry.register if self._is_booked else self.registry.unregister)(gauge)

    def budgets(self, budgets: Mapping[tuple[str, ...], tuple[str, Decimal]]) -> None:
        """Take what was spent of all budgets, and their amounts, by key, team, model and period."""
        if self._has_budgets != bool(budgets):
            self._has_budgets = bool(budgets)
            for gauge in (self._budget_amount, self._budget_spent):
                (self.registry.register if self._has_budgets else self.registry.unregister)(gauge)
        self._budget_amount.clear()
        self._budget_spent.clear()
        for labels, (spent, amount) in budgets.items():
            self._budget_amount.labels(*labels).set(float(amount))
            self._budget_spent.labels(*labels).set(float(spent))

    def forget_probe(self, model: str, replica: str) -> None:
        """Say nothing any more of a replica that is gone."""
        for gauge in (self._probe_success, self._probe_jammed, self._probe_seconds, self._probe_time):
            gauge.remove_by_labels({"model": model, "replica": replica})

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
