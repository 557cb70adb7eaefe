# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL, the program that books usage, and somebody who writes lines as the gate does.

The server is the distribution's in a cluster of the tests' own, on a socket in a folder; no cluster of the machine is
touched.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import gate_booked
from gate_log import UsageLog
from patience import within

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "usage" / "files"
NOVEMBER = 1793491200
"""1 November 2026, 00:00 UTC."""
PRICES = {"chat": {"input_per_token": 1e-06, "output_per_token": 4e-06}}
USER = "nobody"


def program(name: str) -> str:
    """Return the path of a program of the distribution's PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    assert found, f"{name} is not installed"
    return str(found[-1])


class Server:
    """A server of PostgreSQL; as root it runs as a user without rights, because it refuses root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._become = ["setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups"] if os.getuid() == 0 else []
        folder.mkdir()
        if self._become:
            shutil.chown(folder, USER, "nogroup")
        self.run("initdb", "--pgdata", str(folder / "data"), "--auth=trust", "--username=fleet", "--no-sync")
        self.environment = {"PGHOST": str(folder), "PGUSER": "fleet", "PGDATABASE": "postgres"}

    def run(self, name: str, *arguments: str) -> None:
        """Run one of its programs."""
        subprocess.run([*self._become, program(name), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        # What a process wrote outlives it without fsync; a machine that loses power is none of these tests.
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "jit": "off", "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = [*self._become, program("postgres"), "-D", str(self.folder / "data"), *options]
        ready = [program("pg_isready"), "--quiet", "--host", str(self.folder)]

        def is_ready() -> bool:
            # While processes of a server that was killed end, another one does not start.
            if self.process is None or self.process.poll() is not None:
                with (self.folder.parent / "server.log").open("ab") as log:
                    self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", start_new_session=True)
            return subprocess.run(ready, check=False).returncode == 0

        within(30, is_ready, "the server is ready")

    def end(self, number: int = signal.SIGINT) -> None:
        """End it by a signal; its other processes end when they notice."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)

    def ask(self, sql: str) -> list[list[str]]:
        """Return the rows that SQL prints."""
        argv = [program("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(argv, input=sql, env=environment, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]


class Gate:
    """Writes lines as the gate does, and knows their sums."""

    def __init__(self, folder: Path, most_bytes: int = 1 << 20, most_files: int = 64) -> None:
        self.path = str(folder / "usage.jsonl")
        self._log = UsageLog(self.path, most_bytes, most_files)
        self._random = random.Random(7)
        self.requests = self.tokens = 0

    def write(self, count: int, start: float = NOVEMBER) -> None:
        """Write so many lines."""
        choose = self._random.choice
        for number in range(count):
            prompt, completion = self._random.randrange(9000), self._random.randrange(900)
            entry = {
                "time": start + self.requests * 0.25,
                "request_id": f"{self.requests:032x}",
                "key": choose(["team-a", "team-b", "it's\\\t\n"]),
                "model": choose(["chat", "guide"]),
                "path": "/v1/chat/completions",
                "status": choose([200, 200, 200, 499, 503]),
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "cached_tokens": prompt // 2,
                "usage_known": True,
                "seconds": 1.5,
                "first_byte_seconds": 0.25 if number % 2 else None,
            }
            self._log.write(entry)
            self.requests += 1
            self.tokens += prompt + completion

    def write_text(self, text: bytes) -> None:
        """Write what is no line of the gate."""
        with open(self.path, "ab") as file:
            file.write(text)


class Booking:
    """The program, as the role lays it on a gateway."""

    def __init__(self, folder: Path, server: Server, spool: str, gateway: str = "gateway1", months: int = 0) -> None:
        folder.mkdir()
        told = gate_booked.place(spool)
        told.parent.mkdir(exist_ok=True)
        for path in FILES.glob("*.py"):
            shutil.copy(path, folder)
        settings = {
            "psql": program("psql"),
            "environment": server.environment,
            "spool": spool,
            "gateway": gateway,
            "prices": PRICES,
            "interval": 0.1,
            "months": months,
            "told": str(told),
        }
        (folder / "usage.json").write_text(json.dumps(settings))
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with (self.folder / "log").open("ab") as log:
            argv = [sys.executable, "-B", str(self.folder / "usage.py"), str(self.folder / "usage.json")]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return how it ended."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        return int(self.process.wait(30))

    def said(self) -> str:
        """Return what it has written."""
        return (self.folder / "log").read_text()


def sums(server: Server) -> tuple[int, int]:
    """Return booked requests and tokens."""
    text = "SELECT coalesce(sum(requests), 0), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM usage.minutes;"
    try:
        (row,) = server.ask(text)
    except subprocess.CalledProcessError:
        return -1, -1
    return int(row[0]), int(row[1])


def booked(server: Server, *gates: Gate) -> None:
    """Wait until all lines are booked; fail if the sums are others."""
    wanted = sum(gate.requests for gate in gates), sum(gate.tokens for gate in gates)
    within(30, lambda: sums(server)[0] >= wanted[0], f"all requests are booked: {sums(server)} of {wanted}")
    assert sums(server) == wanted
