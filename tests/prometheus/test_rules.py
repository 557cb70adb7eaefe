# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recording rules and the alerts by themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from prometheus_bench import Bench, Target

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[1] / "roles" / "prometheus" / "templates" / "recording.rules.yml"
TESTS = HERE / "recording.test.yml"
ALERTS, ALERT_TESTS = RULES.with_name("alerts.rules.yml"), HERE / "alerts.test.yml"
FLEET_TESTS = HERE / "fleet_alerts.test.yml"
RUNBOOKS = HERE.parents[1] / "docs" / "runbooks"


def records() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


def promtool(*arguments: str) -> None:
    result = subprocess.run(["/usr/bin/promtool", *arguments], text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def cases_of(bench: Bench, folder: Path, tests: Path, left_out: set[str]) -> list[dict[str, Any]]:
    """Run promtool's tests with the rules that the role writes, without some annotations; return the tests."""
    for name in ("recording", "targets", "alerts"):
        rules = yaml.safe_load((bench.config / f"{name}.rules.yml").read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
            rule["annotations"] = {key: text for key, text in rule["annotations"].items() if key not in left_out}
        (folder / f"{name}.rules.yml").write_text(yaml.safe_dump(rules, width=1000))
    (folder / tests.name).write_text(tests.read_text())
    promtool("test", "rules", str(folder / tests.name))
    return [case for test in yaml.safe_load(tests.read_text())["tests"] for case in test["alert_rule_test"]]


def test_rules_are_valid(bench: Bench) -> None:
    promtool("check", "rules", str(RULES), *map(str, bench.config.glob("*.rules.yml")))


def test_rules_compute_what_they_promise() -> None:
    promtool("test", "rules", str(TESTS))


def test_alerts_are_raised_when_they_promise(bench: Bench, tmp_path: Path) -> None:
    for folder in ("texts", "fleet"):
        (tmp_path / folder).mkdir()
    cases = cases_of(bench, tmp_path / "texts", ALERT_TESTS, {"runbook_url"})
    cases += cases_of(bench, tmp_path / "fleet", FLEET_TESTS, {"runbook_url", "summary", "description"})
    raised = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    names = {rule["alert"] for rule in alerts()}
    assert names - raised == set(), "no test sees them raised"
    assert names - silent == set(), "no test sees them silent"
    # A text that names a label which the alert does not have would be empty there.
    for case in cases:
        (rule,) = (rule for rule in alerts() if rule["alert"] == case["alertname"])
        named = set(re.findall(r"[$]labels[.](\w+)", " ".join(rule["annotations"].values())))
        for expected in case["exp_alerts"]:
            assert named <= set(expected["exp_labels"]), case["alertname"]


def test_every_alert_has_a_severity_texts_and_a_page_and_every_page_an_alert(bench: Bench) -> None:
    rendered = yaml.safe_load((bench.config / "alerts.rules.yml").read_text())["groups"]
    base = bench.parameters["prometheus_runbooks_url"]
    for rule in (rule for group in rendered for rule in group["rules"]):
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"runbook_url", "summary", "description"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"{base}/{rule['alert']}.md"
        page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
        headings = re.findall(r"^#+ .*", page, re.M)
        assert headings == [f"# {rule['alert']}", "## What to type", "## Why", "## What helps"], rule["alert"]
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in alerts()}
    index = (RUNBOOKS / "README.md").read_text()
    assert not [name for name in pages if f"({name}.md)" not in index]


def test_thresholds_and_targets_are_in_force_and_wrong_rules_of_the_users_own_are_not(
    tmp_path: Path, target: Target
) -> None:
    bench = Bench(tmp_path, target)
    refused = bench.render(
        prometheus_alert_thresholds={"disk_free_share": 0.2, "first_token_seconds": 10},
        prometheus_model_targets={"chat": {"first_token_seconds": 0.3}, "big.model": {"token_seconds": 1}},
        prometheus_rule_groups=[{"name": "mine", "rules": [{"alert": "Mine", "expr": "up == ("}]}],
    )
    promises = " ".join((bench.config / "targets.rules.yml").read_text().split())
    assert 'model="chat", le="0.5"' in promises
    assert 'model!~"chat", le="10.0"' in promises
    assert 'label_replace(vector(1), "model", "big.model", "", "") or on (model) group by (model)' in promises
    assert ") < 0.2\n" in (bench.config / "alerts.rules.yml").read_text()
    assert refused.returncode != 0
    assert "unclosed left parenthesis" in refused.stdout
    assert not (bench.config / "own.rules.yml").exists()


def test_cards_are_asked_for_fields_that_the_exporter_has() -> None:
    """Its default list; a GPU is needed to see them."""
    asked = {name for rule in alerts() for name in re.findall(r"DCGM_\w+", rule["expr"])}
    assert asked == {"DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_GPU_TEMP"}


def test_names_are_level_metric_operation() -> None:
    pattern = re.compile(
        r"^(model|host|instance|model_le|model_status|model_finished_reason|key_model_type|instance_mountpoint)"
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
