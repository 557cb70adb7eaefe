# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine lets in: nothing but health and metrics without its key, and listed paths with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from engine_paths import VLLM_PATHS
from load_file import load_file

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "vllm"
# Every route of the pinned release; tests/vllm compares the list with the real vLLM.
ROUTES = json.loads((ROOT / "tests/unit/plugins/module_utils/data/vllm-0.32.0-routes.json").read_text())["routes"]
load_file(ROLE / "files" / "llmfleet_engine_log.py")
access = load_file(ROLE / "files" / "llmfleet_access.py")
KEY, OTHER = "sk-engine-0123456789", "sk-other-9876543210"
CHAT = "/v1/chat/completions"
GOOD = [(b"authorization", f"Bearer {KEY}".encode())]


class Client:
    """Sends one request through the middleware, and keeps the answer."""

    def __init__(self) -> None:
        self.inner: list[Any] = []
        self.sent: list[Any] = []
        self.read = 0
        self._access = access.EngineAccess(self._engine)

    async def _engine(self, scope: Any, _receive: Any, send: Any) -> None:
        self.inner.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def ask(self, path: str = CHAT, method: str = "POST", headers: Any = (), kind: str = "http") -> int:
        async def receive() -> Any:
            self.read += 1
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        scope = {"type": kind, "path": path, "headers": list(headers), "root_path": ""}
        if kind == "http":
            scope["method"] = method
        asyncio.run(self._access(scope, receive, send))
        return int(self.sent[0].get("status", 0))


def write(path: Path, *keys: str) -> None:
    """Put another file of keys in the place of the one that is there, as the collection does it."""
    new = path.with_name("new")
    new.write_text("".join(f"{hashlib.sha256(key.encode()).hexdigest()}\n" for key in keys))
    new.replace(path)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "accepted_keys"
    write(path, KEY)
    monkeypatch.setenv("LLMFLEET_ACCEPTED_KEYS", str(path))
    return path


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, keys: Path) -> Client:
    monkeypatch.setenv("LLMFLEET_API_PATHS", f"{CHAT},/v1/models")
    return Client()


@pytest.mark.parametrize("path", ["/health", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_and_metrics_need_no_key(client: Client, path: str, method: str) -> None:
    assert client.ask(path, method) == 200
    assert client.inner[0]["path"] == path


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (CHAT, "POST"),
        ("/v1/models", "GET"),
        ("/invocations", "POST"),
        ("/tokenize", "POST"),
        ("/", "GET"),
        ("", "GET"),
        ("/health/", "GET"),
        ("/healthy", "GET"),
        ("/health", "POST"),
        ("/health", "OPTIONS"),
        ("//health", "GET"),
        ("/metrics/x", "GET"),
        ("/Metrics", "GET"),
        (CHAT, "OPTIONS"),
    ],
)
def test_everything_else_needs_it_and_its_body_is_not_read(client: Client, path: str, method: str) -> None:
    assert client.ask(path, method) == 401
    assert (client.read, client.inner) == (0, [])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", KEY.encode())],
        [(b"authorization", f"Basic {KEY}".encode())],
        [(b"authorization", f"Bearer {KEY[:-1]}".encode())],
        [(b"authorization", f"Bearer {KEY}x".encode())],
        [(b"authorization", f"Bearer {KEY} x".encode())],
        [(b"authorization", "Bearer sk-é".encode())],
        [*GOOD, (b"Authorization", b"Bearer x")],
        [*GOOD, *GOOD],
        [(b"x-api-key", KEY.encode())],
    ],
)
def test_a_wrong_key_is_none(client: Client, headers: Any) -> None:
    assert client.ask(headers=headers) == 401


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_key_opens_what_is_listed(client: Client, scheme: str) -> None:
    assert client.ask(headers=[(b"Authorization", f"{scheme}{KEY}".encode())]) == 200


@pytest.mark.parametrize(
    "path", ["/invocations", "/scale_elastic_ep", "/load", "/docs", f"{CHAT}/", "/v1/models/chat", "/v1", "/tokenize"]
)
def test_the_key_opens_nothing_else(client: Client, path: str) -> None:
    assert client.ask(path, headers=GOOD) == 404
    assert (client.read, client.inner) == (0, [])


@pytest.mark.parametrize(("headers", "status", "code"), [([], 401, "invalid_api_key"), (GOOD, 404, "not_found")])
def test_a_refusal_is_in_the_format_of_openai(client: Client, headers: Any, status: int, code: str) -> None:
    assert client.ask("/invocations", headers=headers) == status
    start, body = client.sent
    told = dict(start["headers"])
    assert told[b"content-length"] == str(len(body["body"])).encode()
    assert told.get(b"www-authenticate") == (b"Bearer" if status == 401 else None)
    error = json.loads(body["body"])["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    assert error["message"]
    assert KEY not in str(client.sent)


@pytest.mark.parametrize(("path", "headers"), [("/v1/realtime", []), ("/v1/realtime", GOOD), ("/health", [])])
def test_a_websocket_is_closed_before_it_is_accepted(client: Client, path: str, headers: Any) -> None:
    client.ask(path, headers=headers, kind="websocket")
    assert (client.sent, client.inner) == ([{"type": "websocket.close", "code": 1008}], [])


def test_the_start_of_the_server_passes(client: Client) -> None:
    client.ask(kind="lifespan")
    assert client.inner[0]["type"] == "lifespan"


@pytest.mark.parametrize("text", [None, "", "\n", "0" * 63, "é" * 64, f"{'0' * 64}\n{KEY}\n"])
def test_an_engine_without_a_file_of_keys_does_not_start(
    monkeypatch: pytest.MonkeyPatch, keys: Path, text: str | None
) -> None:
    if text is None:
        monkeypatch.delenv("LLMFLEET_ACCEPTED_KEYS")
    else:
        keys.write_text(text)
    with pytest.raises(RuntimeError, match="LLMFLEET_ACCEPTED_KEYS") as raised:
        Client()
    assert KEY not in str(raised.value)


def test_keys_come_and_go_while_the_engine_serves(keys: Path) -> None:
    now = [0.0]
    accepted = access.AcceptedKeys(str(keys), clock=lambda: now[0])

    def known() -> tuple[bool, bool]:
        now[0] += access.AcceptedKeys.INTERVAL
        return accepted.has(KEY.encode()), accepted.has(OTHER.encode())

    assert known() == (True, False)
    write(keys, OTHER, KEY)
    assert known() == (True, True)
    write(keys, OTHER)
    assert known() == (False, True)


def test_a_file_that_is_no_good_any_more_locks_nobody_out(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    accepted = access.AcceptedKeys(str(keys), clock=lambda: now[0])
    for text in ("", "x", KEY, None):
        keys.unlink()
        if text is not None:
            keys.write_text(text)
        for _again in range(2):
            now[0] += 1
            assert accepted.has(KEY.encode())
            assert not accepted.has(b"")
    assert 3 <= len(caplog.records) <= 4
    assert KEY not in caplog.text


def test_a_file_is_read_only_when_it_has_changed(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    accepted = access.AcceptedKeys(str(keys), clock=lambda: now[0])
    looked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(access.os, "stat", lambda path: looked.append(str(path)) or stat(path))
    monkeypatch.setattr(access.AcceptedKeys, "_read", lambda _self: pytest.fail("it has not changed"))
    for step in range(10):
        now[0] = step / 10
        assert accepted.has(KEY.encode())
    assert len(looked) == 1


@pytest.mark.usefixtures("keys")
def test_without_a_list_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMFLEET_API_PATHS", raising=False)
    assert Client().ask("", headers=GOOD) == 404


def test_the_engine_has_every_path_that_is_listed() -> None:
    assert sorted(set(VLLM_PATHS) - set(ROUTES)) == []


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("path", sorted(set(ROUTES) - access.OPEN_PATHS))
def test_no_route_of_the_engine_is_served_by_accident(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("LLMFLEET_API_PATHS", ",".join(VLLM_PATHS))
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        assert Client().ask(path, method) == 401
        assert Client().ask(path, method, GOOD) == (200 if path in VLLM_PATHS else 404)
