# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running fleet's Prometheus hears from everybody, and the recording rules ask for metrics that exist.

LLM_PROMETHEUS_URL  the server, e.g. http://127.0.0.1:9090; at least one chat request has gone through the fleet before
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "roles" / "prometheus" / "templates").glob("*.rules.yml"))
# Every route of the pinned vLLM.
ROUTES = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "data" / "vllm-0.32.0-routes.json"
TARGETS = RULES[0].with_name("targets.rules.yml.j2")
# Metrics that this fleet does not have: gates have the first where they share a cache (tests/gate/test_shared.py),
# the next two with budgets, the next two where usage is booked, the stores' exporters the next ones, then backups and
# keys that end; then engines where they look for numbers that are none, gateways once a host was held, and cards.
ABSENT = {
    "llmfleet_gate_limit_store_up",
    "llmfleet_gate_budget_amount",
    "llmfleet_gate_budget_spent",
    "llmfleet_gate_usage_unbooked_bytes",
    "llmfleet_gate_usage_booked_timestamp_seconds",
    "pg_up",
    "redis_aof_enabled",
    "redis_aof_last_write_status",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "redis_up",
    "llmfleet_backup_last_timestamp_seconds",
    "llmfleet_backup_interval_seconds",
    "llmfleet_key_expires_timestamp_seconds",
    "vllm:corrupted_requests_total",
    "llmfleet_held_host",
    "llmfleet_gpu_xid_last_timestamp_seconds",
    "llmfleet_driver_matches",
    "DCGM_FI_DEV_XID_ERRORS",
    "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    "DCGM_FI_DEV_GPU_TEMP",
}
METRIC = re.compile(r"\b(?:vllm:|llmfleet_|nginx_|node_|prometheus_|pg_|redis_|DCGM_)[a-zA-Z0-9_]+")


@pytest.fixture(scope="session")
def ask() -> Any:
    url = os.environ.get("LLM_PROMETHEUS_URL")
    if not url:
        pytest.fail("Set LLM_PROMETHEUS_URL: the top of this file says what it is.", pytrace=False)

    def get(path: str, **parameters: str) -> Any:
        with urlopen(f"{url}/api/v1/{path}?{urlencode(parameters)}", timeout=20) as answer:
            return json.loads(answer.read())["data"]

    return get


def rules() -> list[dict[str, str]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    own = [{"name": rule.get("record") or rule["alert"], **rule} for group in groups for rule in group["rules"]]
    # Of the file that is computed, the recording rules above and this test see the same metrics.
    return own + [{"name": name, "expr": ""} for name in re.findall(r"- record: (\S+)", TARGETS.read_text())]


def test_every_target_answers(ask: Any) -> None:
    targets = ask("targets")["activeTargets"]
    silent = [f"{t['labels']['job']} {t['scrapeUrl']}: {t['lastError']}" for t in targets if t["health"] != "up"]
    assert targets
    assert not silent, "\n".join(silent)


def test_engines_answer_nothing_else_without_their_key(ask: Any) -> None:
    targets = [t for t in ask("targets")["activeTargets"] if t["labels"]["job"] == "vllm"]
    assert targets
    found = {}
    for target in targets:
        engine = target["scrapeUrl"].removesuffix("/metrics")
        for path, methods in json.loads(ROUTES.read_text())["routes"].items():
            for method in sorted({*methods, "GET", "POST"} - {"WEBSOCKET"}):
                request = Request(f"{engine}{path.replace('{', '').replace('}', '')}", method=method)
                try:
                    with urlopen(request, timeout=20) as answer:
                        found[f"{method} {path}"] = answer.status
                except HTTPError as error:
                    found[f"{method} {path}"] = error.code
    assert {route: status for route, status in found.items() if status != 401} == {
        "GET /health": 200,
        "GET /metrics": 200,
    }


def test_every_rule_is_evaluated_without_error(ask: Any) -> None:
    found = {rule["name"]: rule for group in ask("rules")["groups"] for rule in group["rules"]}
    assert sorted(found) == sorted({rule["name"] for rule in rules()})
    assert not [f"{name}: {rule.get('lastError')}" for name, rule in found.items() if rule["health"] != "ok"]


def test_rules_ask_for_metrics_that_exist(ask: Any) -> None:
    """A program that renames a metric with a new version is found here, not on an empty dashboard."""
    recorded = {rule["name"] for rule in rules()}
    wanted = {name for rule in rules() for name in METRIC.findall(re.sub(r"\S+:\S+:\S+", "", rule["expr"]))}
    wanted -= recorded | ABSENT
    missing: set[str] = set()
    for _attempt in range(30):
        missing = wanted - set(ask("label/__name__/values"))
        if not missing:
            return
        time.sleep(2)
    pytest.fail(f"nobody has these metrics: {sorted(missing)}", pytrace=False)
