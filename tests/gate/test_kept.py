# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to engines are kept, and a request that meets the end of one is sent again, once and only then."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest
from gate_process import Gate, said
from patience import within

Start = Callable[..., Gate]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Engine(socketserver.ThreadingTCPServer):
    """A server whose connections give these answers one after the other, and then close."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, *connections: list[bytes]) -> None:
        self.connections = iter(connections)
        # Of each connection, how many requests came.
        self.requests: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    server: Engine

    def handle(self) -> None:
        number = len(self.server.requests)
        self.server.requests.append(0)
        for answer in next(self.server.connections):
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _colon, value = line.partition(b": ")
                length = int(value) if name.lower() == b"content-length" else length
            if not line:
                return
            json.loads(self.rfile.read(length))
            self.server.requests[number] += 1
            self.wfile.write(answer)


@contextlib.contextmanager
def engine(*connections: list[bytes]) -> Iterator[Engine]:
    with Engine(*connections) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def test_a_connection_is_used_again(start: Start) -> None:
    with engine([ANSWER] * 5) as server:
        gate = start(engines_url=server.url)
        assert [gate.chat("hi").status for _number in range(5)] == [200] * 5
        assert server.requests == [5]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_meets_the_end_of_a_connection_is_sent_again(start: Start, stream: bool) -> None:
    # The second request of the first connection is read, and nothing comes back.
    with engine([ANSWER, b""], [ANSWER]) as server:
        gate = start(engines_url=server.url)
        assert [gate.chat("hi", stream=stream).status for _number in range(2)] == [200, 200]
        assert server.requests == [2, 1]
        within(2, lambda: len(gate.log()) == 2, "both are booked")


def test_but_not_twice_and_not_on_a_new_connection(start: Start) -> None:
    with engine([ANSWER, b""], [b""], [b""]) as server:
        gate = start(engines_url=server.url)
        assert [gate.chat("hi").status for _number in range(3)] == [200, 502, 502]
        assert server.requests == [2, 1, 1]


def test_nor_once_a_byte_of_the_answer_has_come(start: Start) -> None:
    with engine([ANSWER, b"H"], [ANSWER]) as server:
        gate = start(engines_url=server.url)
        assert [gate.chat("hi").status for _number in range(2)] == [200, 502]
        assert server.requests == [2]


def test_nor_to_the_translator_whose_connections_are_not_kept(start: Start) -> None:
    with engine([ANSWER], [ANSWER], [b""]) as server:
        gate = start(translator_url=server.url)
        body = said("hi", max_tokens=5)
        assert [gate.post("/v1/messages", body).status for _number in range(3)] == [200, 200, 502]
        assert server.requests == [1, 1, 1]


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection(start: Start) -> None:
    endless = b"HTTP/1.1 500 No\r\ncontent-type: text/html\r\ncontent-length: 500\r\n\r\n<html>"
    after = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    more = ANSWER + ANSWER
    with engine([endless], [after], [more, ANSWER], [ANSWER]) as server:
        gate = start(engines_url=server.url)
        assert [gate.chat("hi").status for _number in range(4)] == [500, 200, 200, 200]
        # What a server sends without being asked is nobody's answer.
        assert server.requests == [1, 1, 1, 1]
