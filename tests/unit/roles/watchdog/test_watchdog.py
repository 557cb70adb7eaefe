# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog with an engine that is a process of its own, Echo, which is stopped in the middle of a request.

A stand-in takes the place of systemd and supervisor: it knows the process, kills it, and starts it again.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger
from load_file import load_file
from patience import Watch

ROOT = Path(__file__).resolve().parents[4]
FILES = ROOT / "roles" / "watchdog" / "files"
ECHO = ROOT / "tests" / "engine_echo" / "roles" / "echo" / "files" / "echo_server.py"
rules = load_file(FILES / "watchdog_rules.py")
asking = load_file(FILES / "watchdog_http.py")
watchdog = load_file(FILES / "watchdog.py")

KEY = "sk-engine-0123456789"
UNIT = "llm-echo-chat-0"
# The manager: FOLDER/pid has the process, FOLDER/state what the manager says, FOLDER/told what it was told.
MANAGER = """#!{python}
import os, pathlib, signal, subprocess, sys
folder, words = pathlib.Path({folder!r}), sys.argv[1:]
pid, state = (folder / "pid").read_text(), (folder / "state").read_text()
with (folder / "told").open("a") as told:
    told.write(" ".join(words) + "\\n")
if words[0] == "show":
    print("Id={unit}.service\\nActiveState=" + state + "\\nMainPID=" + (pid if state == "active" else "0"))
elif words[0] == "status":
    print("{unit}  " + state + "   pid " + pid + ", uptime 0:01:00\\nllm-web  STOPPED  Nov 27 09:00 AM")
elif "KILL" in words or "--signal=KILL" in words:
    os.kill(int(pid), signal.SIGKILL)
    new = subprocess.Popen({command!r}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "pid").write_text(str(new.pid))
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Host:
    """A host with a manager and a watchdog that is in a hurry."""

    def __init__(self, folder: Path, kind: str, port: int, engine: str = "echo", pid: int = 0) -> None:
        self.folder, self.kind, self.port = folder, kind, port
        self.command = [sys.executable, str(ECHO), "--model=chat", f"--port={port}"]
        (folder / "state").write_text(watchdog.RUNNING[kind])
        (folder / "pid").write_text(str(pid))
        (folder / "key").write_text(f"{KEY}\n")
        (folder / "metrics").mkdir()
        program = folder / "manager"
        values = {"python": sys.executable, "folder": str(folder), "unit": UNIT, "command": self.command}
        program.write_text(MANAGER.format(**values))
        program.chmod(0o755)
        interface = registry.interface_of({"engine": "vllm" if engine == "vllm" else "echo"})
        if engine == "echo":
            interface["health_path"] = "/ready"
        self.instance = {
            "name": "chat-0",
            "model": "chat",
            "replica": 0,
            "engine": "echo",
            "listen": "127.0.0.1",
            "port": port,
            "interface": interface,
        }
        (folder / "record").write_text(json.dumps({"instances": [self.instance]}))
        self.settings: dict[str, Any] = {
            "manager": kind,
            "control": [str(program)],
            "prefix": "llm-",
            "record": str(folder / "record"),
            "state_root": str(folder),
            "key_file": str(folder / "key"),
            "metrics_dir": str(folder / "metrics"),
            "modes": {"chat": "chat"},
            "prompts": {},
            "rules": {
                "stall_seconds": 0.25,
                "answer_seconds": 0.3,
                "probe_seconds": 0.3,
                "start_seconds": 30,
                "pauses": [0],
                "per_hour": 3,
                "prompt_interval": 0,
                "prompt_seconds": 5,
                "prompt_failures": 2,
                "gap_seconds": 60,
            },
        }

    def look(self, times: int = 1) -> None:
        for number in range(times):
            time.sleep(0.1 if number else 0)
            watchdog.Watchdog(self.settings).look()

    def told(self) -> list[str]:
        lines = (self.folder / "told").read_text().splitlines() if (self.folder / "told").exists() else []
        return [line for line in lines if not line.startswith(("show", "status"))]

    def ledger(self) -> list[dict[str, Any]]:
        path = self.folder / "ledger.jsonl"
        return ledger.entries(path.read_text()) if path.exists() else []

    def memory(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "watchdog.json").read_text())["services"]["echo-chat-0"])

    def metric(self, beginning: str) -> str:
        text = (self.folder / "metrics" / "llmfleet_watchdog.prom").read_text()
        (line,) = (line for line in text.splitlines() if line.startswith(f"llmfleet_watchdog_{beginning}"))
        return line.rpartition(" ")[2]

    def start(self) -> int:
        """Start the engine; return its process once it serves."""
        process = subprocess.Popen(self.command)
        (self.folder / "pid").write_text(str(process.pid))
        self.wait()
        return process.pid

    def wait(self) -> None:
        until = time.monotonic() + 20
        while asking.ask(("127.0.0.1", self.port), "/ready", 1).status != 200:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_API_KEY", KEY)


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, getattr(request, "param", "systemd"), free_port())
    first = made.start()
    yield made
    for pid in {first, int((tmp_path / "pid").read_text())}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("host", ["systemd", "supervisor"], indirect=True)
def test_an_engine_that_stands_still_in_a_request_is_restarted_within_its_deadline(host: Host) -> None:
    host.look(2)
    first = int((host.folder / "pid").read_text())
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        os.kill(first, signal.SIGSTOP)
        watch = Watch()
        while not host.told():
            host.look()
        assert watch.seconds() < 5
    host.wait()
    words = {
        "systemd": [f"restart --no-block -- {UNIT}.service", f"kill --signal=KILL -- {UNIT}.service"],
        "supervisor": [f"signal KILL {UNIT}"],
    }
    assert host.told() == words[host.kind]
    (entry,) = host.ledger()
    assert set(entry) == set(ledger.entry("restart", {}, {}, ""))
    assert (entry["kind"], entry["instance"], entry["model"], entry["who"]) == ("restart", "chat-0", "chat", "watchdog")
    assert "no sign of life for" in entry["verdict"]
    host.look(4)
    assert len(host.told()) == len(words[host.kind]), "the new process is left alone"
    assert host.metric("gave_up") == "0"
    assert host.memory()["counts"] == {"still": 1}
    assert host.memory()["ready"]


def test_no_secret_leaves_the_file_of_the_key(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.look(2)
    os.kill(int((host.folder / "pid").read_text()), signal.SIGSTOP)
    host.look(6)
    assert host.told()
    texts = [path.read_text() for path in host.folder.rglob("*") if path.is_file() and path.name != "key"]
    assert not [text for text in [*texts, *capfd.readouterr()] if KEY in text]
    assert stat.S_IMODE((host.folder / "ledger.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("state", ["activating", "deactivating", "inactive", "STARTING", "STOPPED", "STOPPING"])
def test_an_engine_that_its_manager_does_not_run_is_left_alone(tmp_path: Path, state: str) -> None:
    host = Host(tmp_path, "supervisor" if state.isupper() else "systemd", free_port(), pid=os.getpid())
    (tmp_path / "state").write_text(state)
    host.look(5)
    assert host.told() == []
    assert host.memory()["pid"] == ""


def test_nothing_is_done_while_a_run_changes_the_host(host: Host) -> None:
    host.look(2)
    moment = datetime.datetime.now(datetime.timezone.utc)
    (host.folder / "run.json").write_text(json.dumps({"id": "1", "renewed": ledger.stamp(moment)}))
    os.kill(int((host.folder / "pid").read_text()), signal.SIGSTOP)
    host.look(5)
    assert host.told() == []
    assert host.metric("paused") == "1"
    (host.folder / "run.json").unlink()
    host.look()
    assert host.told() == [], "time during the run does not count"
    host.look(5)
    assert host.told() != []


def test_a_run_that_begins_during_the_probe_comes_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.look(2)
    os.kill(int((host.folder / "pid").read_text()), signal.SIGSTOP)
    probed: list[bool] = []
    monkeypatch.setattr(watchdog.Watchdog, "paused", lambda _self: bool(probed))
    monkeypatch.setattr(asking, "answers", lambda *_arguments: probed.append(True))
    while not probed:
        host.look()
    assert host.told() == []


def test_a_host_that_was_suspended_begins_anew(host: Host) -> None:
    host.look(2)
    os.kill(int((host.folder / "pid").read_text()), signal.SIGSTOP)
    host.settings["rules"]["gap_seconds"] = 0
    host.look(5)
    assert host.told() == []


def test_an_engine_that_was_never_ready_has_the_time_of_a_start(tmp_path: Path) -> None:
    host = Host(tmp_path, "systemd", free_port(), pid=os.getpid())
    host.settings["rules"]["start_seconds"] = 3600 * 24 * 365
    host.look(5)
    assert host.told() == []


class Model(BaseHTTPRequestHandler):
    """An engine that does what a test says: its metrics, the status of a path, and its answer."""

    metrics = ""
    statuses: ClassVar[dict[str, int]] = {}
    text = "Paris"
    seconds = 0.0
    asked: ClassVar[list[str]] = []

    def log_message(self, *_args: object) -> None:
        pass

    def say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.say(self.statuses.get(self.path, 200), self.metrics.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(f"{self.path} {self.headers['Authorization']} {len(body)}")
        time.sleep(self.seconds)
        answer = {"choices": [{"message": {"content": self.text}}]}
        self.say(self.statuses.get(self.path, 200), json.dumps(answer).encode())


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[Host]:
    """A host whose engine has vLLM's metrics, with a request that makes no progress."""
    Model.metrics = "".join(f"{name} 1\n" for name in registry.interface_of({"engine": "vllm"})["progress_metrics"])
    Model.metrics += "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n"
    Model.statuses, Model.text, Model.seconds, Model.asked = {}, "Paris", 0.0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    host = Host(tmp_path, "systemd", server.server_port, "vllm", os.getpid())
    # The stand-in would kill this process.
    (tmp_path / "manager").write_text((tmp_path / "manager").read_text().replace("os.kill(", "print("))
    yield host
    server.shutdown()
    thread.join()


@pytest.fixture(autouse=True)
def _no_process_is_started(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "vllm" in request.fixturenames:
        monkeypatch.setattr(watchdog.Manager, "restart", lambda self, unit, at_once: told(request, unit, at_once))


def told(request: pytest.FixtureRequest, unit: str, at_once: bool) -> None:
    folder = request.getfixturevalue("tmp_path")
    with (folder / "told").open("a") as file:
        file.write(f"{unit} {at_once}\n")


def test_a_request_without_progress_is_probed_and_an_answer_is_enough(vllm: Host) -> None:
    vllm.look(5)
    assert Model.asked
    assert Model.asked[0].startswith(f"/v1/chat/completions Bearer {KEY}")
    assert vllm.told() == []


def test_a_request_without_progress_and_no_token_is_a_restart(vllm: Host) -> None:
    Model.seconds = 2
    vllm.look(5)
    assert vllm.told() == [f"{UNIT} True"] * len(vllm.told()) != []


def test_progress_during_the_probe_is_a_sign_of_life(vllm: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [1]

    def slow(*_arguments: object) -> bool:
        # Each probe sees some, however often a busy machine lets the watchdog probe.
        tokens.append(tokens[-1] + 1)
        earlier, now = (f"generation_tokens_total {number}" for number in tokens[-2:])
        Model.metrics = Model.metrics.replace(earlier, now)
        return False

    monkeypatch.setattr(asking, "answers", slow)
    vllm.look(4)
    assert len(tokens) > 1
    assert vllm.told() == []


@pytest.mark.parametrize(("status", "restarts"), [(500, True), (503, True), (401, False), (429, False)])
def test_what_an_answer_to_the_probe_says(vllm: Host, status: int, restarts: bool) -> None:
    Model.statuses = {"/v1/chat/completions": status}
    vllm.look(5)
    assert bool(vllm.told()) is restarts


@pytest.mark.parametrize("mode", ["chat", "embedding"])
def test_a_model_is_probed_by_what_it_can_do(vllm: Host, mode: str) -> None:
    vllm.settings["modes"] = {"chat": mode}
    Model.statuses = dict.fromkeys(
        ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/score", "/v1/audio/transcriptions"], 404
    )
    vllm.look(4)
    paths = [line.split()[0] for line in Model.asked]
    assert paths[0] == {"chat": "/v1/chat/completions", "embedding": "/v1/embeddings"}[mode]
    assert set(paths) == set(Model.statuses)
    assert vllm.told() == [], "nothing is known of an engine that refuses everything"


def test_the_hourly_limit_is_told_once(vllm: Host) -> None:
    Model.seconds = 2
    vllm.settings["rules"]["per_hour"] = 1
    vllm.look(10)
    assert [one["kind"] for one in vllm.ledger()] == ["restart", "give up"]
    assert vllm.metric("gave_up") == "1"
    Model.seconds = 0
    vllm.look(3)
    assert vllm.metric("gave_up") == "0"


def test_a_pause_is_kept(vllm: Host) -> None:
    Model.seconds = 2
    vllm.settings["rules"]["pauses"] = [60]
    vllm.look(9)
    assert [one["kind"] for one in vllm.ledger()] == ["restart"]


def prompts(host: Host) -> None:
    host.settings["prompts"] = {"chat": [{"prompt": "The capital of France?", "expect": "Paris"}]}
    host.settings["rules"].update(prompt_interval=0.01, stall_seconds=600)
    Model.metrics = Model.metrics.replace("running 1", "running 0")


def test_wrong_answers_are_a_restart_and_then_a_report(vllm: Host) -> None:
    prompts(vllm)
    vllm.look(3)
    assert vllm.told() == []
    Model.text = "!!!!!!!!"
    vllm.look(12)
    assert vllm.told() == [f"{UNIT} False"], "it ends its requests first"
    assert [one["kind"] for one in vllm.ledger()] == ["restart", "give up"]
    assert vllm.metric("semantic_probe_failing") == "1"
    Model.text = "Paris"
    vllm.look(2)
    assert vllm.metric("semantic_probe_failing") == "0"


def test_no_answer_to_a_semantic_probe_is_not_a_wrong_one(vllm: Host) -> None:
    prompts(vllm)
    Model.statuses = {"/v1/chat/completions": 503}
    vllm.look(5)
    assert Model.asked
    assert vllm.told() == []
    assert vllm.metric("wrong_answers") == "0"


def test_a_model_without_a_known_answer_is_never_asked(vllm: Host) -> None:
    prompts(vllm)
    vllm.settings["prompts"] = {"other": [{"prompt": "a", "expect": "b"}]}
    vllm.look(3)
    assert Model.asked == []


def test_a_host_without_instances_or_a_place_for_metrics_is_no_error(vllm: Host) -> None:
    (vllm.folder / "record").unlink()
    (vllm.folder / "metrics").rmdir()
    vllm.look(2)
    assert vllm.told() == []


def test_a_line_of_the_ledger_that_was_cut_short_stays_by_itself(vllm: Host) -> None:
    (vllm.folder / "ledger.jsonl").write_text('{"kind": "sta')
    watchdog.Watchdog(vllm.settings).note(vllm.instance, "restart", "why")
    (entry,) = vllm.ledger()
    assert entry["verdict"] == "why"


def test_the_program_looks_once_or_again_and_again(vllm: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (vllm.folder / "settings").write_text(json.dumps(vllm.settings))
    assert watchdog.main([str(vllm.folder / "settings")]) == 0
    assert watchdog.main([str(vllm.folder / "nothing")]) == 1
    looks: list[bool] = []

    def look(_self: Any) -> None:
        looks.append(True)
        if len(looks) > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watchdog.Watchdog, "look", look)
    with pytest.raises(KeyboardInterrupt):
        watchdog.main([str(vllm.folder / "settings"), "0.01"])


def test_the_program_runs_as_it_is_installed(vllm: Host) -> None:
    (vllm.folder / "settings").write_text(json.dumps(vllm.settings))
    command = ["/usr/bin/python3", "-B", str(FILES / "watchdog.py"), str(vllm.folder / "settings")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_manager_that_is_gone_is_no_service(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert watchdog.Manager("systemd", [str(tmp_path / "nothing")]).processes([UNIT]) == {}
    assert "nothing" in capfd.readouterr().out


def test_the_age_of_a_process(tmp_path: Path) -> None:
    assert 0 <= time.time() - watchdog.began(str(os.getpid())) < 86400
    assert watchdog.began("0") == 0.0


@pytest.mark.parametrize("text", ["", "[]", '{"choices": []}', '{"choices": [{"message": null}]}'])
def test_an_answer_that_is_none_is_no_answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(asking, "ask", lambda *_arguments: asking.Reply(200, text))
    assert asking.said(("127.0.0.1", 1), "chat", "a", KEY, 1) is None


def test_an_answer_that_trickles_has_the_same_deadline(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        one, _address = listener.accept()
        with one:
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(30):
                try:
                    one.sendall(b"a")
                except OSError:
                    return
                time.sleep(0.05)

    thread = threading.Thread(target=trickle)
    thread.start()
    watch = Watch()
    assert asking.ask(("127.0.0.1", listener.getsockname()[1]), "/", 0.3).status == 0
    assert watch.seconds() < 1
    thread.join()
    listener.close()
