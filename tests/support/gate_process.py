# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate as a process on free ports, in front of the stub backend as engines and as translator."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from patience import within

ROOT = Path(__file__).resolve().parents[2]
GATE = ROOT / "roles" / "gate" / "files" / "gate.py"
STUB = ROOT / "tests" / "benchmarks" / "stub_backend.py"
HOST = "127.0.0.1"
ENGINE_KEY, TRANSLATOR_KEY = "sk-of-the-engines", "sk-of-the-translator"
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.M)


class Answer(NamedTuple):
    """What came back, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def said(words: str, **fields: Any) -> dict[str, Any]:
    """The body of a chat that says these words, which are the stub's orders."""
    return {"model": "chat", "messages": [{"role": "user", "content": words}], **fields}


def events(body: bytes) -> list[Any]:
    """The chunks of a stream."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


class Web:
    """Something that listens."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """One request over a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        with contextlib.closing(connection):
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), 10)

    def listens(self) -> bool:
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def raw(self, data: bytes, timeout: float = 5.0) -> bytes:
        """What comes back to these bytes until the connection ends or nothing more comes."""
        received = b""
        with self.connect() as connection:
            connection.settimeout(timeout)
            with contextlib.suppress(OSError):
                connection.sendall(data)
            with contextlib.suppress(OSError):
                while piece := connection.recv(65536):
                    received += piece
        return received


class Stub(Web):
    """The stub backend."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.process = subprocess.Popen(
            [sys.executable, str(STUB), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        within(20, self.listens, "the stub listens")

    def counts(self) -> dict[str, int]:
        return dict(self.ask("GET", "/stub/counts").json())

    def last(self) -> tuple[str, dict[str, str], bytes]:
        """Path, headers and body of the last request."""
        given = self.ask("GET", "/stub/last").json()
        line, *lines = given["head"].split("\r\n")
        pairs = [header.partition(": ") for header in lines]
        headers = {name.lower(): value for name, _colon, value in pairs}
        assert len(headers) == len(pairs)
        return line.split(" ")[1], headers, given["body"].encode("latin-1")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Gate(Web):
    """The gate, its settings, its keys and what it leaves behind."""

    def __init__(self, folder: Path, stub: int, **settings: Any) -> None:
        super().__init__(free_port())
        self.folder = folder
        self.settings: dict[str, Any] = {
            "listen": HOST,
            "port": self.port,
            "keys_file": str(folder / "keys.json"),
            "engine_key_file": str(folder / "engine_key"),
            "engines_url": f"http://{HOST}:{stub}/engines",
            "translator_url": f"http://{HOST}:{stub}/translator",
            "usage_log": str(folder / "usage.jsonl"),
            "models": [{"name": "chat", "aliases": ["gpt-4o"], "context": 4096}, {"name": "guide"}],
            **settings,
        }
        self.keys: dict[str, dict[str, Any]] = {}
        self.teams: list[dict[str, Any]] = []
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None
        self.engine_key(ENGINE_KEY)

    def engine_key(self, key: str) -> None:
        """Write the file with the key of the engines."""
        (self.folder / "engine_key").write_text(f"{key}\n")

    def key(self, alias: str = "team", **fields: Any) -> str:
        """Make a key, or change one."""
        secret = f"sk-{alias}-0123456789abcdef"
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self.keys[alias] = {"alias": alias, "sha256": digest, **fields}
        self.write_keys()
        return secret

    def write_keys(self) -> None:
        new = self.folder / "keys.json.new"
        new.write_text(json.dumps({"keys": list(self.keys.values()), "teams": self.teams}))
        new.replace(self.folder / "keys.json")

    def write_settings(self) -> Path:
        path = self.folder / "gate.json"
        path.write_text(json.dumps(self.settings))
        return path

    def start(self) -> Gate:
        self.write_keys()
        environment = {**os.environ, "GATE_TRANSLATOR_KEY": TRANSLATOR_KEY}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(GATE), str(self.write_settings())], env=environment, stdout=output, stderr=output
            )
        within(20, self.listens, "the gate listens")
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def reload(self) -> None:
        """Have the settings read again, and wait until they hold."""
        self.write_settings()
        self.signal(signal.SIGHUP)

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def post(
        self, path: str, body: object, key: str = "", headers: dict[str, str] | None = None, timeout: float = 30.0
    ) -> Answer:
        """One request with a key, that of `team` if no other is given."""
        key = key or self.key_of("team")
        return self.ask("POST", path, body, {"Authorization": f"Bearer {key}", **(headers or {})}, timeout)

    def get(self, path: str, key: str = "", **headers: str) -> Answer:
        """One GET with a key."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, None, {"Authorization": f"Bearer {key or self.key_of('team')}", **given})

    def chat(self, words: str, key: str = "", **fields: Any) -> Answer:
        """One chat."""
        return self.post(CHAT, said(words, **fields), key)

    def key_of(self, alias: str) -> str:
        return f"sk-{alias}-0123456789abcdef"

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        if "scraper" not in self.keys:
            self.key("scraper", scope="metrics")
            within(3, lambda: self.get("/metrics", self.key_of("scraper")).status == 200, "the key for metrics works")
        text = self.get("/metrics", self.key_of("scraper")).body.decode()
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        samples = [(name_, given or "", value) for name_, given, value in SAMPLE.findall(text)]
        return sum(float(value) for name_, given, value in samples if name_ == name and wanted <= {*given.split(",")})

    def in_flight(self) -> float:
        return self.metric("llmfleet_gate_requests_in_flight")

    def log(self) -> list[dict[str, Any]]:
        """The usage log; each line is whole."""
        path = Path(self.settings["usage_log"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def memory(self) -> int:
        """Resident bytes."""
        assert self.process
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def open(self, body: object, key: str = "", path: str = CHAT) -> socket.socket:
        """A connection with a request under way whose answer nobody reads yet."""
        data = json.dumps(body).encode()
        connection = self.connect()
        head = f"POST {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {key or self.key_of('team')}\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return connection


def many(gate: Gate, number: int, body: object, key: str = "", path: str = CHAT) -> Counter[int]:
    """The statuses of requests that are sent at once."""

    async def ask(session: aiohttp.ClientSession) -> int:
        async with session.post(f"http://127.0.0.1:{gate.port}{path}", json=body) as answer:
            await answer.read()
            return answer.status

    async def all_of_them() -> list[int]:
        headers = {"Authorization": f"Bearer {key or gate.key_of('team')}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            return await asyncio.gather(*[ask(session) for _number in range(number)])

    return Counter(asyncio.run(all_of_them()))


def in_one_minute(seconds: float = 5.0) -> None:
    """Wait until a minute of the clock has at least so many seconds left."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left + 0.1)


def refused(answer: Answer, code: str) -> int:
    """Seconds after which to come back."""
    assert (answer.status, answer.json()["error"]["code"]) == (429, code), answer
    assert answer.json()["error"]["type"] == "rate_limit_error"
    return int(answer.headers["retry-after"])


@contextlib.contextmanager
def stub_running() -> Iterator[Stub]:
    stub = Stub(free_port())
    try:
        yield stub
    finally:
        stub.end()
