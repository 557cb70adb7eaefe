# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a request to an engine or to the translator, and its answer to the client.

Requests are built anew: no header of a client goes on but those that are named here. Answers keep their status, their
content and the headers that are named here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

import aiohttp
import gate_errors as errors
from aiohttp import web
from gate_usage import TAIL, Events, NativeStream, TranslatedStream, Usage, of_reply

LOG = logging.getLogger("gate")
# The client left before its answer was complete; the number is nginx's.
LEFT = 499
KEPT = ("content-type", "retry-after")
CONNECT_SECONDS = 5.0
# A longer reply is passed on as it comes.
WHOLE_BYTES = 1 << 18
# A proxy that is being started again accepts within this time; the request has not reached anybody yet.
RETRY_SECONDS = 0.25


@dataclass
class Forward:
    """One request on its way: where it goes, and what is known of its answer."""

    path: str
    url: str
    headers: dict[str, str]
    body: object
    # An engine's own stream; the client sees usage only as far as it asked for it.
    native: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    choices: int = 1
    usage: Usage = field(default_factory=Usage)
    status: int = LEFT
    first: float = 0.0


class Relay:
    """Passes requests on over connections of their own, which a reload of a proxy behind cannot close under them."""

    def __init__(self, request_timeout: float) -> None:
        timeout = aiohttp.ClientTimeout(total=request_timeout, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept-encoding"),
            read_bufsize=1 << 18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        """Pass a request on, and its answer back."""
        try:
            answer = await self._open(forward)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, asyncio.TimeoutError) as error:
            return self._unreachable(forward, error)
        async with answer:
            if answer.status in (401, 403):
                # The gate's own key was refused; the client's was good.
                LOG.error("%s refuses the key of the gate (%d)", forward.url, answer.status)
                return self._refusal(forward, 502, "The gateway is not set up for this model.", "bad_gateway")
            headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
            kind = headers.get("content-type", "")
            if answer.status >= 400 and not kind.startswith("application/json"):
                return self._refusal(forward, answer.status, "The model's server failed.", "server_error", headers)
            stream = kind.startswith("text/event-stream")
            if not stream and 0 < (answer.content_length or 0) <= WHOLE_BYTES:
                return await self._whole(answer, headers, forward)
            response = web.StreamResponse(status=answer.status, headers=headers)
            if stream:
                # Proxies are to pass on each event as it comes.
                response.headers["cache-control"] = "no-cache"
            await response.prepare(request)
            try:
                await (self._events if stream else self._reply)(answer, response, forward)
            except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
                await self._cut(request, response, forward, stream, error)
            else:
                forward.status = answer.status
            return response

    async def _open(self, forward: Forward) -> aiohttp.ClientResponse:
        post = {"headers": forward.headers, "data": forward.body, "allow_redirects": False}
        try:
            return await self._session.post(forward.url, **post)  # type: ignore[arg-type]
        except aiohttp.ClientConnectorError:
            if not isinstance(forward.body, bytes):
                raise
            await asyncio.sleep(RETRY_SECONDS)
            return await self._session.post(forward.url, **post)  # type: ignore[arg-type]

    async def _whole(self, answer: aiohttp.ClientResponse, headers: dict[str, str], forward: Forward) -> web.Response:
        """A short reply, which is sent in one piece."""
        try:
            data = await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            LOG.warning("an answer of %s broke off (%s)", forward.url, error or type(error).__name__)
            return self._refusal(forward, 502, "The model's server broke off its answer.", "bad_gateway")
        forward.first, forward.status = time.monotonic(), answer.status
        if answer.status < 400:
            of_reply(data[-TAIL:], forward.usage)
        return web.Response(status=answer.status, body=data, headers=headers)

    async def _reply(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, forward: Forward) -> None:
        tail = b""
        async for data in answer.content.iter_any():
            forward.first = forward.first or time.monotonic()
            tail = (tail + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]
            await response.write(data)
        if answer.status < 400:
            of_reply(tail, forward.usage)
        await response.write_eof()

    async def _events(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, forward: Forward) -> None:
        stream: NativeStream | TranslatedStream = TranslatedStream(forward.usage)
        if forward.native:
            stream = NativeStream(forward.usage, forward.include_usage, forward.continuous_usage, forward.choices)
        events = Events(stream.event)
        async for data in answer.content.iter_any():
            forward.first = forward.first or time.monotonic()
            complete = events.feed(data)
            if complete:
                await response.write(complete)
        if rest := events.end():
            await response.write(rest)
        await response.write_eof()

    def _unreachable(self, forward: Forward, error: Exception) -> web.Response:
        LOG.warning("%s cannot be reached (%s)", forward.url, error or type(error).__name__)
        if isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ClientConnectionError):
            return self._refusal(forward, 504, "The model did not answer in time.", "timeout")
        headers = {"retry-after": "1"}
        return self._refusal(forward, 503, "The model cannot be reached.", "service_unavailable", headers)

    @staticmethod
    def _refusal(
        forward: Forward, status: int, message: str, code: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        forward.status = status
        kept = {"content-type": "application/json"}
        if headers and "retry-after" in headers:
            kept["retry-after"] = headers["retry-after"]
        return web.Response(status=status, body=errors.content(forward.path, status, message, code), headers=kept)

    @staticmethod
    async def _cut(
        request: web.BaseRequest, response: web.StreamResponse, forward: Forward, stream: bool, error: Exception
    ) -> None:
        """Tell a stream's client that the answer broke off, and close: a clean end would look complete."""
        LOG.warning("an answer of %s broke off (%s)", forward.url, error or type(error).__name__)
        forward.status = 502
        if stream:
            try:
                await response.write(errors.event(forward.path, "The answer broke off before it was complete."))
            except (ConnectionError, aiohttp.ClientError):
                forward.status = LEFT
        if request.transport is not None:
            request.transport.abort()
