# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""What a host says of its engines: those that serve, start, failed, were stopped, and drifted from their files."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import local_server
import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger, readiness, status
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store
from ansible_collections.llmfleet.serving.plugins.module_utils.service.started import Started
from ansible_collections.llmfleet.serving.plugins.modules import engine_status_info
from module_runner import documented_options, run_module

METRICS = """
# HELP vllm:num_requests_running Number of requests
vllm:num_requests_running{engine="0",model_name="chat"} 3.0
vllm:num_requests_running{engine="1",model_name="chat"} 1.0
vllm:num_requests_waiting{engine="0",model_name="chat"} 2.0
"""


class Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/health", "/metrics") else 404)
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_args: Any) -> None:
        pass


class Manager:
    """Has a service that runs in the process of this test, one that failed, and files in a folder."""

    folder: Path

    def __init__(self, **_options: Any) -> None:
        pass

    def states(self, names: list[str]) -> dict[str, str]:
        dead = ("vllm-failed-0", "vllm-stopped-0", "gate", "postgresql")
        return {name: logic.DEAD if name in dead else logic.RUNNING for name in names}

    def incarnation(self, name: str) -> str:
        return str(os.getpid())

    def definition_files(self, name: str) -> list[str]:
        return [f"{self.folder}/{name}.unit"]


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((local_server.ADDRESS, 0), Engine)
    with local_server.serving(server):
        yield server.server_port


@pytest.fixture
def silent() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free: int = server.getsockname()[1]
    return free


def test_what_the_services_of_a_host_do(
    port: int, silent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Manager.folder = tmp_path
    monkeypatch.setattr(engine_status_info, "Systemd", Manager)

    def instance(name: str, at: int) -> dict[str, Any]:
        more = {"memory": {"kv_cache": 7}, "kv_cache_tokens": 5, "env": {"HF_TOKEN": "canary-of-the-record"}}
        return {"name": name, "model": "chat", "engine": "vllm", "listen": "127.0.0.1", "port": at, **more}

    names = {"good-0": port, "starting-0": silent, "failed-0": silent, "stopped-0": silent}
    measured = [{"instance": "good-0", "measured": {"kv_cache_tokens": 6}}]
    record = tmp_path / "plan.fact"
    record.write_text(json.dumps({"instances": [instance(*one) for one in names.items()], "measured": measured}))
    store, unit = Store(str(tmp_path)), tmp_path / "vllm-good-0.unit"
    unit.write_text("one")
    about = {"instance": "good-0", "model": "chat", "revision": "abc", "snapshot": "", "image": "", "secret_files": []}
    service = {"name": "vllm-good-0", "command": "/bin/true", "restart_files": [], "reload_files": []}
    store.keep({**service, "generation": about}, [str(unit)], "good")
    store.note("vllm-good-0", "present", {"generation": 1})
    store.note("vllm-good-0", "held", {"who": "ann@ops", "why": "slow"})
    Started(str(tmp_path)).remember("vllm-good-0", readiness.wanted_digests(Manager(), service))
    store.write(ledger.START, about, verdict="ready")
    store.write(ledger.STOP, {"instance": "stopped-0"}, verdict="stopped")
    (tmp_path / "run.json").write_text(json.dumps({"id": "aa"}))

    def call() -> dict[str, Any]:
        services = [
            {"name": "llm-nginx", "url": f"http://127.0.0.1:{port}/health", "host": "gpu1", "serves": ["x"]},
            {"name": "llm-gate", "url": f"http://127.0.0.1:{silent}/health"},
            # Their manager alone can say.
            {"name": "llm-valkey", "url": ""},
            {"name": "llm-postgresql", "url": ""},
        ]
        args = {
            "manager": "systemd",
            "services": services,
            "record": str(record),
            "state_root": str(tmp_path),
            "_ansible_remote_tmp": str(tmp_path),
        }
        return run_module(engine_status_info.main, args, monkeypatch, capsys)

    result = call()
    assert "canary" not in json.dumps(result["engines"])
    good, *others = result["engines"]
    assert {key: good[key] for key in ("state", "running", "waiting", "generation", "revision", "drift", "engine")} == {
        "state": "serving",
        "running": 4,
        "waiting": 2,
        "generation": 1,
        "revision": "abc",
        "drift": [],
        "engine": "vllm",
    }
    assert good["kv"] == {"planned": {"bytes": 7, "tokens": 5}, "measured": {"bytes": None, "tokens": 6}}
    assert good["since"] <= ledger.now()
    assert (good["held"]["why"], good["last"]["verdict"]) == ("slow", "ready")
    assert [one["state"] for one in others] == ["starting", "failed", "stopped"]
    assert [(one["name"], one["state"]) for one in result["services"]] == [
        ("llm-nginx", "serving"),
        ("llm-gate", "failed"),
        ("llm-valkey", "serving"),
        ("llm-postgresql", "failed"),
    ]
    assert result["lock"] == {"id": "aa"}
    unit.write_text("two")
    assert call()["engines"][0]["drift"] == ["files on the disk differ from what runs"]
    record.unlink()
    assert call()["engines"] == []


def test_the_beginning_of_a_process() -> None:
    began = processes.began(str(os.getpid()))
    assert began
    assert processes.began("0") is None


def test_drift_of_what_runs() -> None:
    wanted = {"restart": "a", "whole": "b", "reload": ""}
    assert status.drift({"restart": "b"}, wanted, logic.RUNNING) == []
    assert status.drift({}, wanted, logic.RUNNING) == ["its last start did not come to its end"]
    assert status.drift({}, wanted, logic.DEAD) == []
    assert status.drift({}, {}, logic.RUNNING) == []


def test_documented_options_are_those_of_the_module() -> None:
    assert {"manager", "services", "record", "timeout"} <= set(documented_options(engine_status_info))
