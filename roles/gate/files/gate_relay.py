# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a request to an engine or to the translator, and its answer to the client.

Requests are built anew: no header of a client goes on but those that are named here. Answers keep their status, their
content, their type and how long to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import gate_errors as errors
import gate_failures as failures
from aiohttp import http, web
from gate_answers import Question
from gate_servers import Answer, Server, UnreachableError
from gate_usage import Events, NativeStream, Reply, TranslatedStream, Usage

LOG = logging.getLogger("gate")
# The client left before its answer was complete; the number is nginx's.
LEFT = 499
# A longer reply is passed on as it comes.
WHOLE_BYTES = 1 << 18
# An error comes whole within this time after its head, or is replaced.
ERROR_SECONDS = 5.0
# A client that reads gets the end of what was sent to it within this time.
FLUSH_SECONDS = 5.0
SECONDS = re.compile(r"[0-9]{1,5}")
# The inner Nginx names the instance that has answered.
INSTANCE_HEADER, INSTANCE = "x-llmfleet-instance", re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


@dataclass
class Forward:
    """One request on its way: where it goes, and what is known of its answer."""

    path: str
    headers: dict[str, str]
    body: bytes = b""
    # For whom it is, if its key says that.
    person: str | None = None
    # The server behind, and the path there.
    server: Server | None = None
    target: str = ""
    # A stream of chunks; the client sees usage only as far as it asked for it.
    chunks: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    choices: int = 1
    prompts: int = 1
    usage: Usage = field(default_factory=Usage)
    status: int = LEFT
    # The instance that has answered, once its head is there; none for what the translator answers.
    instance: str | None = None
    first: float = 0.0
    # Under what its answer is kept, if it is.
    question: Question | None = None
    # Whether its answer has come to its end, and whether it is one that was kept.
    whole: bool = False
    again: bool = False
    # Headers of an answer that is none of an error.
    shown: dict[str, str] = field(default_factory=dict)
    # The answer, once its head is with the client.
    begun: web.StreamResponse | None = None
    # Counts and books the request.
    book: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        return f"{self.server.url}{self.target}" if self.server else ""

    def end(self, status: int | None = None) -> None:
        """Book the request, once. This comes before the last bytes of its answer, so whoever has those is booked."""
        if status is not None:
            self.status = status
        book, self.book = self.book, None
        if book:
            book()


class Client:
    """Writes pieces of an answer to a client, and waits for it only when it is asked to."""

    def __init__(self, request: web.BaseRequest, writer: http.StreamWriter) -> None:
        self._protocol, self._write, self.drain = request.protocol, writer.write, writer.drain

    def write(self, data: bytes) -> bool:
        """Write a piece, and return whether the client is behind with reading."""
        try:
            # It waits for nothing but a client that does not read, and not for that either if it is told so.
            self._write(data, drain=False).send(None)
        except StopIteration:
            return self._protocol.writing_paused
        raise AssertionError("a write that waits")


class Relay:
    """Passes requests on."""

    def __init__(self) -> None:
        self.request_timeout = 0.0
        self.engines, self.translator = Server("", keep=False), Server("", keep=False)

    def configure(self, engines_url: str, translator_url: str, request_timeout: float) -> None:
        """Take new settings; requests in flight go on."""
        self.close()
        self.request_timeout = request_timeout
        self.engines = Server(engines_url, keep=True)
        # The translator may ask somebody who takes money for an answer, so no request to it is ever sent twice.
        self.translator = Server(translator_url, keep=False)

    def close(self) -> None:
        """Close connections that nobody uses."""
        for server in (self.engines, self.translator):
            server.close()

    async def send(self, request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        """Pass a request on, and its answer back."""
        try:
            async with asyncio.timeout(self.request_timeout):
                return await self._send(request, forward)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, no second answer may follow one that has begun.
            if request.transport is None or request.transport.is_closing():
                # Nobody is there any more to be told.
                forward.status = LEFT
                return forward.begun or web.Response()
            if forward.begun is None:
                return self._failed(forward, error)
            LOG.warning("an answer of %s broke off (%s)", forward.url, described(error))
            await self._cut(request, forward.begun, forward)
            return forward.begun

    async def _send(self, request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        server = forward.server
        assert server is not None
        answer = await server.post(forward.target, forward.headers, forward.body)
        try:
            return await self._answer(request, answer, forward)
        finally:
            server.done(answer)

    async def _answer(self, request: web.BaseRequest, answer: Answer, forward: Forward) -> web.StreamResponse:
        status = answer.status
        named = answer.headers.get(INSTANCE_HEADER, "")
        forward.instance = named if INSTANCE.fullmatch(named) else None
        kind = answer.headers.get("content-type", "")
        if status in (401, 403):
            # The gate's own key was refused; the client's was good.
            LOG.error("%s refuses the key of the gate (%d)", forward.url, status)
            return self._refusal(forward, 502, "The gateway is not set up for this model.", "bad_gateway")
        if not (200 <= status < 300 or 400 <= status < 600):
            LOG.error("%s answers with %d", forward.url, status)
            return self._refusal(forward, 502, "The model's server answered with what is no answer.", "bad_gateway")
        if status >= 400:
            return await self._error(answer, kind, forward)
        headers = {**errors.SERVER, **forward.shown, **({"content-type": kind} if kind else {})}
        stream = kind.startswith("text/event-stream")
        if not stream and 0 < int(answer.headers.get("content-length", 0)) <= WHOLE_BYTES:
            return await self._whole(answer, headers, forward)
        if stream:
            # Proxies are to pass on each event as it comes.
            headers["cache-control"] = "no-cache"
        response = web.StreamResponse(status=status, headers=headers)
        writer = await response.prepare(request)
        assert isinstance(writer, http.StreamWriter)
        forward.begun = response
        client = Client(request, writer)
        await (self._events if stream else self._reply)(answer, client, forward)
        forward.end(status)
        await response.write_eof()
        return response

    async def _error(self, answer: Answer, kind: str, forward: Forward) -> web.Response:
        """An error in the shape of the client's API, worded as the server behind does if that is for clients."""
        data = await short(answer) if not kind or "json" in kind.lower() else b""
        body = failures.reworded(forward.path, answer.status, data)
        if body is None:
            if data:
                LOG.error("%s answers with %d and an error that is not for clients", forward.url, answer.status)
            body = failures.plain(forward.path, answer.status)
        forward.first = time.monotonic()
        return self._refused(forward, answer.status, body, waiting(answer) if answer.status in (429, 503) else "")

    @staticmethod
    async def _whole(answer: Answer, headers: dict[str, str], forward: Forward) -> web.Response:
        """A short reply, which is sent in one piece."""
        data = await answer.content.read()
        forward.first, forward.status, forward.whole = time.monotonic(), answer.status, True
        Reply(forward.usage).feed(data)
        if forward.question:
            forward.question.add(data)
        return web.Response(status=answer.status, body=data, headers=headers)

    @staticmethod
    async def _reply(answer: Answer, client: Client, forward: Forward) -> None:
        reply = Reply(forward.usage)

        def sink(data: bytes) -> bool:
            forward.first = forward.first or time.monotonic()
            reply.feed(data)
            if forward.question:
                forward.question.add(data)
            return client.write(data)

        await answer.connection.pour(answer.content, sink, client.drain)
        forward.whole = True

    @staticmethod
    async def _events(answer: Answer, client: Client, forward: Forward) -> None:
        def last() -> None:
            forward.whole = True
            forward.end(answer.status)

        stream: NativeStream | TranslatedStream
        if forward.chunks:
            usage = forward.include_usage, forward.continuous_usage
            stream = NativeStream(forward.usage, *usage, forward.choices, forward.prompts, last)
        else:
            stream = TranslatedStream(forward.usage, forward.path == "/v1/responses", last)
        events = Events(stream.event)

        def sink(data: bytes) -> bool:
            forward.first = forward.first or time.monotonic()
            return send(events.feed(data))

        def send(complete: bytes) -> bool:
            if forward.question:
                forward.question.add(complete)
            return client.write(complete) if complete else False

        try:
            await answer.connection.pour(answer.content, sink, client.drain)
            send(events.end())
        finally:
            stream.end()

    def _failed(self, forward: Forward, error: Exception) -> web.Response:
        """Say why there is no answer; nothing of one has been sent."""
        LOG.warning("%s gives no answer (%s)", forward.url, described(error))
        if isinstance(error, UnreachableError):
            return self._refusal(forward, 503, "The model cannot be reached.", "service_unavailable", "1")
        if isinstance(error, TimeoutError):
            return self._refusal(forward, 504, "The model did not answer in time.", "timeout")
        return self._refusal(forward, 502, "The model's server broke off its answer.", "bad_gateway")

    def _refusal(self, forward: Forward, status: int, message: str, code: str, wait: str = "") -> web.Response:
        return self._refused(forward, status, errors.content(forward.path, status, message, code), wait)

    @staticmethod
    def _refused(forward: Forward, status: int, body: bytes, wait: str = "") -> web.Response:
        forward.status = status
        headers = {**errors.SERVER, "content-type": "application/json"}
        if wait:
            headers["retry-after"] = wait
        return web.Response(status=status, body=body, headers=headers)

    @staticmethod
    async def _cut(request: web.BaseRequest, response: web.StreamResponse, forward: Forward) -> None:
        """Tell a stream's client that the answer broke off, and close: a clean end would look complete."""
        forward.status = 502
        transport = request.transport
        assert transport is not None
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await response.write(errors.event(forward.path, "The answer broke off before it was complete."))
        transport.close()
        # A client that does not read would keep it open.
        asyncio.get_running_loop().call_later(FLUSH_SECONDS, transport.abort)


def described(error: Exception) -> str:
    """What a log may say of an error. That of a parser quotes what it could not read, which may be anybody's text."""
    if isinstance(error, UnreachableError):
        return str(error)
    known = isinstance(error, (aiohttp.ClientError, http.HttpProcessingError, OSError, TimeoutError))
    return type(error).__name__ if known else f"{type(error).__name__}, {errors.place(error)}"


async def short(answer: Answer) -> bytes:
    """The body of an error; empty if it is long, breaks off or does not end."""
    data = bytearray()
    with contextlib.suppress(aiohttp.ClientError, http.HttpProcessingError, TimeoutError):
        async with asyncio.timeout(ERROR_SECONDS):
            async for part in answer.content.iter_any():
                data += part
                if len(data) > WHOLE_BYTES:
                    return b""
            return bytes(data)
    return b""


def waiting(answer: Answer) -> str:
    """Seconds after which to come back: those of the server behind, or one."""
    given = answer.headers.get("retry-after", "")
    return given if SECONDS.fullmatch(given) else "1"
