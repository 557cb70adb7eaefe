# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs and replies of the store in which gates count limits; tests/gate/test_shared.py has a real one."""

from __future__ import annotations

import asyncio

import pytest
from gate_store import Connection, Place, Reply, StoreError, command, parse, place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://10.0.0.5", Place("10.0.0.5")),
        ("redis://:p%2Fw@cache:6380/3", Place("cache", 6380, "", "p/w", 3)),
        ("rediss://gate:secret@[fd00::5]:7000/", Place("fd00::5", 7000, "gate", "secret", 0, True)),
    ],
)
def test_parts_of_a_url(url: str, expected: Place) -> None:
    assert place(url) == expected


@pytest.mark.parametrize(
    "url", ["", "http://secret@a", "redis://", "redis://a:secret/0", "redis://a/secret", "unix:///secret"]
)
def test_a_wrong_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of the store") as caught:
        place(url)
    assert "secret" not in str(caught.value)


def test_a_command_has_the_lengths_of_bytes() -> None:
    assert command("AUTH", "größe") == b"*2\r\n$4\r\nAUTH\r\n$7\r\ngr\xc3\xb6\xc3\x9fe\r\n"


@pytest.mark.parametrize(
    ("data", "reply"), [(b"+OK\r\n", "OK"), (b":12\r\n", "12"), (b"$5\r\nok 1\n\r\n", "ok 1\n"), (b"$0\r\n\r\n", "")]
)
def test_a_reply_is_read_once_it_is_whole(data: bytes, reply: str) -> None:
    assert [parse(data[:length]) for length in range(len(data))] == [None] * len(data)
    assert parse(data + b"+more") == (reply, len(data))
    assert parse(b"+before\r\n" + data, 9) == (reply, 9 + len(data))


class Transport(asyncio.Transport):
    """One that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False


def test_commands_of_one_turn_are_written_together_and_replies_come_in_any_pieces() -> None:
    async def run(size: int) -> list[Reply]:
        transport, connection, replies = Transport(), Connection(lambda: None), []
        connection.connection_made(transport)
        for word in "abc":
            connection.send((word,), replies.append)
        await asyncio.sleep(0)
        assert transport.written == [b"".join(map(command, "abc"))]
        data = b"+one\r\n$5\r\ntw\r\no\r\n:3\r\n"
        for place_ in range(0, len(data), size):
            connection.data_received(data[place_ : place_ + size])
        return replies

    for size in (1, 2, 7, 100):
        assert asyncio.run(run(size)) == ["one", "tw\r\no", "3"]


def test_errors_and_what_no_script_says() -> None:
    read = parse(b"-NOSCRIPT No matching script.\r\n")
    assert read is not None
    assert isinstance(read[0], StoreError)
    assert str(read[0]).startswith("NOSCRIPT")
    for data in (b"HTTP/1.1 400\r\n", b"*2\r\n", b"$-1\r\n", b"$x\r\n"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse(data)
