# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Services that really run, go from generation to generation, and back; under supervisor where the host has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.modules import service_generation, service_state
from module_runner import documented_options, run_module

NAME = "vllm-chat-0"
KEY = "sk-of-the-engine"
SERVER = """
import http.server, sys
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
"""
SUPERVISORD = """
[unix_http_server]
file={0}/s.sock
[supervisord]
logfile={0}/supervisord.log
pidfile={0}/supervisord.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{0}/s.sock
[include]
files={0}/etc/supervisor.d/*.conf
"""


class Processes:
    """A manager that starts scripts and keeps their processes, and does no more."""

    config: Path
    running: dict[str, subprocess.Popen[bytes]]

    def __init__(self, **_options: Any) -> None:
        pass

    def states(self, names: list[str]) -> dict[str, str]:
        alive = {name for name, process in self.running.items() if process.poll() is None}
        return {name: logic.RUNNING if name in alive else logic.UNKNOWN for name in names}

    def incarnation(self, name: str) -> str:
        return str(self.running[name].pid) if name in self.running else ""

    def definition_files(self, name: str) -> list[str]:
        return [f"{self.config}/{name}/run"]

    def pattern(self) -> str:
        return self.definition_files("*")[0]

    def leftovers(self, names: list[str]) -> list[str]:
        return [path for name in names for path in self.definition_files(name)]

    def stale(self, names: list[str]) -> bool:
        return False

    def prepare(self, names: list[str]) -> None:
        pass

    def act(self, name: str, action: str, reload_signal: str) -> None:
        self.stop([name])
        self.running[name] = subprocess.Popen(self.definition_files(name), start_new_session=True)

    def stop(self, names: list[str]) -> None:
        for name in [name for name in names if name in self.running]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running[name].pid, signal.SIGKILL)
            self.running.pop(name).wait()

    def disable(self, names: list[str]) -> None:
        self.stop(names)

    def forget(self, names: list[str]) -> None:
        pass

    def log_tail(self, name: str, lines: int) -> str:
        return ""

    def log_command(self, name: str) -> str:
        return "true"


def supervisorctl() -> str:
    """The program of requirements/test.in; in an environment from before it stood there, that of the demo."""
    found = shutil.which("supervisorctl", path=f"{Path(sys.executable).parent}:/opt/llmfleet/tools/bin")
    assert found, "supervisor is missing: make again what requirements/test.txt names, with `make clean unit`"
    return found


class Host:
    """A host with one engine, below a folder; calls the modules as the roles do."""

    def __init__(
        self, folder: Path, manager: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.manager, self.patch, self.capsys = folder, manager, patch, capsys
        self.config, self.state, self.record = folder / "etc", folder / "var", folder / "plan.fact"
        self.environment = folder / "venvs" / "vllm-1"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for path in (
            self.config / NAME,
            self.config / "supervisor.d",
            self.environment / "bin",
            self.state,
            folder / "m",
        ):
            path.mkdir(parents=True)
        (self.environment / "bin" / "python").symlink_to(sys.executable)
        (folder / "server.py").write_text(SERVER)
        (folder / "etc" / "supervisord.conf").write_text(SUPERVISORD.format(folder))
        (self.config / NAME / "secrets.env").write_text(f"KEY={KEY}\n")
        (folder / "etc" / "supervisor.d" / f"llm-{NAME}.conf").write_text(
            f"[program:llm-{NAME}]\ncommand={self.config}/{NAME}/run\nstartsecs=0\nstartretries=1\n"
            f"stdout_logfile={folder}/{NAME}.log\nredirect_stderr=true\nstopasgroup=true\n"
        )
        (self.state / "run.json").write_text(
            json.dumps({"id": "r1", "user": "ann", "control_host": "ops", "playbook": "site.yml"})
        )

    def change(self, version: str, revision: str = "", program: str = "") -> None:
        """Write what the inventory asks for, as service_files does."""
        self.revision = revision or version
        script = self.config / NAME / "run"
        words = [str(self.environment / "bin" / "python"), str(self.folder / "server.py"), str(self.port), version]
        marked = f"#!/bin/sh\n: <<E\n{logic.MARK}\nE\n"
        script.write_text(f"{marked}. {self.config}/{NAME}/secrets.env\n{program or 'exec ' + ' '.join(words)}\n")
        script.chmod(0o700)
        self.record.write_text(
            json.dumps({"instances": [{"name": "chat-0", "version": self.before}, {"name": "other-0"}], "measured": []})
            if hasattr(self, "before")
            else "{}"
        )

    def service(self) -> dict[str, Any]:
        told = {"instance": "chat-0", "model": "chat", "revision": self.revision, "snapshot": str(self.folder / "m")}
        secrets = str(self.config / NAME / "secrets.env")
        return {
            "name": NAME,
            "command": str(self.environment / "bin" / "python"),
            "restart_files": [secrets],
            "generation": {**told, "secret_files": [secrets]},
            "ready": {"url": f"http://127.0.0.1:{self.port}/", "deadline": 20},
        }

    def apply(self, services: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
        args = {
            "manager": self.manager,
            "services": [self.service()] if services is None else services,
            "config_root": str(self.config),
            "state_root": str(self.state),
            "log_root": str(self.folder),
            "record": str(self.record),
            "supervisorctl": supervisorctl(),
            "_ansible_remote_tmp": str(self.folder),
            **more,
        }
        result = run_module(service_state.main, args, self.patch, self.capsys)
        if not result.get("failed"):
            self.before = getattr(self, "revision", "")
        return result

    def generation(self, state: str, **more: Any) -> dict[str, Any]:
        args = {
            "host": "gpu1",
            "state": state,
            "state_root": str(self.state),
            "record": str(self.record),
            "_ansible_remote_tmp": str(self.folder),
            **({"service": NAME} if state in ("restored", "held", "released", "judged") else {}),
            **more,
        }
        return run_module(service_generation.main, args, self.patch, self.capsys)

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
            return str(response.read().decode())

    def ledger(self) -> list[dict[str, Any]]:
        path = self.state / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(params=["processes", "supervisor"])
def host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Host]:
    Processes.config, Processes.running = tmp_path / "etc", {}
    if request.param == "processes":
        monkeypatch.setattr(service_state, "Supervisor", Processes)
    here = Host(tmp_path, "supervisor", monkeypatch, capsys)
    yield here
    Processes().stop([NAME])
    if request.param == "supervisor":
        subprocess.run([supervisorctl(), "-c", str(here.config / "supervisord.conf"), "shutdown"], check=False)


def test_what_does_not_start_goes_back_and_further_back(host: Host) -> None:
    host.change("one")
    assert host.apply()["actions"] == {NAME: "start"}
    host.change("two")
    assert host.apply()["actions"] == {NAME: "restart"}
    assert host.answer() == "two"
    assert host.apply()["changed"] is False
    host.change("three", program="exit 3")
    assert host.apply()["failed"]
    listed = host.generation("listed")
    assert [one["state"] for one in listed["generations"][NAME]] == ["good", "good", "failed"]
    assert listed["present"] == {NAME: 2}

    # Without a number a restore leads to the last that was good.
    again = host.generation("restored", _ansible_check_mode=True, _ansible_diff=True)
    assert (again["generation"], again["changed"]) == (2, True)
    assert KEY not in json.dumps(again)
    assert "exit 3" in (host.config / NAME / "run").read_text()
    restored = host.generation("restored", why="it did not start")
    assert restored["generation"] == 2
    assert (host.config / NAME / "run").stat().st_mode & 0o777 == 0o700
    assert host.apply([restored["service"]])["actions"][NAME] in ("start", "restart")
    assert host.answer() == "two"
    assert host.generation("restored", generation=2)["changed"] is False

    restored = host.generation("restored")
    assert (restored["generation"], restored["instance"]["revision"]) == (1, "one")
    assert host.apply([restored["service"]])["changed"] is True
    assert host.answer() == "one"
    # What was left by a restore is not what the next one leads to.
    assert "no good one is kept before it" in host.generation("restored")["msg"]
    assert host.generation("restored", generation=2, _ansible_check_mode=True)["changed"] is True
    records = json.loads(host.record.read_text())
    assert {one["name"] for one in records["instances"]} == {"chat-0", "other-0"}
    told = [(one["kind"], one["to"]["generation"], one["verdict"].partition(":")[0]) for one in host.ledger()]
    assert told == [
        ("start", 1, "ready"),
        ("replace", 2, "ready"),
        ("replace", 3, "failed"),
        ("restore", 2, "ready"),
        ("restore", 1, "ready"),
    ]
    assert {one["who"] for one in host.ledger()} == {"ann@ops"}
    last = host.ledger()[-1]
    assert (last["run"], last["playbook"], last["instance"], last["model"]) == ("r1", "site.yml", "chat-0", "chat")
    assert last["from"] == {"generation": 2, "revision": "two", "package": str(host.environment)}
    assert last["when"].endswith("Z")


def test_the_record_of_an_instance_comes_back_with_its_generation(host: Host) -> None:
    for version in ("one", "two"):
        host.change(version)
        host.apply()
    assert host.generation("restored", generation=1)["changed"] is True
    records = json.loads(host.record.read_text())["instances"]
    assert {"name": "chat-0", "version": "one"} in records


def test_secrets_stay_as_they_are(host: Host) -> None:
    host.change("one")
    host.apply()
    (host.config / NAME / "secrets.env").write_text("KEY=sk-rotated\n")
    assert host.apply()["actions"] == {NAME: "restart"}
    # A rotated key is no other generation.
    assert [one["generation"] for one in host.generation("listed")["generations"][NAME]] == [1]
    host.change("two")
    host.apply()
    host.generation("restored")
    assert (host.config / NAME / "secrets.env").read_text() == "KEY=sk-rotated\n"
    kept = host.state / "generations"
    texts = [path.read_text() for path in kept.rglob("*") if path.is_file()]
    assert not [text for text in texts if KEY in text or "sk-rotated" in text]
    assert {path.stat().st_mode & 0o777 for path in kept.rglob("*") if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in kept.rglob("*") if path.is_file()} == {0o600}
    assert (host.state / "ledger.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_last_three_good_ones_are_kept(host: Host) -> None:
    for number in range(1, 7):
        host.change(f"v{number}")
        host.apply()
    assert [one["generation"] for one in host.generation("listed")["generations"][NAME]] == [3, 4, 5, 6]


def test_what_is_gone_is_named_and_nothing_is_changed(host: Host) -> None:
    for version in ("one", "two"):
        host.change(version)
        host.apply()
    before = (host.config / NAME / "run").read_text()
    shutil.move(host.environment, host.folder / "elsewhere")
    (host.folder / "m").rmdir()
    (host.config / NAME / "secrets.env").unlink()
    failed = host.generation("restored", generation=1)
    for part in (
        "gpu1",
        "generation 1",
        f"its environment {host.environment}",
        f"its model {host.folder}/m",
        "secrets",
        "site.yml",
    ):
        assert part in failed["msg"]
    assert (host.config / NAME / "run").read_text() == before
    assert "choose one of: 1, 2" in host.generation("restored", generation=9)["msg"]
    assert "vllm-chat-0" in host.generation("restored", service="vllm-none-0")["msg"]


def test_an_image_that_is_gone_is_named(host: Host) -> None:
    image = "docker.io/vllm/vllm@sha256:00"
    host.change("one")
    service = host.service()
    service["generation"]["image"] = image
    host.apply([service])
    host.change("two")
    host.apply()
    failed = host.generation("restored", container_program="/bin/false")
    assert f"its image {image} is gone" in failed["msg"]
    assert host.generation("listed")["images"] == [image]
    assert host.generation("restored", container_program="/bin/true")["generation"] == 1


def test_check_mode_and_no_change_write_nothing(host: Host) -> None:
    host.change("one")
    host.apply(_ansible_check_mode=True)
    assert not list(host.state.glob("generations/*"))
    host.apply()
    host.apply()
    assert [one["kind"] for one in host.ledger()] == ["start"]


def test_what_an_earlier_version_started_is_kept_once(host: Host) -> None:
    host.change("one")
    host.apply()
    shutil.rmtree(host.state / "generations")
    assert host.apply(_ansible_check_mode=True)["kept"] == [NAME]
    assert host.apply()["changed"] is True
    assert host.apply()["changed"] is False
    assert host.generation("listed")["present"] == {NAME: 1}
    assert [one["kind"] for one in host.ledger()] == ["start"]


def test_stops_are_recorded(host: Host) -> None:
    host.change("one")
    host.apply()
    host.apply([host.service()], state="stopped")
    host.apply([host.service()], state="stopped")
    host.apply()
    host.apply([], exclusive="vllm-")
    assert [one["kind"] for one in host.ledger()] == ["start", "stop", "start", "stop"]
    assert host.generation("pruned", _ansible_check_mode=True)["removed"] == [f"{host.state}/generations/{NAME}"]
    assert host.generation("pruned")["changed"] is True
    assert host.generation("pruned")["changed"] is False


def test_a_service_is_held_and_released(host: Host) -> None:
    host.change("one")
    host.apply()
    assert host.generation("held", why="slow")["changed"] is True
    held = host.generation("held", why="slow")
    assert held["changed"] is False
    assert {key: held["held"][NAME][key] for key in ("who", "why")} == {"who": "ann@ops", "why": "slow"}
    assert host.generation("released")["changed"] is True
    assert host.generation("released")["held"] == {}
    assert [one["kind"] for one in host.ledger()] == ["start", "hold", "release"]


def test_a_verdict_is_a_line_of_the_ledger(host: Host) -> None:
    host.change("one")
    host.apply()
    assert host.generation("judged", why="slow", figures={"new": {"requests": 7}})["changed"] is True
    last = host.ledger()[-1]
    assert [last[key] for key in ("kind", "verdict", "figures", "who")] == [
        "judge",
        "slow",
        {"new": {"requests": 7}},
        "ann@ops",
    ]


def test_documented_options_are_those_of_the_module() -> None:
    assert {"service", "generation", "hold", "why", "state"} <= set(documented_options(service_generation))
