# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what engines have counted, also where they do not tell."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.modules import engine_traffic_info
from module_runner import run_module


class Engine(BaseHTTPRequestHandler):
    """Has counted seven requests."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b'vllm:request_success_total{finished_reason="stop"} 7\nvllm:request_success_total 0\n')

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)
    with local_server.serving(server):
        yield server.server_port


def test_it_reads_the_instances_that_are_named(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instances = [
        {"name": "chat-0", "model": "chat", "port": port, "env": {"TOKEN": "secret"}},
        {"name": "lost-0", "model": "lost", "port": port, "interface": {"metrics_path": "/nothing"}},
        {"name": "gone-0", "model": "gone", "port": 9},
        {"name": "other-0", "model": "other", "port": port},
    ]
    (tmp_path / "record").write_text(json.dumps({"instances": instances}))
    moment = time.time() + 0.2
    args = {"host": "gpu1", "names": ["chat-0", "lost-0", "gone-0", "new-0"], "moment": moment}
    result = run_module(engine_traffic_info.main, {**args, "record": str(tmp_path / "record")}, monkeypatch, capsys)
    assert moment <= result["at"] < moment + 5
    counted = {one["instance"]: one["counted"] for one in result["traffic"]}
    assert set(counted) == {"chat-0", "lost-0", "gone-0"}
    assert counted["chat-0"]["requests"] == 7
    assert counted["lost-0"] is None
    assert counted["gone-0"] is None
    assert {one["host"] for one in result["traffic"]} == {"gpu1"}
    assert "secret" not in json.dumps(result)


def test_a_host_without_instances_has_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"names": ["chat-0"], "record": str(tmp_path / "none"), "moment": time.time() + 50}
    assert run_module(engine_traffic_info.main, args, monkeypatch, capsys)["traffic"] == []
