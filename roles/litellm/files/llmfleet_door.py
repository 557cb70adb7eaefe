# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in front of LiteLLM in the same process, as an ASGI application around it.

The key is looked at before the body is read, the body is checked and written anew, and LiteLLM sees nothing else of the
request: no query string, and only the headers that are listed here. Two parsers can therefore not read a request in two
ways. Knows nothing of LiteLLM; llmfleet_app.py puts the two together.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

from llmfleet_requests import ENDPOINTS, Endpoint, Limits, RequestError, check_body, check_form, check_query

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOG = logging.getLogger("llmfleet.door")
PROBES = frozenset(("/health/liveliness", "/health/liveness"))
MODELS = "/v1/models"
# LiteLLM redirects requests for the first path to the second.
METRICS = ("/metrics", "/metrics/")
# LiteLLM takes retries, timeouts, tags, providers, credentials and more from headers of many names.
HEADERS = frozenset(
    b"host accept accept-encoding user-agent anthropic-version"
    b" x-request-id x-real-ip x-forwarded-for x-forwarded-proto".split()
)
# The outermost proxy sets this header and overwrites what a client sends, so a request without it came from the fleet.
FROM_OUTSIDE = b"x-llmfleet-door"
# What LiteLLM tells of itself and of the engines in headers of answers: versions, addresses, costs, limits, times. Only
# the names by which a request is found in logs go out.
INSIDE = (b"x-litellm-", b"llm_provider-")
OUTSIDE = frozenset((b"x-litellm-model-id", b"x-litellm-call-id"))
# Where LiteLLM's hook says when to come back; some of its endpoints drop the header that the hook asks for.
RETRY_AFTER: ContextVar[dict[str, str] | None] = ContextVar("llmfleet_retry_after", default=None)


@dataclass(frozen=True)
class Tools:
    """What needs packages that only LiteLLM's environment has."""

    # Whose key it is: whether the administrator's. `RequestError` for a key that is not good, or not for this path.
    is_admin: Callable[[MutableMapping[str, Any], str], Awaitable[bool]]
    loads: Callable[[bytes], object]
    dumps: Callable[[object], bytes]
    form: Callable[[bytes, bytes], Awaitable[Iterable[tuple[str, object]]]]


class Answer:
    """Passes an answer on, and knows how far it has come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = outward(message["headers"])
            message = {**message, "headers": with_retry_after(headers) if message["status"] == 429 else headers}
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, error: RequestError, kind: str = "invalid_request_error") -> None:
        text = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
        # The outer type is what Anthropic's clients look for, and OpenAI's do not mind it.
        body = json.dumps({"type": "error", "error": text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def outward(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that tell nothing of the inside."""
    lower = ((name.lower(), name, value) for name, value in headers)
    return [(name, value) for key, name, value in lower if key in OUTSIDE or not key.startswith(INSIDE)]


def with_retry_after(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    if any(name.lower() == b"retry-after" for name, _value in headers):
        return headers
    hint = (RETRY_AFTER.get() or {}).get("retry-after") or str(60 - datetime.now(timezone.utc).second)
    return [*headers, (b"retry-after", hint.encode())]


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's key, from the two headers in which OpenAI's and Anthropic's clients send it."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value.decode("latin-1"))
    scheme, _space, token = found.get(b"authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else found.get(b"x-api-key", "").strip()


async def read(receive: Receive) -> bytes | None:
    """The whole body, or nothing if the client has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read before, and then whatever comes: LiteLLM waits for the client to go."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Door:
    """The ASGI application that the server runs."""

    def __init__(self, app: App, tools: Tools, limits: Limits) -> None:
        self._app, self._tools, self._limits = app, tools, limits

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, Answer(send))
        else:
            # A message on a socket would name its model where nobody checks it.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: MutableMapping[str, Any], receive: Receive, answer: Answer) -> None:
        RETRY_AFTER.set({})
        try:
            admitted = await self._admit(scope, receive)
        except RequestError as error:
            await answer.refuse(error)
            return
        if admitted is None:
            return
        try:
            await self._app(*admitted, answer.send)
        except Exception:
            # The server would close the connection without notice, and a proxy would send the next request into it.
            if answer.started and not answer.complete:
                raise
            LOG.exception("A request to %s failed", scope["path"])
            if not answer.started:
                failure = RequestError("The gateway could not handle the request.", None, "internal_error", 500)
                await answer.refuse(failure, "server_error")

    async def _admit(
        self, scope: MutableMapping[str, Any], receive: Receive
    ) -> tuple[MutableMapping[str, Any], Receive] | None:
        """The request as LiteLLM gets it, or nothing if the client went away before it was read."""
        path, method = scope["path"], scope["method"]
        if path in PROBES:
            return self._inner(scope, ""), replay(b"", receive)
        key = key_of(scope["headers"])
        is_admin = await self._tools.is_admin(scope, key)
        if is_admin and any(name.lower() == FROM_OUTSIDE for name, _value in scope["headers"]):
            text = "This key is for the administration of the gateway on its own port. Use a key of a client."
            raise RequestError(text, None, "master_key_not_allowed", 403)
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            if path in (MODELS, *METRICS) or (path.startswith(f"{MODELS}/") and path.count("/") == 3):
                self._only(method, ("GET", "HEAD"))
                return self._inner(scope, key), replay(b"", receive)
            if is_admin:
                return scope, receive
            raise RequestError(f"There is nothing at {path[:100]}.", None, "not_found", 404)
        self._only(method, ("POST",))
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        check_query(endpoint, (name for name, _value in query))
        body = await read(receive)
        if body is None:
            return None
        kind, body = await self._checked(endpoint, scope, body)
        return self._inner(scope, key, kind, len(body)), replay(body, receive)

    async def _checked(self, endpoint: Endpoint, scope: MutableMapping[str, Any], body: bytes) -> tuple[bytes, bytes]:
        """Type and content of a body that is good."""
        if endpoint.file:
            kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
            if kind.partition(b";")[0].strip().lower() != b"multipart/form-data":
                raise RequestError("Send the body as multipart/form-data.", None, "invalid_content_type")
            check_form(endpoint, await self._tools.form(kind, body), self._limits)
            return kind, body
        try:
            content = self._tools.loads(body)
        except (ValueError, RecursionError):
            raise RequestError("The body is not valid JSON.", None, "invalid_json") from None
        return b"application/json", self._tools.dumps(check_body(endpoint, content, self._limits))

    @staticmethod
    def _only(method: str, allowed: tuple[str, ...]) -> None:
        if method not in allowed:
            raise RequestError(f"This path takes {' and '.join(allowed)} alone.", None, "method_not_allowed", 405)

    @staticmethod
    def _inner(
        scope: MutableMapping[str, Any], key: str, kind: bytes = b"", length: int = 0
    ) -> MutableMapping[str, Any]:
        headers = [(name, value) for name, value in scope["headers"] if name.lower() in HEADERS]
        if key:
            headers.append((b"authorization", b"Bearer " + key.encode("latin-1")))
        if kind:
            headers += [(b"content-type", kind), (b"content-length", str(length).encode())]
        # LiteLLM knows no HEAD; the server leaves the body of its answer out.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "method": method, "query_string": b"", "headers": headers}
