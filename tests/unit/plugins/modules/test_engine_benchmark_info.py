# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark of an engine is run in its own environment, and its key is in no command line and no result."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.modules import engine_benchmark_info
from module_runner import run_module

KEY, ENGINE_KEY = "sk-client-0123456789", "sk-engine-0123456789"
PROGRAM = """
import json, sys
given = json.load(sys.stdin)
assert len(sys.argv) == 1, sys.argv
print("noise")
told = {"tokenizer": given["tokenizer"], "connect": given["connect"], "keyed": len(given["api_key"])}
print(json.dumps({"name": "one", "result": told}))
print(json.dumps({"release": "0.32.0"}))
"""
Run = Callable[..., "dict[str, Any]"]


class Engine(BaseHTTPRequestHandler):
    """Tells where its model is."""

    listed: Any = None

    def do_GET(self) -> None:
        assert (self.path, self.headers["Authorization"]) == ("/v1/models", f"Bearer {ENGINE_KEY}")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(Engine.listed).encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with local_server.serving(ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)) as place:
        yield place


@pytest.fixture
def run(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(program: str = PROGRAM, root: str = "/models/chat/c0ffee/", check: bool = False, **more: Any) -> Any:
        Engine.listed = {"data": [{"id": "chat", "root": root}]}
        path = tmp_path / "bench_serve.py"
        path.write_text(program)
        order = {
            "base_url": "https://llm.example",
            "connect": "127.0.0.1",
            "model": "chat",
            "tokenizer": "",
            "tokenizer_mode": "auto",
            "input_len": 64,
            "output_len": 8,
            "points": [],
            "seconds": 5,
            "engine_url": f"http://{address}",
            "command": [sys.executable, str(path)],
            **more,
        }
        args = {"host": "gpu1", "order": order, "api_key": KEY, "engine_api_key": ENGINE_KEY, "seed": 1}
        found = run_module(engine_benchmark_info.main, {**args, "_ansible_check_mode": check}, monkeypatch, capsys)
        found.pop("invocation", None)
        assert KEY not in json.dumps(found)
        return found

    return call


def test_what_the_program_tells_is_returned(run: Run) -> None:
    found = run()
    told = {"tokenizer": "/models/chat/c0ffee/", "connect": "127.0.0.1", "keyed": len(KEY)}
    assert found["points"] == [{"name": "one", "result": told}]
    assert (found["release"], found["files"]) == ("0.32.0", "c0ffee")


def test_check_mode_sends_nothing(run: Run) -> None:
    assert "points" not in run(program="raise SystemExit(1)", check=True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"program": "raise SystemExit('the key is ' + 'sk-client-' + '0123456789')"}, "ended with status 1"),
        ({"command": ["/nowhere/python", "/nowhere/bench_serve.py"]}, "run site.yml"),
        ({"engine_url": "http://127.0.0.1:1"}, "connection refused"),
        ({"root": ""}, "does not say where the model's files are"),
    ],
)
def test_a_failure_says_what_and_what_to_do(run: Run, more: dict[str, Any], said: str) -> None:
    found = run(**more)
    assert found["failed"]
    assert said in found["msg"]
    assert found["msg"].startswith("gpu1: chat: ")
