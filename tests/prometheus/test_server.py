# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles make of their parameters, and what the real programs make of that."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml
from load_file import load_file
from prometheus_bench import ROLES, TOKEN, Bench, Target, exporter, free_port, get, wait_for


def test_tokens_are_in_files_of_their_own_and_nowhere_else(bench: Bench) -> None:
    holders = sorted(path.name for path in bench.config.iterdir() if TOKEN in path.read_text())
    assert holders == ["gate.token"]
    assert (bench.config / "gate.token").stat().st_mode & 0o777 == 0o640
    assert not [
        part for part in json.loads((bench.config / "commands.json").read_text())["prometheus"] if TOKEN in part
    ]


def test_configuration_says_what_the_parameters_say(bench: Bench) -> None:
    config: dict[str, Any] = yaml.safe_load((bench.config / "prometheus.yml").read_text())
    gate, node = config["scrape_configs"]
    assert gate["authorization"] == {"type": "Bearer", "credentials_file": str(bench.config / "gate.token")}
    assert gate["metrics_path"] == "/metrics/"
    assert "authorization" not in node
    assert "alerting" not in config
    assert node["metrics_path"] == "/metrics"
    assert node["static_configs"][0]["labels"] == {"rack": "r 1"}
    assert config["rule_files"] == [
        str(bench.config / f"{kind}.rules.yml") for kind in ("recording", "targets", "alerts", "own")
    ]


def test_wrong_configuration_does_not_land(bench: Bench) -> None:
    before = (bench.config / "prometheus.yml").read_text()
    result = bench.render(prometheus_scrape_configs=[{"job_name": "mine", "no_such_key": 1}])
    bench.parameters["prometheus_scrape_configs"] = []
    assert result.returncode != 0
    assert "no_such_key" in result.stdout
    assert (bench.config / "prometheus.yml").read_text() == before


def test_every_target_is_scraped_and_every_rule_works(
    bench: Bench, prometheus: subprocess.Popen[bytes], target: Target
) -> None:
    def all_up() -> bool:
        targets = bench.query("targets")["activeTargets"]
        return len(targets) == 2 and all(target["health"] == "up" for target in targets)

    wait_for(all_up, "both targets are up")
    assert target.refused == 0

    def all_evaluated() -> bool:
        groups = bench.query("rules")["groups"]
        return bool(groups) and all(rule["health"] == "ok" for group in groups for rule in group["rules"])

    wait_for(all_evaluated, "every rule has been evaluated")
    wait_for(
        lambda: bool(bench.query("query?query=instance:node_memory_utilisation:ratio")["result"]), "a rule has a result"
    )


def test_a_reload_takes_over_targets_of_the_users_own(bench: Bench, prometheus: subprocess.Popen[bytes]) -> None:
    own = {"job_name": "mine", "static_configs": [{"targets": [f"127.0.0.1:{bench.node_port}"]}]}
    # With the text as Ansible leaves it where the user marks it as !unsafe.
    text = {"summary": "{% raw %}{{ $labels.job }} is away.{% endraw %}"}
    rule = {"alert": "Mine", "expr": "up == 0", "labels": {"severity": "warning"}, "annotations": text}
    result = bench.render(
        prometheus_scrape_configs=[own],
        prometheus_external_labels={"fleet": "one"},
        prometheus_rule_groups=[{"name": "mine", "rules": [rule]}],
    )
    assert result.returncode == 0, result.stdout
    prometheus.send_signal(signal.SIGHUP)
    wait_for(
        lambda: "mine" in {t["labels"]["job"] for t in bench.query("targets")["activeTargets"]}, "the new job is there"
    )
    assert "fleet: one" in bench.query("status/config")["yaml"]
    (group,) = (group for group in bench.query("rules")["groups"] if group["name"] == "mine")
    assert group["rules"][0]["annotations"]["summary"] == "{{ $labels.job }} is away."


def test_nothing_secret_is_shown_by_the_server(bench: Bench, prometheus: subprocess.Popen[bytes]) -> None:
    shown = json.dumps([bench.query(f"status/{page}") for page in ("config", "flags", "runtimeinfo")])
    assert TOKEN not in shown + bench.log.read_text() + get(f"{bench.url}/metrics")


def test_node_exporter_collects_what_it_is_told_and_no_more(bench: Bench, node_exporter: str) -> None:
    (bench.root / "state" / "node-exporter" / "textfile" / "mine.prom").write_text("mine_value 7\n")
    text = get(node_exporter)
    collected = dict(re.findall(r'node_scrape_collector_success\{collector="(\w+)"\} (\d)', text))
    assert sorted(collected) == sorted(bench.parameters["node_exporter_collectors"])
    # Kernels may come without pressure stall information.
    assert [name for name, success in collected.items() if success != "1" and name != "pressure"] == []
    assert "mine_value 7" in text
    for metric in (
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_filesystem_avail_bytes",
        "node_network_receive_bytes_total",
    ):
        assert f"\n{metric}" in text, f"{metric} is not there"


def test_the_alert_of_json_answers_that_hang_fires_on_what_the_gate_exports(tmp_path: Path, bench: Bench) -> None:
    # The gate's own metrics and the role's own rule, which waits for a second instead of minutes.
    rules = yaml.safe_load((bench.config / "alerts.rules.yml").read_text())
    (rule,) = (rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == "JsonAnswersHang")
    assert rule["for"] == "3m"
    rule["for"] = "1s"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "engines", "rules": [rule]}]}))
    metrics = load_file(ROLES / "gate" / "files" / "gate_metrics.py").Metrics()
    metrics.probed("chat", "0", success=False, seconds=30.0, jammed=True)
    metrics.probed("chat", "1", success=True, seconds=0.1, jammed=False)
    pages = {"/gate": metrics.text(), "/engine": b"vllm:num_requests_running 0\n"}
    with exporter(pages) as address:
        engines = [
            {"targets": [address], "labels": {"model": "chat", "replica": number, "host": "gpu1"}} for number in "01"
        ]
        jobs = [
            {"job_name": "gate", "metrics_path": "/gate", "static_configs": [{"targets": [address]}]},
            {"job_name": "vllm", "metrics_path": "/engine", "static_configs": engines},
        ]
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config = {"global": every, "rule_files": [str(tmp_path / "rules.yml")], "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [
            bench.parameters["service_packages"]["prometheus"]["programs"]["prometheus"],
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:

            def alerts() -> list[dict[str, Any]]:
                given = json.loads(get(f"http://127.0.0.1:{port}/api/v1/alerts"))
                return [alert for alert in given["data"]["alerts"] if alert["state"] == "firing"]

            try:
                wait_for(lambda: bool(alerts()), "the alert fires", 40)
                (alert,) = alerts()
                assert alert["labels"] == {
                    "alertname": "JsonAnswersHang",
                    "severity": "critical",
                    "model": "chat",
                    "replica": "0",
                    "host": "gpu1",
                    "job": "vllm",
                }
                assert "llm-vllm-chat-0" in alert["annotations"]["description"]
                metrics.probed("chat", "0", success=True, seconds=0.1, jammed=False)
                pages["/gate"] = metrics.text()
                wait_for(lambda: not alerts(), "the alert ends", 40)
            finally:
                process.terminate()
