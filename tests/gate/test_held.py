# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More than two thousand tries to get past the gate, of the kinds that a security review of the fleet made.

Whatever is sent, the servers behind get either nothing, or a request that the key may make.
"""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_process import CHAT, COMPLETIONS, HOST, Gate, Stub, said

LITELLM = Path(__file__).resolve().parents[1] / "unit" / "roles" / "gate" / "data" / "litellm.json"
NAMES: list[str] = json.loads(LITELLM.read_text())["refused"]
GUIDE = "sk-guide-only-0123456789abcdef"
TEAM = "sk-team-0123456789abcdef"
HELLO = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HELLO},
    COMPLETIONS: {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 5},
    "/v1/messages/count_tokens": {"messages": HELLO},
    "/v1/responses": {"input": "hi"},
    "/v1/rerank": {"query": "q", "documents": ["a"]},
    "/v1/score": {"queries": "q", "documents": ["a"]},
    "/tokenize": {"prompt": "hi"},
    "/detokenize": {"tokens": [1]},
    "/v1/audio/speech": {"input": "hi", "voice": "alloy"},
}
FORMS = ("/v1/audio/transcriptions", "/v1/audio/translations")


class Client:
    """One connection, kept open."""

    def __init__(self, gate: Gate, key: str = TEAM) -> None:
        self._connection = http.client.HTTPConnection(HOST, gate.port, timeout=20)
        self._key = key

    def post(self, path: str, body: object, **headers: str) -> tuple[int, bytes]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self._key}", **{name.replace("_", "-"): headers[name] for name in headers}}
        self._connection.request("POST", path, data, given)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def untouched(stub: Stub) -> Iterator[None]:
    """Fail where anything has reached a server behind."""
    before = stub.counts()["requests"]
    yield
    assert stub.counts()["requests"] == before


def test_no_name_that_litellm_knows_gets_through_a_body(gate: Gate, stub: Stub) -> None:
    """About 1,900 names; endpoints and values take turns. Those that clients send by habit end at the gate."""
    client = Client(gate)
    values = itertools.cycle(["http://169.254.169.254/", "x", 12, True, {"a": "b"}, ["x"], {"url": "http://h"}])
    before, passed = stub.counts()["requests"], 0
    for name, path in zip(NAMES, itertools.cycle(BODIES)):
        status, text = client.post(path, {"model": "chat", **BODIES[path], name: next(values)})
        if status == 200:
            passed += 1
            assert name not in json.loads(stub.last()[2]), (path, name)
        else:
            assert status == 400, (path, name, text)
            assert name.encode() in text, (path, name, text)
    assert stub.counts()["requests"] - before == passed
    assert passed < 40


def form(**fields: str) -> tuple[bytes, str]:
    body = b'--bb\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    for name, value in fields.items():
        body += f'--bb\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    return body + b"--bb--\r\n", "multipart/form-data; boundary=bb"


def test_nor_through_a_form_a_query_or_a_header(gate: Gate, stub: Stub, untouched: None) -> None:
    client = Client(gate)
    for name, path in zip(NAMES[::6], itertools.cycle(FORMS)):
        body, kind = form(model="chat", **{name: "x"})
        assert client.post(path, body, Content_Type=kind)[0] == 400, name
    for name, path in zip(NAMES[3::6], itertools.cycle(BODIES)):
        status, text = client.post(f"{path}?{name}=x", {"model": "chat", **BODIES[path]})
        assert status in (400, 403), (path, name, text)


def test_headers_end_here(gate: Gate, stub: Stub) -> None:
    client = Client(gate)
    litellm = [f"x-litellm-{name.replace('_', '-')}" for name in NAMES[5::40]]
    others = [
        "x-litellm-timeout", "x-litellm-api-key", "x-litellm-model", "x-litellm-tags", "x-litellm-trace-id",
        "langfuse-host",
        "api-key", "x-goog-api-key", "ocp-apim-subscription-key", "x-model", "model", "anthropic-beta", "openai-beta",
        "x-forwarded-for", "x-forwarded-host", "x-real-ip", "x-original-url", "x-rewrite-url", "x-http-method-override",
        "forwarded", "via", "range", "if-none-match", "accept", "traceparent", "x-amz-date", "helicone-auth", "proxy",
        "proxy-authorization", "keep-alive", "te", "trailer", "cookie", "referer", "x-stainless-lang",
        "x-session-affinity", "x-llmfleet-conversation",
    ]  # fmt: skip
    for name in (*litellm, *others):
        status, _text = client.post(CHAT, said("hi", model="guide"), **{name: "x-value-0123"})
        assert status == 200
        assert b"x-value-0123" not in json.dumps(stub.last()[1]).encode(), name
        sent = {"host", "authorization", "content-type", "content-length", "accept", "x-llmfleet-conversation"}
        assert {*stub.last()[1]} == sent


OTHER = [
    "chat", "Chat", "CHAT", "chat ", " chat", "\tchat", "chat\n", "chat\x00", "guide,chat", "chat,guide", "guide chat",
    "guide\nchat", "guide\x00chat", "openai/chat", "hosted_vllm/chat", "vllm/chat", "litellm_proxy/chat", "*",
    "hosted_vllm/*",
    "guide/../chat", "../chat", "guide/chat", "chat/", "/chat", "%63hat", "ch\u0430t", "ｃｈａｔ", "gpt-4o",
    "team/large", "far",
    "", "null", "default", "auto", "fallback", "ft:chat", "chat:latest", "chat@1", "chat;guide", "guide|chat",
    "guide&model=chat",
    "0", "1", "sk-guide-only-0123456789abcdef", "x" * 256, "x" * 300,
]  # fmt: skip


def test_a_key_reaches_no_other_model_by_its_name(gate: Gate, untouched: None) -> None:
    client = Client(gate, GUIDE)
    for name, path in itertools.product(OTHER, BODIES):
        status, text = client.post(path, {**BODIES[path], "model": name})
        assert status in (400, 403, 404), (path, name, text)


def test_nor_by_a_name_that_is_no_text_or_comes_twice(gate: Gate, untouched: None) -> None:
    client = Client(gate, GUIDE)
    for value, path in itertools.product(
        (["chat"], ["guide", "chat"], {"guide": "chat"}, 0, True, None, [["chat"]]), BODIES
    ):
        assert client.post(path, {**BODIES[path], "model": value})[0] == 400, (path, value)
    for path in BODIES:
        rest = json.dumps(BODIES[path])[1:]
        for first in (
            '"model":"guide","model":"chat",',
            '"model":"guide","mod\\u0065l":"chat",',
            '"model":["guide"],"model":"chat",',
        ):
            assert client.post(path, ("{" + first + rest).encode())[0] == 403, (path, first)
        for name in (
            "Model",
            "MODEL",
            " model",
            "model ",
            "model[]",
            "models",
            "model_name",
            "engine",
            "deployment",
            "model\x00",
        ):
            assert client.post(path, {**BODIES[path], "model": "guide", name: "chat"})[0] == 400, (path, name)
    for path in FORMS:
        for name in ("chat", "guide,chat", "gpt-4o", "guide\r\nchat"):
            body, kind = form(model=name)
            assert client.post(path, body, Content_Type=kind)[0] in (400, 403), name
        for name in ("Model", "model[]", "models", "target_model_names"):
            body, kind = form(model="guide", **{name: "chat"})
            assert client.post(path, body, Content_Type=kind)[0] == 400, name
        body, kind = form(model="guide")
        second = b'--bb\r\nContent-Disposition: form-data; name="model"\r\n\r\nchat\r\n'
        for doubled in (second + body, body.replace(b"--bb--", second + b"--bb--")):
            assert client.post(path, doubled, Content_Type=kind)[0] in (400, 403)


def test_nor_by_an_address(gate: Gate, untouched: None) -> None:
    client = Client(gate, GUIDE)
    queries = (
        "model=chat",
        "MODEL=chat",
        "model=hosted_vllm/chat",
        "mo%64el=chat",
        "x=1&model=chat",
        "model",
        "model=guide&model=chat",
    )
    for path, query in itertools.product(BODIES, queries):
        assert client.post(f"{path}?{query}", {**BODIES[path], "model": "guide"})[0] in (400, 403), (path, query)
    prefixes = (
        "/engines/chat",
        "/chat",
        "/openai/deployments/chat",
        "/v1/engines/chat",
        "/engines",
        "/translator",
        "/v2",
        "/api",
    )
    for prefix, path in itertools.product(prefixes, BODIES):
        assert client.post(f"{prefix}{path}", {**BODIES[path], "model": "guide"})[0] == 404, (prefix, path)


def paths() -> Iterator[str]:
    """Spellings of paths that exist, and paths that servers behind have."""
    for path in (*BODIES, *FORMS, "/metrics", "/health", "/v1/models"):
        yield from (
            f"{path}/x",
            f"{path}//",
            f"/{path}",
            f"{path}%20",
            f"{path}%2f",
            f"{path}%00",
            f"{path};a=b",
            f"{path}.",
        )
        yield from (
            path.upper(),
            f"/.{path}",
            f"/x/..{path}",
            f"/%2e{path}",
            path.replace("/", "\\", 1),
            path.replace("/", "%2f"),
        )
    yield from (
        "/", "//", "/.", "/..", "/v1", "/*", "/docs", "/redoc", "/openapi.json", "/ui", "/sso/key/generate",
        "/key/generate",
        "/key/info", "/user/new", "/team/new", "/model/new", "/model/info", "/model/delete", "/config/update",
        "/get/config",
        "/health/liveliness", "/health/readiness", "/health/services", "/settings", "/spend/logs", "/global/spend",
        "/cache/ping",
        "/cache/flushall", "/credentials", "/vector_stores", "/v1/files", "/v1/batches", "/v1/assistants",
        "/v1/threads",
        "/v1/fine_tuning/jobs", "/v1/images/generations", "/v1/images/edits", "/v1/moderations", "/v1/realtime",
        "/v1/videos",
        "/v1/containers", "/v1/vector_stores", "/v1/responses/x", "/v1/responses/x/cancel", "/v1/messages/batches",
        "/mcp", "/mcp/tools/list", "/sse", "/anthropic/v1/messages", "/bedrock/x", "/vertex_ai/x", "/openai/x",
        "/azure/x",
        "/cohere/v1/rerank", "/v2/rerank", "/rerank", "/score", "/pooling", "/classify", "/invocations", "/ping",
        "/load",
        "/version", "/server_info", "/reset_prefix_cache", "/sleep", "/wake_up", "/scale_elastic_ep",
        "/is_scaling_elastic_ep",
        "/collective_rpc", "/tokenizer_info", "/start_profile", "/stop_profile", "/kv_event_sources",
        "/generative_scoring",
        "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/chat/completions/render", "/v1/chat/completions/batch",
        "/inference/v1/generate", "/abort_requests", "/pause", "/resume", "/update_weights", "/get_world_size",
        "/debug",
        "/.well-known/openid-configuration", "/robots.txt", "/favicon.ico", "/.env", "/.git/config", "/stub/counts",
    )  # fmt: skip


def test_no_other_path_leads_anywhere(gate: Gate, untouched: None) -> None:
    client = Client(gate)
    for path in paths():
        status, text = client.post(path, {"model": "chat", "messages": HELLO})
        # Models are looked up by GET alone; a path without a slash is no HTTP.
        expected = 405 if path.startswith("/v1/models/") else 404 if path.startswith("/") else 400
        assert status == expected, (path, status, text)


def test_nobody_else_is_let_in(gate: Gate, untouched: None) -> None:
    spellings = [
        TEAM.upper(), TEAM[:-1], f"{TEAM} ", f"\t{TEAM}", f"{TEAM},{TEAM}", f"{TEAM};x", TEAM.replace("-", "_"),
        "team", "master",
        "sk-1234", "sk-", "-", "null", "undefined", "x" * 15_000, "sk-blocked-0123456789abcdef",
        "sk-expired-0123456789abcdef",
        "sk-of-the-engines", "sk-of-the-translator", "é", "*", "' or 1=1", "Bearer", "../../keys.json",
        '{"alias":"team"}',
    ]  # fmt: skip
    schemes = (
        "Basic {}",
        "Token {}",
        "Bearer: {}",
        "Bearer{}",
        "Bearer Bearer {}",
        "Negotiate {}",
        "Bearer {} x",
        "key={}",
    )
    headers = (
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-litellm-api-key",
        "x-llm-key",
        "proxy-authorization",
    )
    tries = [{"Authorization": f"Bearer {key}"} for key in spellings if key.strip() != TEAM]
    tries += [{"x-api-key": key} for key in spellings if key.strip() != TEAM]
    tries += [{"Authorization": scheme.format(TEAM)} for scheme in schemes]
    tries += [{name: TEAM} for name in headers] + [
        {"Cookie": f"{name}={TEAM}"} for name in ("token", "key", "Authorization")
    ]
    for given in tries:
        latin = {name: value.encode("utf-8").decode("latin-1") for name, value in given.items()}
        for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/metrics")):
            assert gate.ask(method, path, said("hi") if method == "POST" else None, latin).status == 401, given
    for query in ("key", "api_key", "api-key", "token", "access_token"):
        assert gate.ask("POST", f"{CHAT}?{query}={TEAM}", said("hi")).status == 401
