# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the filter before Open WebUI's endpoints lets a person see."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "open_webui" / "files"
filters = load_file(FILES / "llmfleet_filter.py")
SEARCH = "/api/v1/users/search"
ANN = {"id": "1", "name": "Ann", "role": "user", "email": "ann@mail.example"}
BOB = {"id": "2", "name": "Bob", "role": "user", "email": "bob@mail.example"}
EVA = {"id": "3", "name": "Eva Mail", "role": "admin", "email": "eva@mail.example"}
JSON = ((b"content-type", b"application/json"),)


class Inner:
    """Stands for Open WebUI: recognizes the person and answers in two pieces."""

    def __init__(self, content: Any, role: str, headers: Any = JSON) -> None:
        self.body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.user = SimpleNamespace(id="1", role=role) if role else None
        self.headers = [*headers, (b"content-length", str(len(self.body)).encode())]
        self.asked = False

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked = True
        if self.user:
            scope["state"]["user"] = self.user
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body[:7], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[7:]})


@pytest.mark.parametrize(
    ("used", "more", "megabytes", "refused"),
    [(0, 1 << 20, 1, False), (1, 1 << 20, 1, True), (5 << 20, 1, 5, True), (5 << 20, 5 << 20, 0, False)],
    ids=["fits exactly", "a byte too much", "full", "no limit"],
)
def test_files_of_a_user_have_a_limit(used: int, more: int, megabytes: int, refused: bool) -> None:
    assert bool(filters.no_room(used, more, megabytes)) is refused


def test_a_full_store_says_what_to_do() -> None:
    assert filters.no_room(998 << 20, 20 << 20, 1000) == (
        "Your files take 998 of 1000 MB, and this one has 20 MB. "
        "Delete files first: Settings > Data Controls > Manage Files."
    )


def ask(inner: Inner, path: str, query: str = "", *, listed: bool = True) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def may_list(_user: Any) -> bool:
        return listed

    scope = {"type": "http", "path": path, "query_string": query.encode(), "state": {}}
    asyncio.run(filters.Filter(inner, may_list)(scope, None, send))
    body = b"".join(message["body"] for message in sent[1:])
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
    return int(sent[0]["status"]), body


def test_a_user_sees_names_and_only_his_own_address() -> None:
    status, body = ask(Inner({"users": [ANN, BOB], "total": 2}, "user"), SEARCH)
    assert (status, json.loads(body)) == (200, {"users": [ANN, {**BOB, "email": ""}], "total": 2})


def test_addresses_go_wherever_a_record_stands() -> None:
    notes = [{"id": "n", "title": "email", "user": BOB, "data": {"email": "x@y.example", "id": "kept"}}]
    _status, body = ask(Inner(notes, "user"), "/api/v1/notes/")
    assert json.loads(body) == [{**notes[0], "user": {**BOB, "email": ""}}]


def test_a_search_does_not_tell_who_has_an_address() -> None:
    listing = {"users": [BOB, EVA], "total": 2}
    _status, body = ask(Inner(listing, "user"), SEARCH, "query=MAIL&page=1")
    assert json.loads(body) == {"users": [{**EVA, "email": ""}], "total": 1}


def test_a_user_who_may_not_share_with_users_gets_no_list() -> None:
    status, body = ask(Inner({"users": [BOB], "total": 1}, "user"), SEARCH, listed=False)
    assert status == 403
    assert "not listed" in json.loads(body)["detail"]


@pytest.mark.parametrize("role", ["admin", ""], ids=["administrator", "nobody"])
@pytest.mark.parametrize("path", [SEARCH, "/api/v1/notes/"])
def test_for_others_nothing_is_changed(role: str, path: str) -> None:
    inner = Inner({"users": [BOB], "total": 1}, role)
    assert ask(inner, path, listed=False) == (200, inner.body)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v1/files/1/content", (*JSON, (b"content-disposition", b"attachment; filename=a.json"))),
        ("/api/chat/completions", ((b"content-type", b"text/event-stream"),)),
        ("/manifest.json", JSON),
    ],
    ids=["file", "stream", "page"],
)
def test_what_tells_of_no_user_passes_as_it_is(path: str, headers: Any) -> None:
    inner = Inner([BOB], "user", headers)
    assert ask(inner, path) == (200, inner.body)


def test_an_answer_without_addresses_is_not_read() -> None:
    inner = Inner(b"no JSON at all", "user")
    assert ask(inner, "/api/v1/chats/") == (200, inner.body)


@pytest.mark.parametrize("kind", ["tools", "functions"])
def test_no_code_is_loaded_from_the_web(kind: str) -> None:
    inner = Inner({}, "admin")
    status, body = ask(inner, f"/api/v1/{kind}/load/url")
    assert (status, inner.asked) == (403, False)
    assert json.loads(body)["detail"].startswith("Nothing is loaded")
