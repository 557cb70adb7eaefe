# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that serve, that answer otherwise, that do not answer in time, and that are not there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.modules import serving_engines_info
from module_runner import run_module

STATUS = {"/health": 200, "/loading": 503}


class Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(STATUS.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)
    with local_server.serving(server):
        yield server.server_port


def instance(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "listen": "127.0.0.1", "port": port, **more}


def written(folder: Path, record: Any) -> str:
    (folder / "record").write_text(json.dumps(record))
    return str(folder / "record")


def test_only_those_that_answer_with_200_serve(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        instances = [
            instance("good-0", port),
            instance("everywhere-0", port, listen="0.0.0.0"),
            instance("loading-0", port, interface={"health_path": "/loading"}),
            instance("other-0", port, interface={"health_path": "/ready"}),
            instance("silent-0", silent.getsockname()[1]),
            instance("gone-0", 9),
        ]
        args = {"record": written(tmp_path, {"instances": instances}), "timeout": 1}
        result = run_module(serving_engines_info.main, args, monkeypatch, capsys)
    assert result["serving"] == ["good-0", "everywhere-0"]
    assert result["changed"] is False


@pytest.mark.parametrize(("record", "serving"), [({}, []), ({"instances": []}, []), (None, None), ([], None)])
def test_a_host_without_instances_or_without_a_record(
    record: Any, serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "none") if record is None else written(tmp_path, record)
    assert run_module(serving_engines_info.main, {"record": path}, monkeypatch, capsys).get("serving") == serving
