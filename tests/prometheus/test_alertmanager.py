# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An engine stops to answer, and those who asked for such alerts are told: a real Prometheus and a real Alertmanager.

Alertmanager is the distribution's. Where it is not installed, its package is unpacked beside the test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from prometheus_bench import Bench, Target, get, wait_for

PASSWORD = "canary-password-of-the-mail-server"
PATH = "canary-path-of-a-webhook"
IN_PLACE = """#!/bin/sh
exec unshare --mount --map-root-user sh -c '
  mount --bind "$0/usr/share/prometheus" /usr/share/prometheus && exec "$0/usr/bin/prometheus-alertmanager" "$@"
' "$(dirname "$0")" "$@"
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    names = {"alertmanager": "prometheus-alertmanager", "amtool": "amtool"}
    if all(map(shutil.which, names.values())):
        return {name: str(shutil.which(program)) for name, program in names.items()}
    folder = tmp_path_factory.mktemp("package")
    # apt downloads as a user of its own, which has no way into the folder of the test; as root it does so itself.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "prometheus-alertmanager"]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"install the package prometheus-alertmanager: {done.stderr}"
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    # It looks for its own templates in a fixed place.
    script = folder / "alertmanager"
    script.write_text(IN_PLACE)
    script.chmod(0o755)
    return {"alertmanager": str(script), "amtool": str(folder / "usr" / "bin" / "amtool")}


class Page(BaseHTTPRequestHandler):
    """The metrics of engines, by model, and the place where Alertmanager tells of alerts."""

    server: Any

    def do_GET(self) -> None:
        gone = self.path.strip("/") in self.server.gone
        self.send_response(503 if gone else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        if not gone:
            self.wfile.write(b"vllm:num_requests_running 0\n")

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told += [(self.path.rpartition("/")[2], alert) for alert in told["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def world() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.gone, server.told = set(), []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def receivers(port: int) -> list[dict[str, Any]]:
    def to(name: str) -> list[dict[str, Any]]:
        return [{"url": f"http://127.0.0.1:{port}/{PATH}/{name}"}]

    return [
        {"name": "on call", "severities": ["critical"], "webhook_configs": to("oncall")},
        {"name": "coders", "models": ["code.1"], "webhook_configs": to("coders")},
        {"name": "log", "webhook_configs": to("log")},
        {
            "name": "nobody reads mail",
            "models": ["codex1"],
            "email_configs": [{"to": "a@example.org", "auth_password": PASSWORD}],
        },
    ]


@pytest.fixture
def made(tmp_path: Path, target: Target, programs: dict[str, str], world: Any) -> Bench:
    bench = Bench(tmp_path, target)
    bench.parameters["service_packages"]["alertmanager"]["programs"] = programs
    port = world.server_address[1]
    bench.parameters["prometheus_scrape_targets"] = [
        {
            "job": "vllm",
            "metrics_path": f"/{model}",
            "targets": [{"address": f"127.0.0.1:{port}", "labels": {"model": model, "replica": "0", "host": host}}],
            "bearer_token": "",
        }
        for model, host in (("chat", "gpu1"), ("code.1", "gpu2"))
    ]
    # One job has one path; the name of a job is a label, which the second one gets back.
    bench.parameters["prometheus_scrape_targets"][1]["job"] = "vllm2"
    return bench


def test_an_engine_that_is_gone_is_told_to_those_who_asked_and_its_return_too(made: Bench, world: Any) -> None:
    # Nobody is there, which does not keep the other one from being told.
    own = {"scheme": "https", "static_configs": [{"targets": ["127.0.0.1:9"]}]}
    fleet = f"127.0.0.1:{made.alertmanager_port}"
    result = made.render(
        alertmanager_receivers=receivers(world.server_address[1]),
        alertmanager_global={"smtp_smarthost": "127.0.0.1:9", "smtp_from": "a@example.org"},
        alertmanager_group_wait="1s",
        alertmanager_group_interval="1s",
        prometheus_fleet_alertmanagers=[fleet],
        prometheus_alertmanagers=[own],
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert PATH not in said
    assert PASSWORD not in said
    shown = made.root / "etc" / "alertmanager.shown.json"
    assert "hidden.invalid" in shown.read_text()
    assert not [secret for secret in (PATH, PASSWORD) if secret in shown.read_text()]
    assert (made.root / "etc" / "alertmanager" / "alertmanager.json").stat().st_mode & 0o777 == 0o600
    # Two minutes and more are how long an engine is away before anybody is told.
    rules = yaml.safe_load((made.config / "alerts.rules.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["for"] = "0s"
    (made.config / "alerts.rules.yml").write_text(yaml.safe_dump(rules))
    alerting = yaml.safe_load((made.config / "prometheus.yml").read_text())["alerting"]
    assert alerting["alertmanagers"] == [{"static_configs": [{"targets": [fleet]}]}, own]
    url = f"http://{fleet}"
    running = [made.start("alertmanager"), made.start("prometheus")]
    try:
        wait_for(lambda: "OK" in get(f"{url}/-/ready"), f"Alertmanager is ready: {made.log}")
        wait_for(lambda: "Ready" in get(f"{made.url}/-/ready"), f"Prometheus is ready: {made.log}")
        wait_for(lambda: len(made.query("query?query=up==1")["result"]) == 2, "both engines answer")
        wait_for(lambda: len(made.query("alertmanagers")["activeAlertmanagers"]) == 2, "Prometheus knows Alertmanager")
        world.gone.add("code.1")

        def told(name: str, status: str, to: str) -> list[dict[str, Any]]:
            return [
                alert
                for place, alert in list(world.told)
                if (place, alert["status"], alert["labels"]["alertname"]) == (to, status, name)
            ]

        for place in ("oncall", "coders", "log"):
            wait_for(lambda to=place: bool(told("ModelDown", "firing", to)), f"{place} is told")
        alert = told("ModelDown", "firing", "oncall")[0]
        assert alert["labels"] == {"alertname": "ModelDown", "severity": "critical", "model": "code.1"}
        assert alert["annotations"]["runbook_url"] == f"{made.parameters['prometheus_runbooks_url']}/ModelDown.md"
        assert alert["annotations"]["summary"] == "No replica of code.1 answers."
        world.gone.add("chat")
        wait_for(
            lambda: any(one["labels"]["model"] == "chat" for one in told("ModelDown", "firing", "log")), "both are"
        )
        world.gone.clear()
        for place in ("oncall", "coders", "log"):
            wait_for(lambda to=place: bool(told("ModelDown", "resolved", to)), f"{place} is told of its return")
        assert {alert["labels"]["model"] for place, alert in world.told if place == "coders"} == {"code.1"}
        assert {alert["labels"]["severity"] for place, alert in world.told if place == "oncall"} == {"critical"}
        assert PASSWORD not in made.log.read_text() + get(f"{url}/api/v2/status")
    finally:
        for process in running:
            process.terminate()
            process.wait(30)


def test_what_amtool_refuses_is_shown_without_secrets_and_does_not_land(made: Bench, world: Any) -> None:
    given = receivers(world.server_address[1])
    given[0]["webhook_configs"][0]["max_alerts"] = "many"
    result = made.render(alertmanager_receivers=given)
    assert result.returncode != 0
    assert "cannot unmarshal !!str `many`" in result.stdout
    assert PATH not in result.stdout + result.stderr
    assert not (made.root / "etc" / "alertmanager" / "alertmanager.json").exists()
