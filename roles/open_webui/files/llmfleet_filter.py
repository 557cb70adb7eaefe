# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before Open WebUI's endpoints: users see no addresses of others, and no code comes from the web."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

ADMINISTRATOR = "admin"
MEGABYTE = 1024 * 1024
LIST_OF_USERS = "/api/v1/users/search"
# Every model of Open WebUI that tells of a user has these; contents that people write have not.
RECORD = frozenset({"id", "role", "email"})
# Open WebUI fetches the code of tools and functions from any address, also where it runs neither.
IMPORTS = frozenset({"/api/v1/tools/load/url", "/api/v1/functions/load/url"})
NO_IMPORT = {"detail": "Nothing is loaded from other sites here. Paste the code instead."}
NO_LIST = {"detail": "Users are not listed here. An administrator can allow it by the permission to share with users."}


def no_room(used: int, more: int, megabytes: int) -> str:
    """Return why a user may not upload ``more`` bytes; empty if he may."""
    if not megabytes or used + more <= megabytes * MEGABYTE:
        return ""
    return (
        f"Your files take {used / MEGABYTE:.0f} of {megabytes} MB, and this one has {more / MEGABYTE:.0f} MB. "
        "Delete files first: Settings > Data Controls > Manage Files."
    )


def without_addresses(value: Any, own: str) -> Any:
    """Return JSON in which the records of users other than ``own`` have no address."""
    if isinstance(value, list):
        return [without_addresses(item, own) for item in value]
    if not isinstance(value, dict):
        return value
    other = value.keys() >= RECORD and value["id"] != own
    # The key stays, because the page reads it.
    return {key: "" if other and key == "email" else without_addresses(item, own) for key, item in value.items()}


def found_by_name(listing: Any, query: str) -> Any:
    """Return a list of users without those whom Open WebUI found by their address."""
    if not query or not isinstance(listing, dict) or not isinstance(listing.get("users"), list):
        return listing
    words = query.casefold()
    users = [user for user in listing["users"] if words in str(user.get("name", "")).casefold()]
    hidden = len(listing["users"]) - len(users)
    return {**listing, "users": users, "total": len(users) if hidden else listing.get("total")}


async def answer(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    kept.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": kept})
    await send({"type": "http.response.body", "body": body})


class Answer:
    """Passes an answer on; one that may tell of users is held until it is whole."""

    def __init__(self, scope: MutableMapping[str, Any], send: Send, may_list: Callable[[Any], Awaitable[bool]]) -> None:
        self.scope, self.inner, self.may_list = scope, send, may_list
        self.start: Message | None = None
        self.body = b""

    @property
    def user(self) -> Any:
        """The user whom Open WebUI recognized, or None."""
        return self.scope["state"].get("user")

    def is_held(self, start: Message) -> bool:
        if self.user is None or self.user.role == ADMINISTRATOR:
            return False
        headers = {name.lower(): value for name, value in start["headers"]}
        # A file has a disposition and is passed on as it was uploaded.
        return (
            headers.get(b"content-type", b"").startswith(b"application/json") and b"content-disposition" not in headers
        )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self.is_held(message):
            self.start = message
        elif message["type"] == "http.response.body" and self.start is not None:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self.finish(self.start)
        else:
            await self.inner(message)

    async def finish(self, start: Message) -> None:
        status, body = await self.made(start["status"])
        await answer(self.inner, status, body, start["headers"])

    async def made(self, status: int) -> tuple[int, bytes]:
        listing = self.scope["path"] == LIST_OF_USERS
        if listing and not await self.may_list(self.user):
            return 403, json.dumps(NO_LIST).encode()
        if b'"email"' not in self.body:
            return status, self.body
        value = json.loads(self.body)
        if listing:
            value = found_by_name(value, parse_qs(self.scope["query_string"].decode()).get("query", [""])[0])
        return status, json.dumps(without_addresses(value, self.user.id)).encode()


class Filter:
    """Stands between Open WebUI's endpoints and its other middleware, which compresses answers."""

    def __init__(self, app: Application, may_list: Callable[[Any], Awaitable[bool]]) -> None:
        self.app, self.may_list = app, may_list

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
        elif scope["path"] in IMPORTS:
            await answer(send, 403, json.dumps(NO_IMPORT).encode(), [(b"content-type", b"application/json")])
        else:
            scope.setdefault("state", {})
            await self.app(scope, receive, Answer(scope, send, self.may_list).send)
