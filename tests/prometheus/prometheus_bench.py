# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The distribution's Prometheus and node exporter, run with what the roles make of their parameters.

They need the packages `prometheus` and `prometheus-node-exporter`; neither has to be running.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import yaml

HERE = Path(__file__).resolve().parent
ROLES = HERE.parents[1] / "roles"
TOKEN = "canary-token-of-the-gateway"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < end, f"not after {seconds:.0f} s: {what}"
        time.sleep(0.1)


class Target(ThreadingHTTPServer):
    """Something with metrics behind a token, as the gateway is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.refused = 0
        self.address = f"127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Target

    def do_GET(self) -> None:
        allowed = self.path == "/metrics/" and self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.server.refused += not allowed
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        if allowed:
            self.wfile.write(b'llmfleet_gate_requests_total{model="chat",status="200"} 5\n')

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def exporter(pages: dict[str, bytes]) -> Iterator[str]:
    """Serve pages of metrics by their paths, at the address that is given."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(pages[self.path])

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class Bench:
    """A folder for a root directory, and the programs in it."""

    def __init__(self, root: Path, target: Target) -> None:
        self.root = root
        self.config = root / "etc" / "prometheus"
        self.log = root / "log"
        self.port, self.node_port, self.alertmanager_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folders = (
            root / "state" / "prometheus",
            root / "state" / "node-exporter" / "textfile",
            root / "state" / "alertmanager",
        )
        for folder in (self.config, root / "etc" / "alertmanager", *folders):
            folder.mkdir(parents=True)
        defaults: dict[str, Any] = {}
        for role in ("prometheus", "node_exporter", "alertmanager"):
            defaults |= yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
        self.parameters = {
            **defaults,
            "service_packages": {
                "prometheus": {"programs": {"prometheus": "/usr/bin/prometheus", "promtool": "/usr/bin/promtool"}},
                "node-exporter": {"programs": {"node_exporter": "/usr/bin/prometheus-node-exporter"}},
                "alertmanager": {"programs": dict.fromkeys(("alertmanager", "amtool"), "")},
            },
            "alertmanager_receivers": [],
            "alertmanager_listen": "127.0.0.1",
            "alertmanager_port": self.alertmanager_port,
            "prometheus_fleet_alertmanagers": [],
            "service_config_root": str(root / "etc"),
            "service_state_root": str(root / "state"),
            "prometheus_listen": "127.0.0.1",
            "prometheus_port": self.port,
            "node_exporter_listen": "127.0.0.1",
            "node_exporter_port": self.node_port,
            "prometheus_scrape_interval": "1s",
            "prometheus_scrape_timeout": "1s",
            "prometheus_evaluation_interval": "1s",
            "prometheus_scrape_targets": [
                {
                    "job": "gate",
                    "targets": [{"address": target.address, "labels": {}}],
                    "bearer_token": TOKEN,
                    "metrics_path": "/metrics/",
                },
                {
                    "job": "node",
                    "targets": [{"address": f"127.0.0.1:{self.node_port}", "labels": {"rack": "r 1"}}],
                    "bearer_token": "",
                },
            ],
        }

    def render(self, **changes: Any) -> subprocess.CompletedProcess[str]:
        self.parameters.update(changes)
        extra = self.root / "parameters.json"
        extra.write_text(json.dumps(self.parameters))
        beside = Path(sys.executable).with_name("ansible-playbook")
        playbook = str(beside if beside.exists() else shutil.which("ansible-playbook"))
        argv = [playbook, "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"@{extra}"]
        environment = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "true"}
        return subprocess.run(
            [*argv, "--diff", str(HERE / "render.yml")], env=environment, text=True, capture_output=True, check=False
        )

    def start(self, program: str) -> subprocess.Popen[bytes]:
        command = json.loads((self.config / "commands.json").read_text())[program]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=self.root, stdout=log, stderr=subprocess.STDOUT)

    def query(self, path: str) -> Any:
        return json.loads(get(f"{self.url}/api/v1/{path}"))["data"]
