# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway changes to another key only if no engine would refuse it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.modules import engine_access_info
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes
from module_runner import run_module

KEY = "sk-new-0123456789"
Run = Callable[..., "dict[str, Any]"]


class Engine(BaseHTTPRequestHandler):
    """Accepts the key after some refusals."""

    refusals = 0

    def do_GET(self) -> None:
        assert (self.path, self.headers["Authorization"]) == ("/v1/models", f"Bearer {KEY}")
        Engine.refusals -= 1
        self.send_response(401 if Engine.refusals >= 0 else 200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with local_server.serving(ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)) as place:
        yield place


@pytest.fixture
def run(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(refusals: int, has: str = "", given: bool = True, place: str = "", **options: Any) -> dict[str, Any]:
        Engine.refusals = refusals
        path = tmp_path / "engine_key"
        path.write_text(f"{has}\n")
        engine = {"name": "chat-0", "host": "gpu1", "address": place or address, "given": given}
        args = {"host": "gw1", "key": KEY, "key_file": str(path), "engines": [engine], "timeout": 1.0}
        found = run_module(engine_access_info.main, {**args, "deadline": 1.0, **options}, monkeypatch, capsys)
        assert KEY not in json.dumps(found)
        return {name: found[name] for name in ("changed", "asked", "problems")}

    return call


def test_a_gateway_that_has_the_key_asks_nobody(run: Run) -> None:
    assert run(99, has=KEY) == {"changed": False, "asked": 0, "problems": []}


@pytest.mark.parametrize("refusals", [0, 2])
def test_an_engine_that_accepts_it_in_time_is_no_problem(run: Run, refusals: int) -> None:
    assert run(refusals) == {"changed": False, "asked": 1, "problems": []}
    assert run(refusals, has="sk-old-0123456789")["problems"] == []


def test_an_engine_that_refuses_it_is_named(run: Run) -> None:
    (sentence,) = run(99)["problems"]
    assert sentence == "gpu1: chat-0 does not accept the key of this run (llm_engine_api_key) yet."


def test_an_engine_that_is_down_is_a_problem_only_where_nobody_gave_it_the_key(run: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}"
        assert run(0, place=place, has="sk-old-0123456789")["problems"] == []
        assert run(0, place=place, given=False)["problems"] == [], "a new gateway, and a host that is held"
        (sentence,) = run(0, place=place, given=False, has="sk-old-0123456789")["problems"]
    assert sentence == "gpu1: chat-0 does not answer, and this run did not give its host the key."


def test_it_is_told_names_and_places_alone() -> None:
    instance = {"name": "chat-0", "host": "gpu1", "address": "10.0.0.1:8100", "env": {"TOKEN": "secret"}, "weight": 1}
    told = {"name": "chat-0", "host": "gpu1", "address": "10.0.0.1:8100"}
    assert changes.asked_engines([instance], ["gpu1"]) == [{**told, "given": True}]
    assert changes.asked_engines([instance], []) == [{**told, "given": False}]
