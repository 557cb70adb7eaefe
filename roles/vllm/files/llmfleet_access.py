# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outermost ASGI middleware of an engine: nothing but health and metrics without a key, and few paths with one.

vLLM's own key covers the paths that begin with /v1 and a few others, and a new release may bring paths anywhere. Here
everything is refused that is not listed, before the body is read. vLLM loads the class by its flag --middleware.

The keys are in the file LLMFLEET_ACCEPTED_KEYS, the SHA-256 of each in hex on a line of its own. It is read again when
it changes, so keys come and go while the engine serves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import llmfleet_engine_log

LOG = logging.getLogger("llmfleet.access")
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
DIGEST = re.compile(r"[0-9a-f]{64}")


class AcceptedKeys:
    """The keys of a file, as hashes. A change is seen within a second; after one that is no good, the last ones stay.

    Keys are long and random, so a plain fast hash is as good as a slow one, and looking it up needs no constant time:
    what is learned of the hash of a guess tells nothing about another guess.
    """

    INTERVAL = 0.5

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._seen = self._version()
        # An engine that nobody gave a key would be open to everybody.
        self._hashes = self._read()

    def has(self, key: bytes) -> bool:
        """Whether this is one of the keys."""
        now = self._clock()
        if now - self._looked >= self.INTERVAL:
            self._looked = now
            self._refresh()
        return hashlib.sha256(key).hexdigest() in self._hashes

    def _version(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._path)
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _read(self) -> frozenset[str]:
        try:
            with open(self._path, encoding="ascii") as file:
                lines = file.read().split()
        except (OSError, ValueError) as error:
            raise RuntimeError(f"LLMFLEET_ACCEPTED_KEYS: {self._path!r} cannot be read ({error})") from None
        if not lines or not all(map(DIGEST.fullmatch, lines)):
            raise RuntimeError(
                f"LLMFLEET_ACCEPTED_KEYS: {self._path} holds no keys, and this engine serves nobody without"
            )
        return frozenset(lines)

    def _refresh(self) -> None:
        version = self._version()
        if version == self._seen:
            return
        self._seen = version
        try:
            self._hashes = self._read()
        except RuntimeError as error:
            LOG.error("%s; the keys read before stay in force", error)


class EngineAccess:
    """Admits a request to the engine, or refuses it."""

    def __init__(self, app: App) -> None:
        self._keys = AcceptedKeys(os.environ.get("LLMFLEET_ACCEPTED_KEYS", ""))
        llmfleet_engine_log.begin_serving()
        self._app = app
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
        return scheme.lower() == b"bearer" and self._keys.has(key.strip())


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
