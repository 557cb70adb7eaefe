# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is let in, where to, and with which body; and what the server behind gets of a request."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Any, Callable

import pytest
from gate_process import CHAT, COMPLETIONS, ENGINE_KEY, TRANSLATOR_KEY, Answer, Gate, Stub, said
from patience import Watch, within

TEAM = "sk-team-0123456789abcdef"
HEAD = f"Host: gate\r\nAuthorization: Bearer {TEAM}\r\n"


def refused(answer: Answer, status: int, code: str) -> str:
    """The message of a refusal in OpenAI's shape."""
    assert answer.status == status, answer
    error = answer.json()["error"]
    assert (error["code"], {*error}) == (code, {"message", "type", "param", "code"})
    return str(error["message"])


def status(raw: bytes) -> int:
    assert raw.startswith(b"HTTP/1.1 "), raw[:200]
    return int(raw[9:12])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "invalid_api_key"),
        ({"Authorization": "Bearer sk-made-up"}, "invalid_api_key"),
        ({"Authorization": f"Bearer {TEAM}x"}, "invalid_api_key"),
        ({"Authorization": f"Basic {TEAM}"}, "invalid_api_key"),
        ({"Authorization": f"Bearer {TEAM} {TEAM}"}, "invalid_api_key"),
        ({"Authorization": "Bearer team"}, "invalid_api_key"),
        ({"Authorization": ""}, "invalid_api_key"),
        ({"api-key": TEAM, "x-litellm-api-key": TEAM, "Cookie": f"key={TEAM}"}, "invalid_api_key"),
        ({"Authorization": f"Bearer {ENGINE_KEY}"}, "invalid_api_key"),
        ({"Authorization": f"Bearer {TRANSLATOR_KEY}"}, "invalid_api_key"),
        ({"Authorization": "Bearer sk-blocked-0123456789abcdef"}, "blocked_api_key"),
        ({"x-api-key": "sk-expired-0123456789abcdef"}, "expired_api_key"),
    ],
)
def test_a_stranger_stays_outside(gate: Gate, stub: Stub, headers: dict[str, str], code: str) -> None:
    before = stub.counts()["requests"]
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/nothing")):
        answer = gate.ask(method, path, said("hi") if method == "POST" else None, headers)
        refused(answer, 401, code)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert stub.counts()["requests"] == before


def test_a_key_comes_in_either_header_and_only_one(gate: Gate) -> None:
    for headers in (
        {"Authorization": f"Bearer {TEAM}"},
        {"Authorization": f"bearer   {TEAM}"},
        {"Authorization": TEAM},
        {"x-api-key": TEAM},
        {"Authorization": f"Bearer {TEAM}", "X-Api-Key": TEAM},
    ):
        assert gate.ask("GET", "/v1/models", None, headers).status == 200
    for second in ("sk-guide-only-0123456789abcdef", "sk-made-up", ""):
        answer = gate.ask("GET", "/v1/models", None, {"Authorization": f"Bearer {TEAM}", "x-api-key": second})
        refused(answer, 400, "invalid_api_key")
    raw = gate.raw(
        f"GET /v1/models HTTP/1.1\r\n{HEAD}Authorization: Bearer sk-other\r\nConnection: close\r\n\r\n".encode()
    )
    assert status(raw) == 400


def test_a_strangers_body_is_not_read(gate: Gate) -> None:
    before = gate.memory()
    with gate.connect() as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer sk-made-up\r\n"
        watch, end = Watch(), time.monotonic() + 5
        connection.sendall(f"{head}Content-Length: 30000000\r\n\r\n".encode())
        assert status(connection.recv(65536)) == 401
        assert watch.seconds() < 1
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                connection.send(b'{"messages":[' + b"[]," * 20_000)
                time.sleep(0.001)
        assert time.monotonic() < end, "the connection is not closed"
    assert gate.memory() - before < 4 << 20
    assert gate.get("/v1/models").status == 200


def test_a_stranger_is_not_told_to_go_on(gate: Gate) -> None:
    data = json.dumps(said("hi")).encode()
    expect = f"Expect: 100-continue\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    for key, first in (("sk-made-up", 401), (TEAM, 100)):
        with gate.connect() as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n{expect}".encode())
            assert status(connection.recv(65536)) == first
            if first == 100:
                connection.sendall(data)
                assert status(connection.recv(65536)) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        f"{CHAT}/",
        f"/{CHAT}",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions%00",
        "/v1/chat/completions;x",
        "/v1/chat/completions%20",
        "/V1/chat/completions",
        "/chat/completions",
        "/engines/chat/v1/chat/completions",
        "/invocations",
        "/key/generate",
        "/v1/chat/completions/render",
        "/load",
        "/ping",
        "/version",
        "/docs",
        "http://gate/v1/chat/completions",
        "//gate/v1/chat/completions",
    ],
)
def test_paths_are_exact(gate: Gate, stub: Stub, path: str) -> None:
    before = stub.counts()["requests"]
    refused(gate.post(path, said("hi")), 404, "not_found")
    assert stub.counts()["requests"] == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "PROPFIND"])
def test_methods_are_few(gate: Gate, method: str) -> None:
    answer = gate.ask(method, CHAT, None, {"Authorization": f"Bearer {TEAM}"})
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    for path in ("/v1/models", "/metrics"):
        key = TEAM if path == "/v1/models" else "sk-scraper-0123456789abcdef"
        answer = gate.ask(method, path, None, {"Authorization": f"Bearer {key}"})
        assert answer.status == (200 if method in ("GET", "HEAD") else 405)


def test_the_query_string_is_empty(gate: Gate, stub: Stub) -> None:
    key = "sk-guide-only-0123456789abcdef"
    for query, code in (
        ("model=chat", 403),
        ("MODEL=chat", 403),
        ("mo%64el=chat", 403),
        ("x=1", 400),
        ("x", 400),
        ("&;x=&", 400),
    ):
        assert gate.post(f"{CHAT}?{query}", said("hi", model="guide"), key).status == code
    assert gate.post(f"{CHAT}?", said("hi", model="guide"), key).status == 200
    answer = gate.post("/v1/messages?beta=true", said("hi", max_tokens=5))
    assert answer.status == 200
    assert stub.last()[0] == "/translator/v1/messages"


def test_scopes_are_apart(gate: Gate) -> None:
    scraper = "sk-scraper-0123456789abcdef"
    assert b"llmfleet_gate_requests_total" in gate.get("/metrics", scraper).body
    refused(gate.get("/metrics", TEAM), 403, "path_not_allowed")
    refused(gate.get("/v1/models", scraper), 403, "path_not_allowed")
    refused(gate.post(CHAT, said("hi"), scraper), 403, "path_not_allowed")
    for method in ("GET", "HEAD"):
        assert gate.ask(method, "/health").status == 200


def test_models_are_those_of_the_key(gate: Gate) -> None:
    def names(key: str, **headers: str) -> list[str]:
        return [entry["id"] for entry in gate.get("/v1/models", key, **headers).json()["data"]]

    everything = ["chat", "gpt-4o", "team/large", "guide", "far"]
    assert names(TEAM) == everything
    assert names("sk-guide-only-0123456789abcdef") == ["guide"]
    assert names("sk-alias-only-0123456789abcdef") == ["gpt-4o"]
    assert names(TEAM, anthropic_version="2023-06-01") == everything
    entry = gate.get("/v1/models/gpt-4o").json()
    assert entry == {**entry, "id": "gpt-4o", "object": "model", "max_model_len": 4096}
    entry = gate.get("/v1/models/gpt-4o", anthropic_version="2023-06-01").json()
    assert entry == {**entry, "id": "gpt-4o", "type": "model", "display_name": "gpt-4o"}
    for path in ("/v1/models/team/large", "/v1/models/team%2Flarge"):
        assert gate.get(path).json()["id"] == "team/large"
    assert gate.ask("HEAD", "/v1/models", None, {"Authorization": f"Bearer {TEAM}"}).body == b""
    refused(gate.get("/v1/models/chat", "sk-guide-only-0123456789abcdef"), 404, "model_not_found")
    refused(gate.get("/v1/models/"), 404, "model_not_found")
    answer = gate.get("/v1/models/nothing", anthropic_version="2023-06-01")
    assert (answer.status, answer.json()["type"]) == (404, "error")


def test_a_key_uses_its_models_alone(gate: Gate, stub: Stub) -> None:
    guide, alias = "sk-guide-only-0123456789abcdef", "sk-alias-only-0123456789abcdef"
    before = stub.counts()["requests"]
    for key, model in ((guide, "chat"), (guide, "gpt-4o"), (alias, "chat"), (alias, "team/large")):
        refused(gate.chat("hi", key, model=model), 403, "model_not_allowed")
        answer = gate.post("/v1/messages", said("hi", model=model, max_tokens=5), key)
        assert (answer.status, answer.json()["error"]["type"]) == (403, "permission_error")
    for model in ("Chat", "chat ", "openai/chat", "hosted_vllm/guide", "chat\x00"):
        assert gate.chat("hi", model=model).status in (400, 404)
    assert stub.counts()["requests"] == before
    assert gate.chat("hi", guide, model="guide").status == 200
    assert gate.chat("hi", alias, model="gpt-4o").status == 200


def test_the_server_behind_gets_what_is_named_here_and_nothing_else(gate: Gate, stub: Stub) -> None:
    noise = {
        "x-request-id": "0123456789abcdef",
        "x-session-id": "session-01234567",
        "x-litellm-num-retries": "12",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "cookie": "a=b",
        "user-agent": "curl/8",
        "accept-encoding": "gzip, br",
        "origin": "http://evil",
        "anthropic-beta": "x",
        "openai-organization": "y",
        "te": "trailers",
        "x-api-key": TEAM,
        "x-llmfleet-conversation": "0123456789abcdef",
    }
    assert gate.post(CHAT, said("hi", model="gpt-4o"), TEAM, noise).status == 200
    path, headers, body = stub.last()
    assert path == "/engines/chat/v1/chat/completions"
    assert headers.pop("x-llmfleet-conversation") != noise["x-llmfleet-conversation"]
    assert headers.pop("host").startswith("127.0.0.1:")
    assert headers == {
        "authorization": f"Bearer {ENGINE_KEY}",
        "x-request-id": "0123456789abcdef",
        "x-session-id": "session-01234567",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "accept": "*/*",
    }
    assert json.loads(body) == said("hi", model="chat", top_k=7)
    bad = {"x-request-id": "a b", "x-session-id": "short", "anthropic-version": "\x80\xff"}
    assert gate.post("/v1/messages", said("hi", max_tokens=5), TEAM, bad).status == 200
    path, headers, body = stub.last()
    assert path == "/translator/v1/messages"
    assert headers["authorization"] == f"Bearer {TRANSLATOR_KEY}"
    assert (headers["anthropic-version"], headers["connection"]) == ("2023-06-01", "close")
    assert not {"x-request-id", "x-session-id"} & {*headers}


def test_the_turns_of_a_conversation_have_one_name_that_no_client_gives(gate: Gate, stub: Stub) -> None:
    def name(path: str = CHAT, key: str = TEAM, headers: dict[str, str] | None = None, **body: Any) -> str:
        given = {"x-llmfleet-conversation": "given-by-a-client", **(headers or {})}
        assert gate.post(path, {"model": "chat", **body}, key, given).status == 200
        found: str = stub.last()[1].get("x-llmfleet-conversation", "")
        return found

    first = [{"role": "system", "content": "It is noon."}, {"role": "user", "content": "hi"}]
    second = [*first, {"role": "assistant", "content": "ho"}, {"role": "user", "content": "and?"}]
    second[0] = {"role": "system", "content": "It is one o'clock."}
    own = name(messages=first)
    assert re.fullmatch("[0-9a-f]{16}", own)
    assert own == name(messages=second) == name(messages=first, model="gpt-4o", temperature=1)
    others = [
        name(messages=second[1:][::-1]),
        name(messages=first, model="guide"),
        name(key=gate.key_of("guide-only"), messages=first, model="guide"),
        name(messages=first, headers={"x-session-id": "session-01234567"}),
        name(path=COMPLETIONS, prompt="hi there"),
    ]
    assert len({own, *others}) == 6
    assert name("/v1/messages", messages=first[1:], max_tokens=5) == own, "LiteLLM passes it on"
    assert name("/v1/responses", input="hi") == own
    none = [name(messages=first, model="far"), name("/v1/embeddings", input="hi"), name("/tokenize", prompt="hi")]
    assert none == ["", "", ""]


def test_paths_and_models_that_are_translated(gate: Gate, stub: Stub) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/responses": {"model": "chat", "input": "hi"},
        "/v1/audio/speech": {"model": "chat", "input": "hi", "voice": "alloy"},
        "/v1/embeddings": {"model": "far", "input": "hi"},
        CHAT: said("hi", model="far"),
    }
    for path, body in bodies.items():
        assert gate.post(path, body).status == 200
        assert stub.last()[0] == f"/translator{path}"
    for path in (
        COMPLETIONS,
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/score",
        "/tokenize",
        "/detokenize",
        "/v1/messages/count_tokens",
    ):
        extra = {
            COMPLETIONS: {"prompt": [1, 2]},
            "/v1/embeddings": {"input": "a"},
            "/v1/rerank": {"query": "q", "documents": ["a"]},
            "/v1/score": {"queries": "q", "documents": ["a"]},
            "/tokenize": {"prompt": "a"},
            "/detokenize": {"tokens": [1, 2]},
            "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "hi"}]},
        }[path]
        answer = gate.post(path, {"model": "gpt-4o", **extra})
        assert answer.status == 200, answer
        assert stub.last()[0] == f"/engines/chat{path}"
        assert json.loads(stub.last()[2]) == {"model": "chat", **extra, **({"top_k": 7} if path == COMPLETIONS else {})}


def test_keys_share_no_beginnings_if_the_caches_are_separate(
    gate: Gate, stub: Stub, start: Callable[..., Gate]
) -> None:
    separate = start(models=[{"name": "chat"}, {"name": "far", "translated": True}], separate_caches=True)
    other = separate.key("other")
    within(3, lambda: separate.get("/v1/models", other).status == 200, "the key is known")

    def salt(door: Gate, key: str = TEAM, **fields: Any) -> str | None:
        assert door.post(CHAT, said("hi", **fields), key).status == 200
        found: str | None = json.loads(stub.last()[2]).get("cache_salt")
        return found

    assert (salt(gate), salt(gate, cache_salt="x")) == (None, "x")
    own = salt(separate)
    assert own is not None
    assert own == salt(separate)
    salts = [own, salt(separate, cache_salt="x"), salt(separate, other), salt(separate, other, cache_salt="x")]
    assert len(set(salts)) == 4
    assert salt(separate, other, cache_salt=own) not in salts
    assert salt(separate, model="far") is None


def test_defaults_give_way_and_too_many_tokens_become_what_fits(gate: Gate, stub: Stub) -> None:
    def sent(path: str, **fields: Any) -> dict[str, Any]:
        body = said("hi", **fields) if path != "/v1/responses" else {"model": "chat", "input": "hi", **fields}
        assert gate.post(path, body).status == 200
        return dict(json.loads(stub.last()[2]))

    assert sent(CHAT, top_k=3)["top_k"] == 3
    assert sent(CHAT, top_k=None)["top_k"] == 7
    assert "top_k" not in sent(CHAT, model="guide")
    assert sent(CHAT, max_tokens=4095)["max_tokens"] == 4095
    for name in ("max_tokens", "max_completion_tokens"):
        assert name not in sent(CHAT, **{name: 4096})
        assert name not in sent(CHAT, **{name: 1e9})
    assert sent(CHAT, model="guide", max_tokens=10**6)["max_tokens"] == 10**6
    assert sent("/v1/messages", max_tokens=32000)["max_tokens"] == 2048
    assert "max_output_tokens" not in sent("/v1/responses", max_output_tokens=10**6)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":NaN}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":Infinity}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"seed":1' + b"0" * 400 + b"}",
        b'{"model":"chat","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],}',
        b"{'model':'chat'}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_what_is_no_json_object_is_refused_at_once(gate: Gate, body: bytes) -> None:
    watch = Watch()
    answer = gate.post(CHAT, body)
    refused(answer, 400, "invalid_json")
    assert watch.seconds() < 1


def test_many_containers_are_refused_and_as_many_braces_in_a_text_are_not(gate: Gate) -> None:
    watch = Watch()
    refused(gate.post(CHAT, b'{"model":"chat","messages":[' + b"[]," * 1_000_000 + b"[]]}"), 400, "invalid_json")
    assert watch.seconds() < 2
    assert gate.chat('{"a": ["\\"[{"]}' * 50_000).status == 200


def test_the_last_of_two_names_counts_here_and_behind(gate: Gate, stub: Stub) -> None:
    messages = [b'"messages":[{"role":"user","content":"%b"}]' % word for word in (b"hi", b"ho")]
    raw = b'{"model":"chat","model":"guide",%b}' % b",".join(messages)
    assert gate.post(CHAT, raw, "sk-guide-only-0123456789abcdef").status == 200
    assert stub.last()[0] == "/engines/guide/v1/chat/completions"
    assert json.loads(stub.last()[2]) == said("ho", model="guide")
    raw = raw.replace(b'"model":"chat","model":"guide"', b'"model":"guide","mod\\u0065l":"chat"')
    refused(gate.post(CHAT, raw, "sk-guide-only-0123456789abcdef"), 403, "model_not_allowed")


def test_numbers_keep_their_digits(gate: Gate, stub: Stub) -> None:
    seed = 2**53 + 1
    assert gate.chat("hi", seed=seed, temperature=0.1).status == 200
    assert b'"seed":9007199254740993' in stub.last()[2]


def test_bodies_have_a_size_and_a_time(gate: Gate) -> None:
    limit = 4 << 20
    refused(gate.chat("x" * limit), 413, "request_too_large")
    big = json.dumps(said("x" * (limit - 200))).encode()
    assert gate.post(CHAT, big).status == 200
    # Chunked, so that no header tells the size.
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    raw = gate.raw(f"POST {CHAT} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 80)
    assert status(raw) == 413
    refused(gate.post(CHAT, b"x", headers={"Content-Encoding": "gzip"}), 400, "invalid_content_encoding")
    with gate.connect() as connection:
        connection.sendall(f'POST {CHAT} HTTP/1.1\r\n{HEAD}Content-Length: 500\r\n\r\n{{"model":'.encode())
        began = time.monotonic()
        assert status(connection.recv(65536)) == 408
        assert 0.5 < time.monotonic() - began < 3
    answer = gate.post("/v1/messages", b"x" * (limit + 1))
    assert (answer.status, answer.json()["error"]["type"]) == (413, "request_too_large")


def multipart(*parts: tuple[str, str, bytes], boundary: str = "b0undary") -> tuple[bytes, dict[str, str]]:
    body = b""
    for name, extra, content in parts:
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


UPLOAD = ("file", '; filename="../x\\y.wav"\r\nContent-Type: audio/wav', b"RIFF\x00\xff" * 1000)
FORM = "/v1/audio/transcriptions"


def test_a_form_is_written_anew(gate: Gate, stub: Stub) -> None:
    body, headers = multipart(UPLOAD, ("model", "", b"gpt-4o"), ("language", "", b"de"))
    assert gate.post(FORM, body, headers=headers).status == 200
    path, seen, form = stub.last()
    assert path == f"/translator{FORM}"
    assert "b0undary" not in seen["content-type"]
    assert b"b0undary" not in form
    assert b"\r\n\r\nchat\r\n" in form
    assert b"gpt-4o" not in form
    assert UPLOAD[2] in form
    assert b"../" not in form


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([UPLOAD], "missing_required_parameter"),
        ([("model", "", b"chat")], "missing_required_parameter"),
        ([UPLOAD, ("model", "", b"chat"), ("model", "", b"guide")], "invalid_value"),
        ([UPLOAD, UPLOAD, ("model", "", b"chat")], "invalid_value"),
        ([UPLOAD, ("model", "", b"chat"), ("api_base", "", b"http://x")], "unknown_parameter"),
        ([UPLOAD, ("model", "", b"chat"), ("custom_llm_provider", "", b"gigachat")], "unknown_parameter"),
        ([UPLOAD, ("model", '; filename="m"', b"chat")], "invalid_type"),
        ([("file", "", b"x"), ("model", "", b"chat")], "invalid_type"),
        ([UPLOAD, ("model", "", b"\xff")], "invalid_form"),
        ([UPLOAD, *[("include[]", "", b"a")] * 60, ("model", "", b"chat")], "invalid_form"),
    ],
)
def test_a_form_that_is_not_taken(gate: Gate, stub: Stub, parts: list[Any], code: str) -> None:
    before = stub.counts()["requests"]
    body, headers = multipart(*parts)
    refused(gate.post(FORM, body, headers=headers), 400, code)
    assert stub.counts()["requests"] == before


def test_what_is_no_form_is_refused(gate: Gate) -> None:
    body, headers = multipart(UPLOAD, ("model", "", b"chat"))
    refused(gate.post(FORM, said("hi")), 400, "invalid_content_type")
    for broken in (body[:100], body[:-20], b"", b"--", body.replace(b"\r\n", b"\n"), b"x" * 100_000):
        assert gate.post(FORM, broken, headers=headers).status == 400
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 500):
        assert gate.post(FORM, body, headers={"Content-Type": kind}).status == 400
    big, headers = multipart(("file", '; filename="a"', b"x" * (33 << 20)), ("model", "", b"chat"))
    refused(gate.post(FORM, big, headers=headers), 413, "request_too_large")


def test_unknown_names_make_no_series(gate: Gate) -> None:
    before = len(gate.get("/metrics", "sk-scraper-0123456789abcdef").body.splitlines())
    for number in range(30):
        assert gate.chat("hi", model=f"made-up-{number}").status == 404
        assert gate.get(f"/made-up-{number}").status == 404
        assert gate.get("/v1/models", f"sk-made-up-{number}").status == 401
        assert gate.chat("hi", **{f"made_up_{number}": 1}).status == 400
    text = gate.get("/metrics", "sk-scraper-0123456789abcdef").body
    assert b"made" not in text
    assert len(text.splitlines()) - before < 12
