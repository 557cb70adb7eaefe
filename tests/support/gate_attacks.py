# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that do what hurt others in the security review. Each goes on until its process is ended."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable

HELLO = [{"role": "user", "content": "hi"}]
# Between the requests of an attacker; the processor that sends them is the gate's too.
PAUSE = 0.02


def head(key: str, length: int) -> bytes:
    """The head of a request with a body of this length."""
    line = f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n"
    return f"{line}Content-Length: {length}\r\n\r\n".encode()


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def again(port: int, key: str, body: bytes) -> None:
    """Send a request over a connection of its own, read what comes back, and do it again."""
    while True:
        with opened(port) as connection, contextlib.suppress(OSError):
            connection.sendall(head(key, len(body)) + body)
            connection.recv(65536)
        time.sleep(PAUSE)


def strangers_with_30_mb(port: int, _key: str) -> None:
    again(port, "sk-of-nobody", b" " * (30 << 20))


def malformed_json(port: int, key: str) -> None:
    again(port, key, b'{"model":"chat","messages":' + b"[" * 50_000)


def many_choices(port: int, key: str) -> None:
    again(port, key, json.dumps({"model": "chat", "messages": HELLO, "n": 16_384}).encode())


def enum_of_20000(port: int, key: str) -> None:
    schema = {"type": "string", "enum": [f"entry-{number}" for number in range(20_000)]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    again(port, key, json.dumps({"model": "chat", "messages": HELLO, "response_format": wanted}).encode())


def slow_readers(port: int, key: str) -> None:
    """Large answers that nobody reads, in few pieces: it is not the stub that is measured."""
    words = [{"role": "user", "content": "tokens=4000000 interval=1000"}]
    body = json.dumps({"model": "chat", "messages": words, "stream": True}).encode()
    held = [opened(port) for _number in range(8)]
    for connection in held:
        connection.sendall(head(key, len(body)) + body)
    time.sleep(3600)


def slow_writers(port: int, key: str) -> None:
    """Bodies that come byte by byte."""
    held = [opened(port) for _number in range(200)]
    for connection in held:
        connection.sendall(head(key, 100_000))
    while True:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(b" ")
        time.sleep(0.5)


ATTACKS: tuple[Callable[[int, str], None], ...] = (
    strangers_with_30_mb,
    malformed_json,
    many_choices,
    enum_of_20000,
    slow_readers,
    slow_writers,
)
