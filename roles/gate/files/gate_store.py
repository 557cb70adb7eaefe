# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a Valkey or Redis, with as much of its protocol (RESP2) as the gate's script needs.

Commands of one turn of the loop are written together, and a reply is given to a function as soon as it is read, in the
order of the commands. What the gate knows is therefore never behind what it has read, which its counting rests on. A
pool of connections has no such order, and costs a request several times the time.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

PORT = 6379
NUMBER = re.compile(r"/?[0-9]*")


class StoreError(Exception):
    """The store refuses a command or speaks another protocol."""


# A text, an error of the store, or None if the connection was lost before the reply.
Reply = str | StoreError | None
Take = Callable[[Reply], None]


class Place(NamedTuple):
    """Where the store is."""

    host: str
    port: int = PORT
    user: str = ""
    password: str = ""
    number: int = 0
    tls: bool = False


def place(url: str) -> Place:
    """The parts of redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss:// with TLS; ValueError that never shows it."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        raise ValueError("the URL of the store cannot be read") from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not NUMBER.fullmatch(parts.path):
        raise ValueError("the URL of the store must be redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss://")
    number = int(parts.path.strip("/") or 0)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Place(parts.hostname, port, user, password, number, parts.scheme == "rediss")


def command(*words: str) -> bytes:
    """The bytes of a command."""
    return b"*%d\r\n%b" % (len(words), encoded(*words))


def encoded(*words: str) -> bytes:
    """The bytes of some words of a command."""
    parts = []
    for word in words:
        data = word.encode("utf-8", "surrogatepass")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Connection(asyncio.Protocol):
    """One connection. `lost` is called once when it has ended, after all replies that are left were given as None."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._unsent: list[bytes] = []
        # When each command was sent, and who takes its reply.
        self._waiting: deque[tuple[float, Take]] = deque()

    def send(self, words: tuple[str, ...], take: Take) -> None:
        """Send a command, unless the connection has ended: then there is no reply."""
        self.write(command(*words), take)

    def write(self, data: bytes, take: Take) -> None:
        """Send the bytes of a command."""
        if self._transport is None or self._transport.is_closing():
            take(None)
            return
        self._waiting.append((time.monotonic(), take))
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        """Write what was given in this turn of the loop; each write costs as much as all else that a command costs."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        if data and self._transport is not None:
            self._transport.write(data)

    async def ask(self, *words: str) -> str:
        """Send a command and return its reply."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.send(words, lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        if reply is None:
            raise ConnectionError("the connection to the store ended")
        if isinstance(reply, StoreError):
            raise reply
        return reply

    def waited(self) -> float:
        """Seconds for which the oldest command without a reply has waited."""
        return time.monotonic() - self._waiting[0][0] if self._waiting else 0.0

    def finish(self) -> None:
        """End it once all that was sent is written."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def end(self) -> None:
        """End it now, without another word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no subclass of it, but has all that it has.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            self._waiting.popleft()[1](None)
        self._lost()

    def data_received(self, data: bytes) -> None:
        given: bytes | bytearray = data
        if self._received:
            # A large reply comes in many pieces, which are not copied for each.
            self._received += data
            given = self._received
        at = 0
        try:
            while self._waiting and (read := parse(given, at)) is not None:
                reply, at = read
                self._waiting.popleft()[1](reply)
        except ValueError:
            self.end()
        if given is self._received:
            del self._received[:at]
        elif at < len(data):
            self._received += data[at:]


def parse(data: bytes | bytearray, begin: int = 0) -> tuple[str | StoreError, int] | None:
    """The reply that begins there and where it ends; None if it is not whole yet.

    ValueError for what the gate's script never says.
    """
    end = data.find(b"\r\n", begin)
    if end < 0:
        return None
    kind, line = data[begin : begin + 1], data[begin + 1 : end]
    if kind == b"$":
        length = int(line)
        if length < 0:
            raise ValueError("no reply that is known")
        whole = end + 2 + length + 2
        return (data[end + 2 : end + 2 + length].decode(), whole) if len(data) >= whole else None
    if kind == b"-":
        return StoreError(line.decode("utf-8", "replace")), end + 2
    if kind in (b"+", b":"):
        return line.decode(), end + 2
    raise ValueError("no reply that is known")


async def connect(where: Place, ca_file: str, lost: Callable[[], None]) -> Connection:
    """Connect and log in; OSError, StoreError."""
    context = ssl.create_default_context(cafile=ca_file or None) if where.tls else None
    loop = asyncio.get_running_loop()
    _transport, connection = await loop.create_connection(lambda: Connection(lost), where.host, where.port, ssl=context)
    try:
        if where.password:
            await connection.ask("AUTH", *([where.user] if where.user else []), where.password)
        if where.number:
            await connection.ask("SELECT", str(where.number))
    except BaseException:
        connection.end()
        raise
    return connection
