# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Broken bytes from clients, mutated bodies, and broken answers of servers behind: the gate survives all of them.

The numbers and the seed are fixed, so a failure comes again. During all of it another client's good request gets its
answer; at the end no slot is held and nothing has been printed but plain lines (see conftest).
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gate_process import CHAT, COMPLETIONS, Gate, Stub, said
from patience import within

Start = Callable[..., Gate]
SEED = 20_261_126
MUTATIONS, BODIES = 2500, 1200
KEY = "sk-team-0123456789abcdef"
BODY = json.dumps(said("hi")).encode()
HEAD = f"Host: g\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n".encode()
GOOD = b"POST /v1/chat/completions HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})")


@contextlib.contextmanager
def bystander(gate: Gate) -> Iterator[None]:
    """Another client, whose good requests are all answered while something else goes on."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        statuses.append(gate.chat("hi").status)
        while not over.wait(0.02):
            statuses.append(gate.chat("hi").status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)
    assert set(statuses) == {200}
    within(5, lambda: gate.in_flight() == 0, "no slot is held")


def chunked(*lines: bytes, extra: bytes = b"") -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        + HEAD
        + extra
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(lines)
    )


def smuggled() -> bytes:
    """A request without a key in the body of another, which must never be answered as a request."""
    return b"GET /health HTTP/1.1\r\nHost: smuggled\r\nX: "


def post(*headers: bytes, line: bytes = b"POST /v1/chat/completions HTTP/1.1", body: bytes = BODY) -> bytes:
    return line + b"\r\n" + HEAD + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


SIZE = b"Content-Length: %d" % len(BODY)
# Framing that two readers could understand in two ways. One answer, and never a 200 to what was smuggled.
FRAMING = [
    post(SIZE, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: chunked", SIZE, body=b"0\r\n\r\n" + smuggled()),
    post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: identity", SIZE),
    post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    post(b"Transfer-Encoding: identity, chunked", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: xchunked", SIZE),
    post(b"Transfer-Encoding:\tchunked", SIZE, body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding : chunked", SIZE, body=b"0\r\n\r\n" + smuggled()),
    post(b" Transfer-Encoding: chunked", SIZE, body=b"0\r\n\r\n" + smuggled()),
    post(b"X: y\n Transfer-Encoding: chunked", SIZE),
    post(b"Transfer-Encoding: chunked\x00", SIZE),
    post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + smuggled()),
    post(b"Transfer-Encoding: CHUNKED", SIZE, body=b"0\r\n\r\n" + smuggled()),
    post(SIZE, b"Content-Length: 0", body=smuggled()),
    post(b"Content-Length: 0", SIZE, body=smuggled()),
    post(SIZE, SIZE),
    post(b"Content-Length: 5, 5"),
    post(b"Content-Length: +5"),
    post(b"Content-Length: -5"),
    post(b"Content-Length: 0x10"),
    post(b"Content-Length: 5 5"),
    post(b"Content-Length: 1e3"),
    post(b"Content-Length: "),
    post(b"Content-Length: 99999999999999999999999"),
    post(b"Content-Length: 18446744073709551616"),
    post(b"Content-Length : 5"),
    post(b"Content-Length:\x0b5"),
    chunked(b"zz\r\n"),
    chunked(b"-1\r\n"),
    chunked(b"ffffffffffffffffff\r\n"),
    chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
    chunked(b"5\r\nhelloworld\r\n0\r\n\r\n"),
    chunked(b"5\nhello\n0\n\n"),
    chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunked(b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    chunked(b"2\r\n{}\r\n0\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
    chunked(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\nAuthorization: Bearer x\r\n\r\n"),
    chunked(b"1\r\n[\r\n" * 5000),
    chunked(b"0\r\n\r\n" + smuggled(), extra=SIZE + b"\r\n"),
    b"POST /v1/chat/completions HTTP/1.0\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled(),
]
LINES = [
    b"",
    b"\r\n\r\n\r\n",
    b"\x00" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/1.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/11\r\n\r\n",
    b"GET / http/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n",
    b"GET /\xff?\xfe=\xfd HTTP/1.1\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n",
    b"GET /v1/models/%ff%00\xff HTTP/1.1\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n",
    b"G\xffT / HTTP/1.1\r\n\r\n",
    b"get / HTTP/1.1\r\n\r\n",
    b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET / HTTP/1.1\rHost: x\r\r",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nX\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nX\xff: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nAuthorization: \xf0\x9f\x98\x80\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n"
    + b"\x81\x05hello" * 50,
    b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
    GOOD.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 1),
    GOOD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nExpect: nonsense\r\n\r\n", 1),
    GOOD * 30,
    GOOD + b"\r\n\r\n\r\n" + GOOD,
    GOOD + b"garbage" * 100,
    GOOD[:-5],
    GOOD[:80],
]


def talk(gate: Gate, data: bytes) -> bytes:
    """What comes back to a client that sends this and closes its side."""
    received = b""
    with gate.connect() as connection:
        connection.settimeout(3)
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                received += piece
    return received


def test_framing_and_lines_that_no_client_writes(gate: Gate, stub: Stub) -> None:
    with bystander(gate):
        for data in FRAMING:
            received = talk(gate, data)
            assert received == b"" or STATUS.match(received), data[:300]
            # The health of the gate is all that a smuggled request could get.
            assert b'"status":"ok"' not in received, data[:300]
            assert not re.search(rb"smuggled|gate_|aiohttp|Traceback", received), received
        for data in LINES:
            received = talk(gate, data)
            assert received == b"" or STATUS.match(received), data[:300]
            assert not re.search(rb"aiohttp|Traceback|/site-packages", received.split(b"\r\n\r\n", 1)[-1]), received


PIECES = (b"\r\n", b"\n", b"\x00", b": ", b"\r\n\r\n", b'"', b"{", b"]", b"\xff", b"0\r\n\r\n")


def mutated(choice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, left out, doubled, moved or cut off."""
    piece = bytearray(data)
    for _number in range(choice.randint(1, 4)):
        at = choice.randrange(len(piece) + 1)
        kind = choice.randrange(6)
        if kind == 0:
            piece[at : at + 1] = bytes([choice.randrange(256)])
        elif kind == 1:
            del piece[at : at + choice.randint(1, 20)]
        elif kind == 2:
            piece[at:at] = piece[at : at + choice.randint(1, 30)]
        elif kind == 3:
            piece[at:at] = choice.choice(PIECES)
        elif kind == 4:
            del piece[at:]
        else:
            piece[at:at] = bytes(choice.randrange(256) for _ in range(choice.randint(1, 40)))
    return bytes(piece)


FORM_HEAD = HEAD.replace(b"application/json", b"multipart/form-data; boundary=bb")
FORM = (
    b'--bb\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n'
    b'--bb\r\nContent-Disposition: form-data; name="model"\r\n\r\nchat\r\n--bb--\r\n'
)
STARTS = [
    GOOD,
    GOOD.replace(BODY, BODY[:-1] + b',"stream":true}').replace(SIZE, b"Content-Length: %d" % (len(BODY) + 14)),
    chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    b"POST /v1/audio/transcriptions HTTP/1.1\r\n" + FORM_HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM,
    b"GET /v1/models/chat HTTP/1.1\r\n" + HEAD + b"\r\n",
]


def test_mutated_requests(gate: Gate) -> None:
    choice = random.Random(SEED)
    with bystander(gate):
        for _number in range(MUTATIONS):
            data = mutated(choice, choice.choice(STARTS))
            received = talk(gate, data)
            assert received == b"" or STATUS.match(received), (data, received)
            statuses = {int(status) for status in STATUS.findall(received)}
            assert statuses <= {100, *range(200, 500), 502, 503}, (data, received)


BODIES_OF: dict[str, dict[str, Any]] = {
    CHAT: said(
        "hi",
        stream=True,
        stream_options={"include_usage": True},
        n=2,
        stop=["a"],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"enum": ["a"]}}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        logit_bias={"1": 2},
        max_tokens=5,
        temperature=0.5,
    ),
    COMPLETIONS: {"model": "chat", "prompt": ["a", "b"], "stream": True, "n": 2, "logprobs": 1, "echo": True},
    "/v1/embeddings": {"model": "chat", "input": [[1, 2], [3]], "dimensions": 5},
    "/v1/messages": said("hi", max_tokens=5, system=[{"type": "text", "text": "s"}], tools=[{"name": "f"}]),
    "/v1/messages/count_tokens": said("hi", tools=[{"name": "f", "input_schema": {"type": "object"}}]),
    "/v1/responses": {
        "model": "chat",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "t"}]}],
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": "low"},
    },
    "/v1/rerank": {"model": "chat", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
    "/v1/score": {"model": "chat", "text_1": "a", "text_2": ["b"]},
    "/tokenize": {"model": "chat", "messages": [{"role": "user", "content": "a"}], "add_special_tokens": True},
    "/detokenize": {"model": "chat", "tokens": [1, 2]},
}
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 2**64 - 1, 1e308, -1e-300, 0.5, "", "a", "\x00",
    "\ud7ff\uffff",
    "a" * 10_000, [], [[]], [None], [1, "a"], {}, {"": {}}, {"a": None}, {"type": []}, {"type": "function"},
    [{"type": 5}], {"url": "http://169.254.169.254/"}, {"enum": "a"}, {"choice": {}}, {"json": "{"},
    {"json": '{"enum":[1]}'},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a value with every key or index of it."""
    found: list[tuple[Any, Any]] = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            found += places(inner)
    return found


def test_mutated_bodies(gate: Gate) -> None:
    choice = random.Random(SEED)
    seen: set[int] = set()
    with bystander(gate):
        for _number in range(BODIES):
            path = choice.choice(list(BODIES_OF))
            body = json.loads(json.dumps(BODIES_OF[path]))
            for _change in range(choice.randint(1, 3)):
                holder, key = choice.choice(places(body))
                kind = choice.randrange(4)
                if kind < 3:
                    holder[key] = copy.deepcopy(choice.choice(VALUES))
                elif isinstance(holder, dict) and len(holder) > 1:
                    del holder[key]
                if not body:
                    break
            answer = gate.post(path, body)
            seen.add(answer.status)
            assert answer.status in (200, 400, 404), (path, body, answer)
            if answer.status != 200:
                error = answer.json()["error"]
                assert error["message"]
                assert error["type"] in ("invalid_request_error", "not_found_error")
    assert seen == {200, 400, 404}


def broken() -> list[str]:
    """The names of the stub's broken answers."""
    text = (Gate.__init__.__globals__["STUB"]).read_text()
    return re.findall(r'^    "([\w-]+)": ', text.partition("BROKEN = {")[2].partition("\n}")[0], re.M)


# Answers whose beginning is good.
SOMETHING = ("events", "chunk", "short-large", "encoding", "length", "header-value", "two")


def test_broken_answers_of_servers_behind(start: Start, stub: Stub) -> None:
    names = broken()
    assert len(names) > 25
    gate = start(request_timeout=1.5)
    with bystander(gate):
        for name in names:
            for path, stream in ((CHAT, False), (CHAT, True), ("/v1/messages", True)):
                body = said(f"fail={name} secret-text", stream=stream, **({"max_tokens": 5} if path != CHAT else {}))
                with gate.open(body, path=path) as connection:
                    connection.settimeout(5)
                    received = b""
                    with contextlib.suppress(ConnectionResetError):
                        while not received.endswith(b"0\r\n\r\n") and (piece := connection.recv(65536)):
                            received += piece
                            found = re.search(rb"content-length: (\d+)\r\n", received.lower())
                            if found and len(received.partition(b"\r\n\r\n")[2]) >= int(found[1]):
                                break
                assert STATUS.match(received), (name, received)
                status = int(received[9:12])
                assert status in (200, 500, 502, 504), (name, received)
                if status == 200:
                    assert name.startswith(SOMETHING), (name, received)
    assert gate.chat("hi").status == 200


@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_slow_clients_are_let_go(gate: Gate, byte_by_byte: bool) -> None:
    """Headers that never end, and bodies that come byte by byte."""
    with bystander(gate), contextlib.ExitStack() as held:
        connections = [held.enter_context(gate.connect()) for _number in range(60)]
        for connection in connections:
            connection.sendall(GOOD[: len(GOOD) - 20] if byte_by_byte else GOOD[:60])
        for _second in range(12):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
            threading.Event().wait(0.1)
        assert gate.memory() < 150 << 20
