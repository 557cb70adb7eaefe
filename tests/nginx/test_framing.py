# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of HTTP/1 that two readers could understand in two ways: the application never sees the one inside."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

# The door has no such path, so only an application that reads another request than the door does could see it.
INSIDE = "GET /smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n"
END = "0\r\n\r\n" + INSIDE
LENGTH = f"Content-Length: {len(END)}"
CHUNKED = "Transfer-Encoding: chunked"
CASES = {
    "both": (END, LENGTH, CHUNKED),
    "both, the other way": (END, CHUNKED, LENGTH),
    "no length and chunks": (END, "Content-Length: 0", CHUNKED),
    "chunks twice": (END, CHUNKED, CHUNKED),
    "chunks and identity": (END, CHUNKED, "Transfer-Encoding: identity"),
    "a list of chunks": (END, "Transfer-Encoding: chunked, chunked"),
    "identity in a list": (END, "Transfer-Encoding: identity, chunked"),
    "chunks at the end of a list": (END, "Transfer-Encoding: gzip, chunked"),
    "chunks of another name": (END, "Transfer-Encoding: xchunked", LENGTH),
    "chunks after a tab": (END, "Transfer-Encoding:\tchunked", LENGTH),
    "chunks after a form feed": (END, "Transfer-Encoding: \x0cchunked", LENGTH),
    "chunks in capitals": (END, "Transfer-Encoding: CHUNKED"),
    "a blank before the colon": (END, "Transfer-Encoding : chunked", LENGTH),
    "a blank before the name": (END, "X: y", " Transfer-Encoding: chunked", LENGTH),
    "an underscore": (END, "Transfer_Encoding: chunked", "Content-Length: 5"),
    "a bare line feed": (END, "X: y\nTransfer-Encoding: chunked", LENGTH),
    "a bare carriage return": (END, "X: y\rTransfer-Encoding: chunked", LENGTH),
    "chunks and a zero": (END, "Transfer-Encoding: chunked\x00", LENGTH),
    "two lengths": (INSIDE, f"Content-Length: {len(INSIDE)}", "Content-Length: 0"),
    "two lengths, the other way": (INSIDE, "Content-Length: 0", f"Content-Length: {len(INSIDE)}"),
    **{
        f"length {length!r}": (INSIDE, f"Content-Length:{length}")
        for length in (" 0, 0", " +0", " -1", " 0x0", " 0 0", " 0e3", " ", "\x0b0", " 18446744073709551616", " 0\x00")
    },
    "a blank after the name": (INSIDE, "Content-Length : 0"),
    **{
        f"chunk {chunk[:12]!r}": (chunk + INSIDE, CHUNKED)
        for chunk in (
            "zz\r\n", "-1\r\n", "0x0\r\n\r\n", "ffffffffffffffffff\r\n", "2\n{}\n0\n\n", "1\r\n{}\r\n0\r\n\r\n",
            "+0\r\n\r\n", "0\r\nContent-Length: 0\r\n\r\n", "0;" + "x" * 40_000 + "\r\n\r\n", "2\r\n{}0\r\n\r\n",
            " 0\r\n\r\n", "0\r\r\n\r\n",
        )
    },
}  # fmt: skip


def sent(nginx: Any, request: str) -> bytes:
    """What comes of a connection on which this is all that is sent."""
    connection = nginx.api.open()
    connection.connect()
    connection.sock.settimeout(3)
    connection.sock.sendall(request.encode("latin-1"))
    received = b""
    # An answer may leave the connection open for another request.
    with suppress(OSError):
        while data := connection.sock.recv(65536):
            received += data
            connection.sock.settimeout(0.3)
    connection.close()
    return received


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("name", CASES)
def test_the_application_sees_no_request_inside_of_another(nginx: Any, stubs: Any, name: str, version: str) -> None:
    body, *headers = CASES[name]
    lines = (f"POST /v1/chat/completions HTTP/{version}", "Host: api.test", f"Authorization: Bearer {nginx.api.KEY}")
    received = sent(nginx, "\r\n".join([*lines, *headers, "", body]))
    assert received[:9] in (b"HTTP/1.1 ", b"")
    assert "/smuggled" not in stubs["application"].seen()["paths"]
    assert nginx.api.complete().status == 200
