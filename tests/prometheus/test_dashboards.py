# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every expression of every dashboard is one that Prometheus knows, and those that a fleet without GPUs, budgets and
stores cannot answer are computed from series as their exporters write them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from panels_asked import ABSENT, absent, expressions

# The labels of the DCGM exporter 4.6, and those of the target.
CARD = (
    'gpu="0", UUID="GPU-1", pci_bus_id="00000000:01:00.0", device="nvidia0", modelName="NVIDIA H200", Hostname="gpu1"'
)
TARGET = 'job="dcgm", instance="gpu1:9400", host="gpu1"'
ENGINE = 'job="vllm", instance="gpu1:8100", host="gpu1", model="chat", replica="0", model_name="chat", engine="0"'
BUDGET = 'job="gate", host="gate1", instance="gate1:4200", key="a", team="b", model="chat", per="day"'
GATE = 'job="gate", host="gate1", instance="gate1:4200"'


def labels(metric: str) -> str:
    if metric.startswith("DCGM_"):
        return f"{TARGET}, {CARD}"
    if metric.startswith("vllm:"):
        return ENGINE
    if metric == "llmfleet_held_host":
        return 'job="node", host="gate1", instance="gate1:9100", held="gpu1"'
    return BUDGET if "budget" in metric else GATE


def run(folder: Path, command: str, kind: str, content: object) -> None:
    path = folder / f"{kind}.yml"
    path.write_text(yaml.safe_dump(content, width=1000))
    argv = ["/usr/bin/promtool", command, "rules", str(path)]
    result = subprocess.run(argv, text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    rules = [{"record": "x", "expr": expr, "labels": {"number": str(n)}} for n, expr in enumerate(expressions())]
    assert len(rules) > 100
    run(tmp_path, "check", "all", {"groups": [{"name": "panels", "rules": rules}]})


def test_panels_of_what_the_demo_lacks_have_series_where_it_is(tmp_path: Path) -> None:
    series = [*ABSENT, "vllm:generation_tokens_total"]
    inputs = [{"series": f"{metric}{{{labels(metric)}}}", "values": "1+60x60"} for metric in series]
    asked = [expr for expr in expressions() if absent(expr)]
    assert {metric for expr in asked for metric in absent(expr)} == set(ABSENT)
    cases = [
        {"expr": f"count({expr}) > bool 0", "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for expr in asked
    ]
    test = {"interval": "15s", "input_series": inputs, "promql_expr_test": cases}
    run(tmp_path, "test", "absent", {"evaluation_interval": "15s", "rule_files": [], "tests": [test]})
