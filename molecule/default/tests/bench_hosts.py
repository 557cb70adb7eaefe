# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the bench need to know of its hosts: commands, listeners, and the north door."""

from __future__ import annotations

import http.client
import ipaddress
import json
import runpy
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# One scanner for every leak test: it knows how a secret may be quoted.
SCANNER = runpy.run_path(str(Path(__file__).resolve().parents[3] / "tests" / "leaks" / "scan_secrets.py"))


def in_host(
    host: str, *command: str, stdin: str = "", timeout: float = 120, codes: tuple[int, ...] | None = (0,)
) -> str:
    """Run a command in a host and return what it printed; it fails where the command does.

    :param stdin: standard input, which carries what no process list may show.
    :param codes: exit codes that are expected; None where the caller judges by the output.
    """
    result = subprocess.run(
        ["docker", "exec", "-i", host, *command],
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if codes is not None:
        said = " ".join(result.stderr.split())[:300]
        assert result.returncode in codes, f"{host}: {' '.join(command)[:200]} exited with {result.returncode}: {said}"
    return result.stdout


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Poll until the condition holds and return how long that took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(1)
    pytest.fail(f"{what}: not within {seconds} s")


class Secrets(dict[str, str]):
    """The fleet's secrets by name; a failing test prints how many there are, and none of them."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"

    def hits(self, text: str) -> int:
        return len(list(SCANNER["Scan"](dict(self)).found_in(text.encode(errors="replace"))))

    def files(self, host: str, options: list[str], folders: list[str]) -> list[str]:
        """Name the files of a host that hold a secret."""
        patterns = (
            "\n".join(sorted(form for secret in self.values() for form in SCANNER["written_forms"](secret))) + "\n"
        )
        command = ["grep", "-rlF", *options, "-f", "-", *folders]
        # 1: no file holds one. 2: a file went while it was read, or a folder is not on this host.
        return in_host(host, *command, stdin=patterns, timeout=300, codes=(0, 1, 2)).splitlines()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class _Connection(http.client.HTTPSConnection):
    """An HTTPS connection to an address under the name that its certificate carries."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, port, timeout=timeout, context=context)
        self._address = address
        self._name = name
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


@dataclass
class Door:
    """The north door of a host, its certificate verified."""

    address: str
    port: int
    name: str
    context: ssl.SSLContext
    key: str = field(repr=False)

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, timeout: float = 60
    ) -> Answer:
        connection = _Connection(self.address, self.port, self.name, self.context, timeout)
        try:
            sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read().decode(errors="replace"))
        finally:
            connection.close()

    def chat(self, prompt: str = "What is nginx for?", model: str = "chat", **options: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16, **options}
        return self.request("POST", "/v1/chat/completions", body)


def address_of(host: str) -> str:
    return in_host(host, "hostname", "-I").split()[0]


def listener(host: str, port: int) -> str:
    """Address and port of what listens on a port of the host, '' when nothing does."""
    for line in in_host(host, "ss", "-Hltn").splitlines():
        if line.split()[3].endswith(f":{port}"):
            return line.split()[3]
    return ""


def local_status(host: str, port: int, path: str) -> str:
    """HTTP status that a service of the host answers on its own port."""
    url = f"http://{listener(host, port)}{path}"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", url]
    # A service that is coming back refuses connections: 000.
    return in_host(host, *command, codes=None)


@dataclass
class Listeners:
    """TCP ports of a host that are listened on, by whom they let in."""

    public: set[int]
    fleet: set[int]
    loopback: set[int]


def listeners(host: str) -> Listeners:
    """Sort what listens by its address: any, one of the host's own, or loopback."""
    own = set(in_host(host, "hostname", "-I").split())
    found = Listeners(set(), set(), set())
    for line in in_host(host, "ss", "-Hltn").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        address = address.strip("[]").partition("%")[0]
        if address == "*" or ipaddress.ip_address(address).is_unspecified:
            found.public.add(int(port))
        elif address in own:
            found.fleet.add(int(port))
        else:
            assert ipaddress.ip_address(address).is_loopback, line
            found.loopback.add(int(port))
    return found
