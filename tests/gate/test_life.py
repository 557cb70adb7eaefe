# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting, reloading, stopping and dying, with requests under way; keys that come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_process import GATE, Gate, Stub, Web, events, free_port, said
from patience import within

Start = Callable[..., Gate]


class Streams:
    """Streams that are read in the background, each to its end."""

    def __init__(self, gate: Gate, number: int, seconds: float) -> None:
        self.bodies: list[bytes] = []
        words = f"tokens={int(seconds * 20)} rate=20"
        self.expected = int(seconds * 20) + 2

        def read() -> None:
            self.bodies.append(gate.chat(words, stream=True).body)

        self._threads = [threading.Thread(target=read) for _number in range(number)]
        for thread in self._threads:
            thread.start()
        within(5, lambda: gate.in_flight() == number, "all streams are under way")

    def complete(self) -> bool:
        for thread in self._threads:
            thread.join(20)
        return [len(events(body)) for body in self.bodies] == [self.expected] * len(self._threads)


def test_reload_cuts_nothing_and_takes_the_new_settings(start: Start) -> None:
    gate = start()
    key = gate.key("scraper", scope="metrics")
    within(3, lambda: gate.get("/metrics", key).status == 200, "the key is known")
    streams = Streams(gate, 5, 2.0)
    gate.settings["models"].append({"name": "new", "aliases": ["newer"]})
    gate.settings["models"][1]["aliases"] = ["guide-2"]
    gate.settings["usage_log"] = str(gate.folder / "other.jsonl")
    gate.reload()
    within(2, lambda: gate.get("/v1/models/newer").status == 200, "the new model is there")
    assert gate.chat("hi", model="guide-2").status == 200
    assert gate.chat("hi", model="new").status == 200
    assert gate.in_flight() == 5
    del gate.settings["models"][2]
    gate.reload()
    within(2, lambda: gate.chat("hi", model="new").status == 404, "it is gone")
    assert streams.complete()
    within(2, lambda: len(gate.log()) == 2 + 5, "all are booked")


def test_reload_takes_another_key_of_the_engines_and_keeps_it_if_the_file_is_no_good(start: Start, stub: Stub) -> None:
    gate = start()
    streams = Streams(gate, 2, 1.0)
    sent = lambda: stub.last()[1]["authorization"]  # noqa: E731
    for key, expected in (("sk-another", "sk-another"), ("", "sk-another"), ("sk-third", "sk-third")):
        gate.engine_key(key)
        gate.reload()
        within(
            2, lambda expected=expected: gate.chat("hi").status == 200 and sent() == f"Bearer {expected}", "it holds"
        )
    assert "must hold the key of the engines" in gate.printed()
    assert "sk-another" not in gate.printed()
    assert streams.complete()


def test_reload_moves_it_to_another_port_or_leaves_it_where_it_is(start: Start, stub: Stub) -> None:
    gate = start()
    streams = Streams(gate, 3, 2.0)
    first, second = gate.port, free_port()
    gate.settings["port"] = second
    gate.reload()
    gate.port = second
    within(2, gate.listens, "it listens on the other port")
    within(2, lambda: not Web(first).listens(), "and no longer on the first")
    gate.settings["port"] = stub.port
    gate.reload()
    within(2, lambda: "cannot be used" in gate.printed(), "the port is in use")
    assert gate.chat("hi").status == 200
    gate.settings["port"] = first
    gate.reload()
    gate.port = first
    within(2, gate.listens, "it is back on the first port")
    assert streams.complete()


def test_settings_and_keys_that_are_no_good_change_nothing(start: Start) -> None:
    gate = start()
    assert gate.chat("hi").status == 200
    path = gate.folder / "gate.json"
    for number, text in enumerate(("", "{", "{}", json.dumps({**gate.settings, "models": [{"name": "a b"}]})), 1):
        path.write_text(text)
        gate.signal(signal.SIGHUP)
        within(3, lambda number=number: gate.printed().count("cannot be used") == number, "it says so")
        assert gate.chat("hi").status == 200
    # A bad file of keys at the moment of a reload locks nobody out.
    (gate.folder / "keys.json").write_text("{")
    time.sleep(1.1)
    assert gate.chat("hi").status == 200
    gate.reload()
    time.sleep(0.2)
    assert gate.chat("hi").status == 200
    (gate.folder / "keys.json").unlink()
    time.sleep(1.1)
    assert gate.chat("hi").status == 200
    gate.write_keys()


def test_a_revoked_key_is_refused_within_a_second_on_an_open_connection(start: Start) -> None:
    gate = start()
    body = json.dumps(said("hi")).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gate.key_of('team')}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with gate.connect() as connection:

        def status() -> int:
            connection.sendall(request)
            return int(connection.recv(65536)[9:12])

        assert status() == 200
        for change, expected in (({"blocked": True}, 401), ({"blocked": False}, 200), ({"expires": "2020-01-01"}, 401)):
            gate.key("team", **change)
            within(1, lambda expected=expected: status() == expected, f"{change} holds")
    gate.key("team")
    within(1, lambda: gate.get("/v1/models").status == 200, "the key works again")
    del gate.keys["team"]
    gate.keys["other"] = {"alias": "other", "sha256": "0" * 64}
    gate.write_keys()
    within(1, lambda: gate.get("/v1/models").status == 401, "a removed key is unknown")
    assert gate.get("/v1/models").json()["error"]["code"] == "invalid_api_key"


def test_stopping_lets_streams_end_and_takes_nobody_new(start: Start) -> None:
    gate = start()
    idle = gate.connect()
    streams = Streams(gate, 5, 2.0)
    gate.signal(signal.SIGTERM)
    within(1, lambda: not gate.listens(), "it listens no more")
    assert gate.runs()
    assert streams.complete()
    assert gate.process
    assert gate.process.wait(5) == 0
    assert idle.recv(10) == b""
    idle.close()
    assert [entry["status"] for entry in gate.log()] == [200] * 5


def test_stopping_has_an_end(start: Start) -> None:
    gate = start(stop_timeout=0.5)
    connection = gate.open(said("fail=hang"))
    within(2, lambda: gate.in_flight() == 1, "it is under way")
    gate.signal(signal.SIGTERM)
    assert gate.process
    assert gate.process.wait(5) == 0
    connection.close()
    assert [entry["status"] for entry in gate.log()] == [499]


def test_it_starts_again_on_the_same_port_and_log(start: Start) -> None:
    gate = start()
    for _number in range(2):
        assert gate.chat("hi").status == 200
        gate.signal(signal.SIGINT)
        assert gate.process
        assert gate.process.wait(5) == 0
        gate.start()
    assert len(gate.log()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"port": 0}, "port must be at least 1"),
        ({"prot": 1}, "unknown fields prot"),
        ({"usage_log": "/nowhere/usage.jsonl"}, "No such file"),
        ({"listen": "192.0.2.1"}, "192.0.2.1"),
    ],
)
def test_a_start_that_fails_says_why_in_a_line(start: Start, change: dict[str, object], message: str) -> None:
    gate = start(stopped=True, **change)
    environment = {**os.environ, "GATE_TRANSLATOR_KEY": "b"}
    command = [sys.executable, str(GATE), str(gate.write_settings())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_checking_the_settings_starts_nothing(start: Start, tmp_path: Path) -> None:
    gate = start(stopped=True)
    command = [sys.executable, str(GATE), "--check", str(gate.write_settings())]
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
    assert not (gate.folder / "usage.jsonl").exists()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATE_")}
    done = subprocess.run(
        [sys.executable, str(GATE), str(gate.write_settings())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, "GATE_TRANSLATOR_KEY" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
