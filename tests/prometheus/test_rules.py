# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recording rules and the alerts by themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[1] / "roles" / "prometheus" / "templates" / "recording.rules.yml"
TESTS = HERE / "recording.test.yml"
ALERTS, ALERT_TESTS = RULES.with_name("alerts.rules.yml"), HERE / "alerts.test.yml"


def records() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


def promtool(*arguments: str) -> None:
    result = subprocess.run(["/usr/bin/promtool", *arguments], text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_are_valid() -> None:
    promtool("check", "rules", str(RULES), str(ALERTS))


def test_rules_compute_what_they_promise() -> None:
    promtool("test", "rules", str(TESTS))


def test_alerts_are_raised_when_they_promise() -> None:
    promtool("test", "rules", str(ALERT_TESTS))
    alerts = [rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    tested = ALERT_TESTS.read_text()
    assert not [name for name in alerts if f"alertname: {name}" not in tested]


def test_names_are_level_metric_operation() -> None:
    pattern = re.compile(
        r"^(model|instance|model_le|model_status|model_finished_reason|key_model_type|instance_mountpoint)"
        r":[a-z0-9_]+:[a-z0-9_]+$"
    )
    assert not [name for name in records() if not pattern.match(name)]
    assert len(records()) == len(set(records()))


def test_every_rule_is_computed_in_a_test() -> None:
    """Buckets are proven by their quantiles."""
    tested = TESTS.read_text()
    missing = [name for name in records() if f"expr: {name}" not in tested and f"round({name}" not in tested]
    helpers = {name for name in missing if "_bucket:" in name or name.startswith("model_status:")}
    quantiles = {name for name in missing if re.search(r":p(50|95|99)_rate5m$", name)}
    assert not set(missing) - helpers - quantiles
