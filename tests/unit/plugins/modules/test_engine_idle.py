# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for engines that finish, that do not, that do not tell, and that are not there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.modules import engine_idle
from module_runner import run_module

Run = Callable[..., "dict[str, Any]"]


class Engine(BaseHTTPRequestHandler):
    """Tells at each path how many requests it has: fewer with each reading."""

    left: dict[str, list[int]]

    def do_GET(self) -> None:
        left = Engine.left.get(self.path)
        self.send_response(200 if left else 404)
        self.end_headers()
        if left:
            running = left.pop(0) if len(left) > 1 else left[0]
            self.wfile.write(f"vllm:num_requests_running {running}\nvllm:num_requests_waiting 0\n".encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)
    with local_server.serving(server):
        yield server.server_port


@pytest.fixture
def run(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module on a host with these instances, by their readings."""

    def call(left: dict[str, list[int]], names: list[str] | None = None, **options: Any) -> dict[str, Any]:
        Engine.left = {f"/{name}": numbers for name, numbers in left.items()}
        instances = [{"name": name, "port": port, "interface": {"metrics_path": f"/{name}"}} for name in left]
        (tmp_path / "record").write_text(json.dumps({"instances": instances}))
        args = {"host": "gpu1", "names": names or list(left), "record": str(tmp_path / "record"), "interval": 0.01}
        return run_module(engine_idle.main, {**args, **options}, monkeypatch, capsys)

    return call


def test_it_waits_until_each_of_them_is_idle(run: Run) -> None:
    result = run({"chat-0": [3, 2, 0, 1, 0, 0], "guide-0": [0], "other-0": [7]}, ["chat-0", "guide-0"])
    assert (result["left"], result["changed"]) == ([], False)
    assert Engine.left["/chat-0"] == [0]
    assert Engine.left["/other-0"] == [7]


def test_after_the_deadline_it_tells_what_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ansible gives each warning once in a process, and other tests of this process have had theirs.
    warnings: list[str] = []
    monkeypatch.setattr(engine_idle.AnsibleModule, "warn", lambda _module, text, **_more: warnings.append(str(text)))
    result = run({"chat-0": [3, 2], "guide-0": [0]}, deadline=1, interval=0.3)
    assert result["left"] == [{"name": "chat-0", "running": 2, "waiting": 0}]
    assert any("gpu1: chat-0 still has 2 requests after 1 s" in one for one in warnings)
    assert any("llm_drain_timeout" in one for one in warnings)


def test_check_mode_reads_once_and_does_not_wait(run: Run) -> None:
    result = run({"chat-0": [3, 2], "guide-0": [0, 5]}, _ansible_check_mode=True)
    assert result["left"] == [{"name": "chat-0", "running": 3, "waiting": 0}]
    assert Engine.left == {"/chat-0": [2], "/guide-0": [5]}


def test_engines_that_do_not_tell_or_are_gone_are_not_waited_for(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Engine.left = {}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        instances = [
            {"name": "gone-0", "port": 9},
            {"name": "without-0", "port": port},
            {"name": "echo-0", "port": port, "engine": "echo"},
            {"name": "frozen-0", "port": silent.getsockname()[1]},
        ]
        (tmp_path / "record").write_text(json.dumps({"instances": instances}))
        names = [one["name"] for one in instances]
        args = {"names": names, "record": str(tmp_path / "record"), "interval": 0.01, "timeout": 1}
        result = run_module(engine_idle.main, args, monkeypatch, capsys)
    assert [one["name"] for one in result["left"]] == ["without-0", "echo-0", "frozen-0"]
    assert {one["running"] for one in result["left"]} == {None}


@pytest.mark.parametrize("record", [None, "[]", "{}"])
def test_a_host_without_instances_has_nobody_to_wait_for(
    record: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record"
    if record is not None:
        path.write_text(record)
    result = run_module(engine_idle.main, {"names": ["chat-0"], "record": str(path)}, monkeypatch, capsys)
    assert result["left"] == []
