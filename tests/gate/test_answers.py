# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client gets: streams event by event, usage as it asked, and a plain error when a server behind breaks."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from gate_process import CHAT, COMPLETIONS, Gate, Stub, events, free_port, said
from patience import Watch, within

Start = Callable[..., Gate]


def text(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_a_stream_comes_event_by_event(gate: Gate) -> None:
    with gate.open(said("tokens=10 rate=20", stream=True)) as connection:
        times: list[float] = []
        received = b""
        while b"[DONE]" not in received:
            received += connection.recv(65536)
            times.append(time.monotonic())
    assert len(times) >= 8
    assert 0.3 < times[-1] - times[0] < 3
    assert b"cache-control: no-cache" in received.lower()


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("options", "usages"),
    [
        (None, 0),
        ({}, 0),
        ({"include_usage": False}, 0),
        ({"include_usage": True}, 1),
        ({"continuous_usage_stats": True}, 0),
        ({"include_usage": True, "continuous_usage_stats": False}, 1),
        ({"include_usage": True, "continuous_usage_stats": True}, -1),
    ],
)
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_sees_usage_as_it_asked(gate: Gate, path: str, options: Any, usages: int, n: int) -> None:
    body: dict[str, Any] = {"model": "chat", "stream": True, "n": n}
    body |= {"messages": said("tokens=6")["messages"]} if path == CHAT else {"prompt": "tokens=6"}
    if options is not None:
        body["stream_options"] = options
    within(5, lambda: gate.in_flight() == 0, "the request of the test before is booked")
    before = len(gate.log())
    answer = gate.post(path, body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    chunks = events(answer.body)
    with_usage = [chunk for chunk in chunks if "usage" in chunk]
    assert len(with_usage) == (len(chunks) if usages < 0 else usages)
    if usages:
        last = chunks[-1]
        assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 6 * n)
        assert last["usage"]["prompt_tokens"] == 8
    else:
        assert all(chunk["choices"] for chunk in chunks)
    assert {choice["index"] for chunk in chunks for choice in chunk["choices"]} == set(range(n))
    within(2, lambda: len(gate.log()) == before + 1, "it is booked")
    entry = gate.log()[-1]
    assert (entry["prompt_tokens"], entry["completion_tokens"], entry["usage_known"]) == (8, 6 * n, True)


def test_a_plain_answer_is_the_engines_own(gate: Gate, stub: Stub) -> None:
    body = said("tokens=50", model="guide")
    direct = stub.ask("POST", CHAT, body).json()
    answer = gate.post(CHAT, body)
    assert {**answer.json(), "created": 0} == {**direct, "created": 0}
    assert {*answer.headers} <= {"content-type", "content-length", "date", "server"}
    large = gate.post(CHAT, said("tokens=100000"))
    assert large.json()["usage"]["completion_tokens"] == 100_000
    within(2, lambda: gate.log()[-1]["completion_tokens"] == 100_000, "it is booked")


def test_the_clients_leaving_reaches_the_backend(gate: Gate, stub: Stub) -> None:
    for words, stream in (
        ("tokens=1000 rate=20", True),
        ("fail=hang", True),
        ("fail=hang", False),
        ("delay=30", False),
    ):
        before = stub.counts()
        connection = gate.open(said(words, stream=stream))
        if words.startswith("tokens"):
            connection.recv(100)
        within(3, lambda before=before: stub.counts()["requests"] > before["requests"], f"the backend has {words}")
        connection.close()
        within(1, lambda before=before: stub.counts()["hangups"] > before["hangups"], f"the backend is left at {words}")
    within(1, lambda: gate.log()[-1]["status"] == 499, "it is booked as left")


def test_a_slow_reader_holds_up_nobody_and_costs_no_memory(gate: Gate) -> None:
    before = gate.memory()
    readers = [gate.open(said("tokens=80000", stream=True)) for _number in range(8)]
    time.sleep(1)
    watch = Watch()
    assert gate.chat("hi").status == 200
    assert watch.seconds() < 2
    assert gate.memory() - before < 64 << 20
    # The gate's own time for a request ends it, though it is the client that does not go on.
    within(9, lambda: gate.in_flight() == 0, "readers that stand still lose their slots")
    for reader in readers:
        reader.close()


def test_a_server_that_is_down_is_503(start: Start) -> None:
    gate = start(translator_url=f"http://127.0.0.1:{free_port()}")
    answer = gate.post("/v1/messages", said("hi", max_tokens=5))
    assert (answer.status, answer.json()["error"]["type"]) == (503, "overloaded_error")
    assert answer.headers["retry-after"] == "1"
    answer = gate.post("/v1/responses", {"model": "chat", "input": "hi"})
    assert (answer.status, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert gate.chat("hi").status == 200


def test_a_stream_that_breaks_off_says_so_and_looks_complete_to_nobody(gate: Gate) -> None:
    with gate.open(said("fail=cut tokens=20", stream=True)) as connection:
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")
    last = received.split(b"data: ")[-1]
    assert json.loads(last.split(b"\n")[0])["error"]["code"] == "bad_gateway"
    within(1, lambda: gate.log()[-1]["status"] == 502, "it is booked")
    assert gate.log()[-1]["completion_tokens"] == 10


def test_a_connection_serves_many_requests(gate: Gate) -> None:
    body = json.dumps(said("hi")).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gate.key_of('team')}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with gate.connect() as connection:
        for _number in range(5):
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        # All at once, and the answers come in order.
        connection.sendall(request * 5)
        received = b""
        connection.settimeout(5)
        while received.count(b"HTTP/1.1 200") < 5:
            received += connection.recv(65536)
        # An error is no reason to close, unless there is a body that nobody reads.
        connection.sendall(head.encode() + b"Content-Length: 2\r\n\r\n[]")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_old_clients_get_an_answer_to_its_end(gate: Gate) -> None:
    body = json.dumps(said("tokens=20", stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.0\r\nAuthorization: Bearer {gate.key_of('team')}\r\nContent-Length: {len(body)}\r\n\r\n"
    received = gate.raw(head.encode() + body)
    assert b"transfer-encoding" not in received.lower()
    assert len(events(received.split(b"\r\n\r\n", 1)[1])) == 22


def test_half_closed_clients_leave(gate: Gate) -> None:
    with gate.open(said("fail=hang")) as connection:
        within(3, lambda: gate.in_flight() == 1, "the request is under way")
        connection.shutdown(socket.SHUT_WR)
        within(1, lambda: gate.in_flight() == 0, "a client that has closed its side is gone")
