# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door over HTTP/2: requests that no client of HTTP/1 can write reach nobody, and leave the others their answers.

Frames are written here (RFC 9113), because libraries refuse to write what is wrong in them.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, List, Tuple

import pytest

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST = 16_384
# Statuses that the static table of HPACK has, from its index 8 on.
INDEXED = (200, 204, 206, 304, 400, 404, 500)
KEY = b"Bearer sk-canary-0123456789abcdef"
ALLOWED = b"/v1/models"
Fields = List[Tuple[bytes, bytes]]


def frame(kind: int, payload: bytes = b"", stream: int = 1, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value: bytes) -> bytes:
    """A string of HPACK without Huffman's code: its length in 7 bits or more, and its bytes."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    length, rest = b"\x7f", len(value) - 127
    while rest >= 128:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return length + bytes([rest]) + value


def block(fields: Fields) -> bytes:
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields)


def request(fields: Fields, data: bytes | None = None, stream: int = 1) -> bytes:
    """The frames of a request; without data its first frame ends the stream."""
    whole = block(fields)
    pieces = [whole[begin : begin + LARGEST] for begin in range(0, len(whole), LARGEST)]
    flags = [END_STREAM if data is None else 0] + [0] * len(pieces[1:])
    flags[-1] |= END_HEADERS
    kinds = [HEADERS] + [CONTINUATION] * len(pieces[1:])
    frames = [frame(kind, piece, stream, flag) for kind, piece, flag in zip(kinds, pieces, flags)]
    return b"".join(frames) + (b"" if data is None else frame(DATA, data, stream, END_STREAM))


def status(payload: bytes) -> int:
    """The first field of an answer, after changes of the table's size."""
    while payload[0] & 0xE0 == 0x20:
        payload = payload[1:]
    return INDEXED[payload[0] - 0x88] if payload[0] & 0x80 else int(payload[2:5])


class Http2:
    """A connection to the door of the API."""

    def __init__(self, nginx: Any) -> None:
        context = ssl.create_default_context(cafile=str(nginx.ca))
        context.set_alpn_protocols(["h2"])
        connection = socket.create_connection(("127.0.0.1", nginx.api.port), 10)
        self._socket = context.wrap_socket(connection, server_hostname="api.test")
        self._socket.sendall(PREFACE + frame(SETTINGS, stream=0))

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Kind, flags and payload of what comes, to the end of the connection."""
        with suppress(OSError), self._socket.makefile("rb") as stream:
            while len(head := stream.read(9)) == 9:
                yield head[3], head[4], stream.read(int.from_bytes(head[:3], "big"))

    def send(self, data: bytes) -> tuple[int | str, bytes]:
        """Send, and tell status and body of the first answer, or what came instead: "reset" or "closed"."""
        found, body = 0, b""
        with self._socket, suppress(OSError):
            self._socket.sendall(data)
            for kind, flags, payload in self.frames():
                if kind in (RST_STREAM, GOAWAY) and not found:
                    return "reset" if kind == RST_STREAM else "closed", b""
                found = status(payload) if kind == HEADERS else found
                body += payload if kind == DATA else b""
                if found and flags & END_STREAM:
                    return found, body
        return found or "closed", body


def fields(path: bytes = ALLOWED, *more: tuple[bytes, bytes], **changed: bytes) -> Fields:
    """A good request, with further fields and changed pseudo-fields."""
    pseudo = {"method": b"GET", "scheme": b"https", "authority": b"api.test", "path": path, **changed}
    return [*((f":{name}".encode(), value) for name, value in pseudo.items()), (b"authorization", KEY), *more]


def without(name: bytes) -> Fields:
    return [field for field in fields() if field[0] != name]


GOOD = block(fields())
ODD = range(1, 8001, 2)
POST = fields(b"/v1/chat/completions", method=b"POST")
SMUGGLED = b"\r\n\r\nGET /metrics HTTP/1.1\r\nHost: api.test\r\n\r\n"
LONG = b"a" * 40_000
REFUSED = {
    **{f"without {name.decode()}": without(name) for name in (b":method", b":scheme", b":path", b":authority")},
    **{f"twice {name.decode()}": [(name, value), *fields()] for name, value in fields() if name != b":path"},
    **{
        f"path {path[:24]!r}": fields(path)
        for path in (
            b"", b"*", b"v1/models", b"https://api.test/metrics", ALLOWED + SMUGGLED, ALLOWED + b" HTTP/1.1\r\nX: y",
            ALLOWED + b" x", ALLOWED + b"\x00", ALLOWED + b"\n", ALLOWED + b"\t", b" " + ALLOWED,
            b"/metrics#/v1/models",
            b"\\v1\\models", b"/" + LONG, b"/metrics\x00/../v1/models", b"/metrics", b"/v1/../metrics", b"//metrics",
            b"/v1/%2e%2e/metrics", b"/v1/models/..", b"/v1/models;x", b"/key/generate", b"/.refusal/400", b"/V1/models",
        )
    },
    **{
        f"method {method[:16]!r}": fields(method=method)
        for method in (b"", b"GET /metrics HTTP/1.1\r\n", b"get", b"G T", b"CONNECT", b"TRACE", b"PRI", LONG)
    },
    **{
        f"authority {name[:16]!r}": fields(authority=name)
        for name in (b"other.test", b"api.test" + SMUGGLED, b"u@api.test", b"api.test@other.test", b"[::1")
    },
    **{
        f"field {name[:12]!r}: {value[:12]!r}": fields(ALLOWED, (name, value))
        for name, value in (
            (b"X-Upper", b"x"), (b"", b"x"), (b"x y", b"x"), (b"x\r\ny", b"x"), (b"x:y", b"x"), (b"x\x00", b"x"),
            (b"x-a", b"x" + SMUGGLED), (b"x-a", b"x\ny"), (b"x-a", b"x\x00y"), (b"x-a", b"x\ry"), (b"x-a", LONG),
            (LONG, b"x"), (b"host", b"other.test"), (b"host", b"api.test"), (b"authorization", b"Bearer sk-other"),
            (b"content-length", b"5"), (b":path", b"/metrics"), (b":unknown", b"x"), (b":status", b"200"),
        )
    },
    "scheme": fields(scheme=b"ht tp\r\n"),
    "tunnel": [(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:4000")],
    "websocket": [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *fields()[1:]],
    "many fields": [*fields(), *((b"x-%d" % number, b"y") for number in range(5000))],
    "no key": without(b"authorization"),
}  # fmt: skip
LENGTHS = (b"-2", b"+2", b"2, 2", b"2 2", b"0x2", b"9" * 20, b"", b"2\r\n", b"1", b"5")
FRAMES = {
    "a request on stream 0": frame(HEADERS, GOOD, 0, END_HEADERS | END_STREAM),
    "a request on an even stream": frame(HEADERS, GOOD, 2, END_HEADERS | END_STREAM),
    "an older stream": request(fields(), stream=5) + request(fields(), stream=3),
    "data on stream 0": frame(DATA, b"x", 0),
    "the rest of nothing": frame(CONTINUATION, GOOD, 1, END_HEADERS),
    "a ping among fields": frame(HEADERS, GOOD[:20]) + frame(PING, b"x" * 8, 0),
    "fields that go on elsewhere": frame(HEADERS, GOOD[:20]) + frame(CONTINUATION, GOOD[20:], 3, END_HEADERS),
    "a promise": frame(PUSH_PROMISE, b"\x00\x00\x00\x02" + GOOD, 1, END_HEADERS),
    "more padding than frame": frame(HEADERS, b"\xff" + GOOD, 1, END_HEADERS | END_STREAM | PADDED),
    "a stream that waits for itself": frame(PRIORITY, b"\x00\x00\x00\x01\x10"),
    "an integer without an end": frame(HEADERS, b"\xff" * 16, 1, END_HEADERS | END_STREAM),
    "the field of index 0": frame(HEADERS, b"\x80" + GOOD, 1, END_HEADERS | END_STREAM),
    "an index that nobody has": frame(HEADERS, b"\xfe" + GOOD, 1, END_HEADERS | END_STREAM),
    "half a field": frame(HEADERS, GOOD[:-3], 1, END_HEADERS | END_STREAM),
    "a frame that is too long": frame(HEADERS, b"\x00" * 20_000, 1, END_HEADERS),
    "a window of 0 more": frame(WINDOW_UPDATE, b"\x00" * 4, 0),
    "a window without an end": frame(WINDOW_UPDATE, b"\x7f\xff\xff\xff", 0) * 2,
    "settings of a wrong window": frame(SETTINGS, b"\x00\x04\xff\xff\xff\xff", 0),
    "settings cut short": frame(SETTINGS, b"x" * 5, 0),
    "a ping cut short": frame(PING, b"x", 0),
}


def reached(stubs: Any) -> int:
    number: int = stubs["application"].seen()["requests"]
    return number


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_of_this_door_reaches_nobody(nginx: Any, stubs: Any, name: str) -> None:
    before = reached(stubs)
    outcome, _body = Http2(nginx).send(request(REFUSED[name]))
    assert outcome in ("reset", "closed", 400, 401, 404, 405, 421)
    assert reached(stubs) == before


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_not_the_bodys_is_refused(nginx: Any, stubs: Any, length: bytes) -> None:
    """A body is passed on as it comes, so the application may know of the request when the door sees the mistake."""
    before = reached(stubs)
    outcome, _body = Http2(nginx).send(request([*POST, (b"content-length", length)], b"{}"))
    assert outcome in ("reset", 400)
    assert reached(stubs) - before <= (length in (b"1", b"5"))
    assert Http2(nginx).send(request([*POST, (b"content-length", b"2")], b"{}"))[0] == 200


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_nobody_may_send_end_the_connection(nginx: Any, name: str) -> None:
    assert Http2(nginx).send(FRAMES[name])[0] in ("reset", "closed")


def test_what_belongs_to_a_connection_stays_there(nginx: Any) -> None:
    special = {b"connection": b"authorization", b"transfer-encoding": b"chunked"}
    names = (*special, b"upgrade", b"keep-alive", b"te", b"expect", b"x-api-key", b"x-litellm-api-key")
    more = [(name, special.get(name, b"x-canary")) for name in names]
    outcome, body = Http2(nginx).send(request(fields(ALLOWED, *more)))
    assert outcome == 200
    assert b"x-canary" not in body
    assert b"chunked" not in body
    passed = {name.lower(): value for name, value in json.loads(body)["headers"]}
    assert passed["authorization"] == KEY.decode()
    assert passed["host"].split(":")[0] == "api.test"


def test_a_flood_of_resets_ends_and_leaves_others_their_answers(nginx: Any, stubs: Any) -> None:
    """A connection has as many requests as nginx gives it by itself, 1,000, whatever becomes of them."""
    before = reached(stubs)
    begun = (request(POST, b"{}", stream) + frame(RST_STREAM, b"\x00\x00\x00\x08", stream) for stream in ODD)
    assert Http2(nginx).send(b"".join(begun))[0] in ("reset", "closed")
    assert reached(stubs) - before <= 1000
    answer = nginx.api.complete()
    assert answer.status == 200
    # All lines of the log are read.
    assert nginx.logged(answer.header("x-request-id"))
    assert 0 in {line["status"] for line in nginx.logged()}
