# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outermost ASGI middleware of an engine: nothing but health and metrics without its key, and few paths with it.

vLLM's own key covers the paths that begin with /v1 and a few others, and a new release may bring paths anywhere. Here
everything is refused that is not listed, before the body is read. vLLM loads the class by its flag --middleware.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import llmfleet_engine_log

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset(("/health", "/metrics"))
OPEN_METHODS = frozenset(("GET", "HEAD"))
REFUSALS = {
    401: ("This engine needs its key, as Authorization: Bearer.", "invalid_api_key"),
    404: ("This engine serves nothing at this path.", "not_found"),
}


class EngineAccess:
    """Admits a request to the engine, or refuses it."""

    def __init__(self, app: App) -> None:
        key = os.environ.get("VLLM_API_KEY", "")
        if not key:
            # An engine that nobody gave a key would be open to everybody.
            raise RuntimeError("VLLM_API_KEY is not set, and this engine serves nobody without a key")
        llmfleet_engine_log.begin_serving()
        self._app = app
        self._key = key.encode()
        self._paths = OPEN_PATHS | set(filter(None, os.environ.get("LLMFLEET_API_PATHS", "").split(",")))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        status = 0 if scope["type"] == "lifespan" else self._refusal(scope)
        if not status:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await refuse(status, send)
        else:
            # The server answers a connection that is closed before it is accepted with 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: MutableMapping[str, Any]) -> int:
        """The status with which a request is refused, or 0."""
        path = scope["path"]
        if scope["type"] == "http" and path in OPEN_PATHS and scope["method"] in OPEN_METHODS:
            return 0
        if not self._is_authorized(scope["headers"]):
            return 401
        return 0 if path in self._paths else 404

    def _is_authorized(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name.lower() == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _space, key = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key)


async def refuse(status: int, send: Send) -> None:
    """Answer in OpenAI's format; the rest of the request is not read."""
    message, code = REFUSALS[status]
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
