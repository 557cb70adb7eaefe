# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the servers behind: aiohttp's writer writes requests, and its parser reads answers.

aiohttp's session would do the same, and cookies, redirects, proxies and addresses anew for each request, which costs
more than all that the gate itself does.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage, StreamWriter
from multidict import CIMultiDict
from yarl import URL

CONNECT_SECONDS = 5.0
# A proxy that is being started again accepts within this time; the request has not reached anybody yet.
RETRY_SECONDS = 0.25
# Shorter than the time for which the inner Nginx keeps an idle connection, so that it is the gate that closes it.
IDLE_SECONDS = 20.0
READ_BYTES = 1 << 18
# Takes a piece of a body, and says whether it wants a pause.
Sink = Callable[[bytes], bool]


class UnreachableError(Exception):
    """A server that takes no connection."""


class Connection(ResponseHandler):
    """One connection to a server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # Whether a byte of the answer has come.
        self.heard = False
        self._pouring: tuple[aiohttp.StreamReader, Sink] | None = None
        self._turn: asyncio.Future[None] = loop.create_future()

    async def pour(self, content: aiohttp.StreamReader, sink: Sink, drain: Callable[[], Awaitable[None]]) -> None:
        """Give each piece of a body to the sink at the moment when it comes: waking a task for each is dear.

        A sink that returns true gets no more until it is drained.
        """
        self._pouring = content, sink
        try:
            while not content.at_eof():
                self._turn = self._loop.create_future()
                self._push()
                await self._turn
                await drain()
        finally:
            self._pouring = None

    def _push(self) -> None:
        if self._pouring is None or self._turn.done():
            return
        content, sink = self._pouring
        try:
            data = content.read_nowait()
            if (data and sink(data)) or content.at_eof():
                self._turn.set_result(None)
        except Exception as error:  # noqa: BLE001
            # The body broke off, or its client is gone.
            self._turn.set_exception(error)

    def reusable(self) -> bool:
        """Whether it is open, and nothing of a request or an answer is on its way."""
        if self.should_close or self.transport is None or self.transport.is_closing():
            return False
        return self.transport.get_write_buffer_size() == 0

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)
        self._push()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._push()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on after a pause. The reader of a body asks for it after every piece."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


@dataclass
class Answer:
    """An answer whose head has come."""

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader
    connection: Connection


class Server:
    """A server behind, and idle connections to it if they are kept."""

    def __init__(self, url: str, keep: bool) -> None:
        self.url = url
        parts = URL(url)
        self._host, self._port = parts.raw_host or "", parts.port or 80
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._authority, self._path = parts.raw_authority, parts.raw_path.rstrip("/")
        self._keep = keep
        # The one that was used last is used next.
        self._idle: deque[tuple[float, Connection]] = deque()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request, and wait for the head of its answer."""
        kept = self._kept()
        if kept is not None:
            try:
                return await self._ask(kept, path, headers, body)
            except aiohttp.ClientConnectionError:
                # A server that is reloaded closes idle connections, and this request met it. Nobody has read it.
                if kept.heard:
                    raise
        return await self._ask(await self._opened(), path, headers, body)

    def done(self, answer: Answer) -> None:
        """Keep the connection of an answer that was read whole; any other is of no use."""
        connection = answer.connection
        if not answer.content.at_eof():
            connection.abort()
        elif self._keep and connection.reusable():
            self._idle.append((time.monotonic(), connection))
            self._expire()
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle, and keep nothing from now on."""
        self._keep = False
        while self._idle:
            self._idle.pop()[1].close()

    def _expire(self) -> None:
        oldest = time.monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].close()

    def _kept(self) -> Connection | None:
        self._expire()
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.reusable():
                return connection
            connection.close()
        return None

    async def _opened(self) -> Connection:
        try:
            return await self._open()
        except UnreachableError as error:
            if not isinstance(error.__cause__, ConnectionError):
                raise
            await asyncio.sleep(RETRY_SECONDS)
            return await self._open()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _transport, connection = await loop.create_connection(
                    lambda: Connection(loop), self._host, self._port, ssl=self._ssl
                )
        except TimeoutError:
            raise UnreachableError("no connection in time") from None
        except OSError as error:
            raise UnreachableError(str(error)) from error
        return connection

    async def _ask(self, connection: Connection, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection.heard = False
        connection.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=READ_BYTES)
        given = CIMultiDict(headers)
        given["host"], given["accept"] = self._authority, "*/*"
        given["content-length"] = str(len(body))
        if not self._keep:
            given["connection"] = "close"
        writer = StreamWriter(connection, asyncio.get_running_loop())
        try:
            await writer.write_headers(f"POST {self._path}{path} HTTP/1.1", given)
            await writer.write_eof(body)
            message: RawResponseMessage
            message, content = await connection.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await connection.read()
        except BaseException:
            connection.abort()
            raise
        return Answer(message.code, message.headers, content, connection)
