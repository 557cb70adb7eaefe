# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands around LiteLLM: what it sees of a request, and what a client sees of an answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "litellm" / "files"


load_file(FILES / "llmfleet_fields.py")
load_file(FILES / "llmfleet_content.py")
requests = load_file(FILES / "llmfleet_requests.py")
door = load_file(FILES / "llmfleet_door.py")
CHAT = "/v1/chat/completions"
BODY = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


class Inner:
    """Stands for LiteLLM: remembers what it saw, and answers as it is told to."""

    def __init__(self, status: int = 200, headers: Any = (), fail: str = "") -> None:
        self.status, self.headers, self.fail = status, list(headers), fail
        self.scope: Any = None
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.body = (await receive()).get("body", b"")
        if self.fail == "before":
            raise RuntimeError("before")
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if self.fail == "within":
            raise RuntimeError("within")
        await send({"type": "http.response.body", "body": b"{}"})
        if self.fail == "after":
            raise RuntimeError("after")


class Client:
    """Sends one request through a door, and keeps the answer."""

    def __init__(self, inner: Inner) -> None:
        self.inner = inner
        self.sent: list[Any] = []
        self.read = 0

    def ask(self, path: str = CHAT, body: Any = BODY, *, method: str = "POST", query: str = "", key: str = "sk-good",
            headers: Any = (), kind: str = "http") -> Any:  # fmt: skip
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        pieces = [
            {"type": "http.request", "body": raw[:5], "more_body": True},
            {"type": "http.request", "body": raw[5:]},
        ]

        async def receive() -> Any:
            self.read += 1
            return pieces.pop(0) if pieces else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        async def is_admin(_scope: Any, given: str) -> bool:
            if given not in ("sk-good", "sk-master"):
                raise requests.RequestError("unknown", None, "invalid_api_key", 401)
            return given == "sk-master"

        async def form(_kind: bytes, content: bytes) -> Any:
            return [tuple(pair) for pair in json.loads(content)]

        tools = door.Tools(is_admin, json.loads, lambda value: json.dumps(value).encode(), form)
        sent = [(b"authorization", f"Bearer {key}".encode()), *headers]
        scope = {"type": kind, "method": method, "path": path, "query_string": query.encode(), "headers": sent}
        asyncio.run(door.Door(self.inner, tools, requests.Limits())(scope, receive, send))
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def error(self) -> Any:
        return json.loads(self.sent[1]["body"])["error"]


@pytest.fixture
def client() -> Client:
    return Client(Inner())


def test_litellm_sees_what_was_checked_and_nothing_else(client: Client) -> None:
    headers = [(name.encode(), b"x") for name in ("x-litellm-num-retries", "x-litellm-timeout", "custom-llm-provider",
               "api-key", "x-litellm-api-key", "anthropic-beta", "traceparent", "content-encoding", "cache-control",
               "openai-organization", "x-forwarded-host", "litellm-disable-message-redaction")]  # fmt: skip
    kept = [(b"user-agent", b"a"), (b"x-request-id", b"r")]
    content = [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"5")]
    client.ask(body={**BODY, "user": "u", "stream": None}, headers=[*headers, *kept, *content])
    assert client.status == 200
    assert json.loads(client.inner.body) == BODY
    seen = client.inner.scope
    length = str(len(client.inner.body)).encode()
    mine = [(b"authorization", b"Bearer sk-good"), (b"content-type", b"application/json"), (b"content-length", length)]
    assert (seen["query_string"], seen["headers"]) == (b"", [*kept, *mine])


def test_a_duplicate_name_is_read_once(client: Client) -> None:
    client.ask(body=b'{"model": "x", "model": "chat", "messages": [{"role": "user", "content": "hi"}]}')
    assert client.inner.body.count(b"model") == 1


def test_a_bad_key_is_told_before_its_body_is_read(client: Client) -> None:
    assert client.ask(key="sk-bad").status == 401
    assert (client.read, client.inner.scope) == (0, None)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"authorization", b"Bearer a"), (b"x-api-key", b"b")], "a"),
        ([(b"authorization", b"bearer  a")], "a"),
        ([(b"authorization", b"Basic a"), (b"x-api-key", b"b")], "b"),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], "a"),
        ([(b"authorization", b"Bearer "), (b"X-API-Key", b"b")], "b"),
        ([(b"api-key", b"a")], ""),
        ([], ""),
    ],
)
def test_one_key_counts(headers: Any, key: str) -> None:
    assert door.key_of(headers) == key


@pytest.mark.parametrize("body", [[1], 5, None, "text", b"{", b"", {}, {**BODY, "api_base": "x"}])
def test_a_refusal_has_openais_shape(client: Client, body: Any) -> None:
    client.ask(body=body)
    assert (client.status, client.inner.scope) == (400, None)
    assert set(client.error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/models", "GET", 200),
        ("/v1/models", "HEAD", 200),
        ("/v1/models/chat", "GET", 200),
        ("/v1/models/chat/x", "GET", 404),
        ("/v1/models", "POST", 405),
        ("/v1/chat/completions/", "POST", 404),
        ("/chat/completions", "POST", 404),
        ("/v1/score", "POST", 404),
        ("/v1/responses/x", "GET", 404),
        ("/v1/audio/other", "POST", 404),
        ("/sso/key/generate", "GET", 404),
        (CHAT, "GET", 405),
        (CHAT, "PUT", 405),
    ],
)
def test_paths_of_clients(client: Client, path: str, method: str, status: int) -> None:
    assert client.ask(path, method=method, query="a=b" if method != "POST" else "").status == status
    if status == 200:
        assert (client.inner.scope["method"], client.inner.scope["query_string"], client.inner.body) == (
            "GET",
            b"",
            b"",
        )


def test_the_probe_needs_no_key(client: Client) -> None:
    assert client.ask("/health/liveliness", method="GET", key="").status == 200


def test_the_administrator_reaches_everything_but_steers_no_completion(client: Client) -> None:
    assert client.ask("/model/info", key="sk-master", query="a=b", method="GET").status == 200
    assert client.inner.scope["query_string"] == b"a=b"
    other = Client(Inner())
    assert other.ask(body={**BODY, "api_base": "x"}, key="sk-master").status == 400


def test_a_query_string_chooses_nothing(client: Client) -> None:
    assert client.ask(query="model=other").status == 403
    assert client.error["param"] == "model"
    for query in ("%6dodel=other", "model", "a=1&model=other", "beta=true"):
        assert Client(Inner()).ask(query=query).status in (400, 403)
    body = {**BODY, "max_tokens": 5}
    assert Client(Inner()).ask("/v1/messages", body, query="beta=true").status == 200


def test_a_form_goes_on_as_it_is_or_not_at_all() -> None:
    kind = [(b"content-type", b"multipart/form-data; boundary=x")]
    path = "/v1/audio/transcriptions"
    good = json.dumps([["file", 1], ["model", "chat"]]).encode()
    client = Client(Inner()).ask(path, good, headers=kind)
    assert (client.status, client.inner.body) == (200, good)
    assert kind[0] in client.inner.scope["headers"]
    assert Client(Inner()).ask(path, [["file", 1], ["model", "chat"], ["api_base", "x"]], headers=kind).status == 400
    for other in (b"application/json", b"multipart/form-data-x", b"multipart/form-data, a/b", b""):
        assert Client(Inner()).ask(path, good, headers=[(b"content-type", other)]).status == 400


def test_a_socket_is_refused() -> None:
    client = Client(Inner()).ask("/v1/responses", kind="websocket")
    assert client.sent == [{"type": "websocket.close", "code": 1008}]
    assert client.inner.scope is None


def test_every_429_says_when_to_come_back() -> None:
    assert int(dict(Client(Inner(429)).ask().sent[0]["headers"])[b"retry-after"]) > 0
    assert Client(Inner(429, [(b"Retry-After", b"7")])).ask().sent[0]["headers"] == [(b"Retry-After", b"7")]
    assert not Client(Inner(200)).ask().sent[0]["headers"]


def test_the_hooks_word_is_what_a_429_says() -> None:
    async def limited(scope: Any, receive: Any, send: Any) -> None:
        door.RETRY_AFTER.get()["retry-after"] = "3"
        await Inner(429)(scope, receive, send)

    inner = Inner()
    inner.__class__ = type("Limited", (Inner,), {"__call__": lambda _self, *arguments: limited(*arguments)})
    assert dict(Client(inner).ask().sent[0]["headers"])[b"retry-after"] == b"3"


def test_a_failure_is_an_answer_and_not_a_closed_connection() -> None:
    """A proxy in front would send the next client's request into a connection that is being closed."""
    client = Client(Inner(fail="before")).ask()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert Client(Inner(fail="after")).ask().status == 200
    with pytest.raises(RuntimeError, match="within"):
        Client(Inner(fail="within")).ask()


def test_a_client_that_goes_away_asks_for_nothing() -> None:
    client = Client(Inner())

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    assert asyncio.run(door.read(gone)) is None
    assert client.sent == []


# Of LiteLLM 1.106.2, and of an engine behind it.
TOLD = [
    "x-litellm-version",
    "x-litellm-model-api-base",
    "x-litellm-model-region",
    "x-litellm-model-group",
    "x-litellm-model-name",
    "x-litellm-response-cost",
    "x-litellm-response-cost-original",
    "x-litellm-response-duration-ms",
    "x-litellm-overhead-duration-ms",
    "x-litellm-callback-duration-ms",
    "x-litellm-timing-llm-api-ms",
    "x-litellm-key-tpm-limit",
    "x-litellm-key-rpm-limit",
    "x-litellm-key-spend",
    "x-litellm-key-max-budget",
    "x-litellm-attempted-retries",
    "x-litellm-attempted-fallbacks",
    "x-litellm-max-retries",
    "x-litellm-fallback-errors",
    "x-litellm-cache-key",
    "X-LiteLLM-Timeout",
    "llm_provider-server",
    "llm_provider-date",
    "llm_provider-x-request-id",
    "llm_provider-content-type",
    "LLM_Provider-Server",
]


@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_no_header_of_an_answer_tells_of_the_inside(status: int) -> None:
    kept = [
        (b"content-type", b"application/json"),
        (b"X-LiteLLM-Model-Id", b"chat"),
        (b"x-litellm-call-id", b"a"),
        (b"x-ratelimit-remaining-requests", b"1"),
        (b"retry-after", b"7"),
    ]
    inner = Inner(status, [*((name.encode(), b"x") for name in TOLD), *kept])
    assert Client(inner).ask().sent[0]["headers"] == kept


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/model/info"])
@pytest.mark.parametrize("name", [b"x-llmfleet-door", b"X-LLMFleet-Door"])
def test_the_master_key_is_refused_from_outside(client: Client, path: str, name: bytes) -> None:
    outside = [(name, b"api")]
    client.ask(path, key="sk-master", headers=outside)
    assert (client.status, client.error["code"]) == (403, "master_key_not_allowed")
    assert (client.read, client.inner.scope) == (0, None)
    other = Client(Inner())
    other.ask(key="sk-good", headers=outside)
    assert other.status == 200
    assert name.lower() not in {sent.lower() for sent, _value in other.inner.scope["headers"]}


def test_the_master_key_works_inside(client: Client) -> None:
    assert client.ask(key="sk-master").status == 200


def test_the_outermost_proxy_says_that_a_request_is_from_outside() -> None:
    template = (FILES.parents[1] / "nginx" / "templates" / "api.conf.j2").read_text()
    assert f"proxy_set_header {door.FROM_OUTSIDE.decode()} api;" in template.lower()
