# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door of the chat page."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from typing import Any

import pytest


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/api/config", "/static/a%2Fb.js", "/c/1?x=..%2f", "/api/v1/models/model?id=a%2Fb", "/metricsx"],
)
def test_the_page_is_there_and_paths_arrive_as_written(nginx: Any, path: str) -> None:
    answer = nginx.chat.ask(path)
    assert answer.status == 200
    assert answer.json["path"] == path
    assert answer.header("x-frame-options") == "SAMEORIGIN"
    assert answer.header("x-content-type-options") == "nosniff"
    assert dict(answer.json["headers"])["Host"] == f"chat.test:{nginx.chat.port}"
    assert dict(answer.json["headers"])["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "/metrics?x",
        "//metrics",
        "/%6detrics",
        "/api/..%2fmetrics",
        "/api/../metrics",
        "/metrics/../c/1",
        "/metrics/%2e%2e/c/1",
        "/docs",
        "/docs/oauth2-redirect",
        "/openapi.json",
        "/redoc",
    ],
)
def test_what_is_for_operators_is_not_there(nginx: Any, stubs: Any, path: str) -> None:
    answer = nginx.chat.ask(path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert path not in stubs["application"].seen()["paths"]


def test_uploads_are_limited(nginx: Any) -> None:
    assert nginx.chat.ask("/api/v1/files/", b"x" * 2_900_000).json["length"] == 2_900_000
    answer = nginx.chat.ask("/api/v1/files/", b"x" * 3_200_000)
    assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")
    # The page shows this sentence.
    assert answer.json["detail"] == "The request body is too large."


def test_keys_of_a_session_pass_untouched(nginx: Any) -> None:
    sent = dict(nginx.chat.ask("/api/config", key="session-token", headers={"Cookie": "token=1"}).json["headers"])
    assert (sent["Authorization"], sent["Cookie"]) == ("Bearer session-token", "token=1")


def test_a_websocket_stays_open_both_ways(nginx: Any) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    connection = nginx.chat.open()
    connection.connect()
    head = "GET /ws/socket.io/?EIO=4 HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sock.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    answer = connection.sock.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 101")
    proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    assert base64.b64encode(proof).decode() in answer
    for frame in (b"\x81\x85\x00\x00\x00\x00first", b"\x81\x86\x00\x00\x00\x00second"):
        connection.sock.sendall(frame)
        assert connection.sock.recv(65536) == frame
        time.sleep(0.2)
    connection.close()


def test_a_stream_of_the_page_comes_as_it_is_made(nginx: Any) -> None:
    connection, response = nginx.chat.send("/api/chat/completions", {"stream": 5})
    start = time.monotonic()
    arrivals = [time.monotonic() - start for line in iter(response.readline, b"") if line.startswith(b"data:")]
    connection.close()
    assert len(arrivals) == 5
    assert arrivals[-1] - arrivals[0] > 0.3


def test_a_page_that_is_gone_is_503(nginx: Any, stubs: Any) -> None:
    stubs["application"].kill()
    try:
        answer = nginx.chat.ask("/")
        assert (answer.status, answer.header("retry-after")) == (503, "2")
    finally:
        stubs["application"].start()
    assert nginx.chat.ask("/").status == 200
