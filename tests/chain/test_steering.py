# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No client steers the gateway: where it calls, which model answers, and how often an engine is asked."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import openai
import pytest

HELLO = [{"role": "user", "content": "Hello"}]
ENDPOINTS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": HELLO, "max_tokens": 2},
    "/completions": {"prompt": "Hello", "max_tokens": 2},
    "/embeddings": {"input": "Hello"},
    "/messages": {"messages": HELLO, "max_tokens": 2},
    "/messages/count_tokens": {"messages": HELLO},
    "/responses": {"input": "Hello", "max_output_tokens": 2},
    "/rerank": {"query": "q", "documents": ["a"]},
    "/audio/speech": {"input": "Hello", "voice": "alloy"},
}
FORMS = ("/audio/transcriptions", "/audio/translations")
# Nginx lets 20 requests of a key through in a second; attacks that come faster would be refused for that alone.
PAUSE_SECONDS = 0.06


class Canary:
    """Listens where an attacker would, and counts who comes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            self.visits += 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            connection.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.listener.close()


def attacks(url: str) -> dict[str, dict[str, Any]]:
    """What makes LiteLLM go somewhere else, fetch, retry, pretend, or look elsewhere, by family."""
    named = {"api_base": url, "base_url": url, "api_key": "sk-attacker"}
    return {
        "gigachat": {"custom_llm_provider": "gigachat", "gigachat_auth_url": f"{url}/oauth"},
        **{
            f"provider {name}": {"custom_llm_provider": name}
            for name in ("replicate", "bytez", "ollama", "huggingface")
        },
        "azure": {"custom_llm_provider": "azure", "tenant_id": "t", "client_id": "c", "client_secret": "s"},
        "oci": {"custom_llm_provider": "oci", "oci_key_file": "/etc/passwd"},
        **{name: {name: value} for name, value in named.items()},
        "list of models": {"model_list": [{"model_name": "chat", "litellm_params": {"model": "openai/x", **named}}]},
        "configuration": {"user_config": {"model_list": [{"model_name": "chat", "litellm_params": named}]}},
        "parameters": {"litellm_params": named},
        "extra body": {"extra_body": {"custom_llm_provider": "gigachat", "gigachat_auth_url": url}},
        "fallbacks": {"fallbacks": [{"model": "openai/x", **named}]},
        "retries": {"num_retries": 12},
        "most retries": {"max_retries": 12},
        "mock": {"mock_response": "pretended"},
        "time": {"timeout": 0.001},
        "headers": {"extra_headers": {"Host": "x", "Content-Length": "5"}},
        "more headers": {"headers": {"X-Session-Id": "x"}},
        "guardrails": {"guardrails": ["x"]},
        "cache": {"cache": {"no-cache": True}},
        "tags": {"tags": ["x"]},
        "callbacks": {"success_callback": ["langfuse"], "langfuse_host": url},
        "metadata": {"litellm_metadata": {"model_group": "x", "headers": {"a": "b"}}},
        "deployment": {"specific_deployment": True},
        "servers of tools": {"mcp_servers": [{"type": "url", "url": url, "name": "x"}]},
        "tools": {"tools": [{"type": "mcp", "server_label": "x", "server_url": url}]},
        "prompt": {"prompt_id": "x", "prompt_variables": {}},
        "stored answer": {"previous_response_id": "resp_x"},
        "price": {"input_cost_per_token": 0},
        "many answers": {"n": 4000},
        "not a number": {"n": "2"},
    }


FAMILIES = sorted(attacks(""))


def refused(answer: urllib.error.HTTPError, named: set[str] | None = None) -> dict[str, Any]:
    """The error of a refusal in the shape of the API, naming the parameter."""
    whole: dict[str, Any] = json.loads(answer.read())
    error: dict[str, Any] = whole["error"]
    assert error["message"]
    if whole.get("type") == "error":
        # Anthropic's has no field for the parameter, so the message begins with it.
        assert set(error) == {"type", "message"}
        param = error["message"].split()[0]
    else:
        assert {"type", "code", "param"} <= set(error)
        param = str(error["param"])
    if named is not None:
        assert param.split(".")[0].split("[")[0] in named, error
    return error


@pytest.fixture
def post(base_url: str, api_key: str) -> Callable[..., Any]:
    def ask(path: str, body: Any, key: str = api_key, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        time.sleep(PAUSE_SECONDS)
        try:
            return urllib.request.urlopen(urllib.request.Request(base_url + path, content, sent), timeout=60)
        except urllib.error.HTTPError as error:
            return error

    return ask


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_that_steers_is_refused(
    post: Callable[..., Any], model: str, canary: Canary, path: str, family: str
) -> None:
    fields = attacks(canary.url)[family]
    answer = post(path, {"model": model, **ENDPOINTS[path], **fields})
    assert answer.status == 400
    refused(answer, set(fields))
    assert canary.visits == 0


def form(fields: dict[str, str], file: str = "file") -> tuple[bytes, str]:
    lines: list[str] = []
    for name, value in {**fields, file: "RIFF"}.items():
        filename = '; filename="a.wav"' if name == file else ""
        lines += ["--edge", f'Content-Disposition: form-data; name="{name}"{filename}', "", value]
    return "\r\n".join([*lines, "--edge--", ""]).encode(), "multipart/form-data; boundary=edge"


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("name", ["custom_llm_provider", "api_base", "litellm_metadata", "metadata", "num_retries"])
def test_a_form_that_steers_is_refused(
    post: Callable[..., Any], model: str, canary: Canary, path: str, name: str
) -> None:
    body, kind = form({"model": model, name: canary.url})
    answer = post(path, body, Content_Type=kind)
    assert answer.status == 400
    refused(answer, {name})
    assert canary.visits == 0


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/x-protobuf", "a/b"])
def test_another_content_type_is_no_way_around(post: Callable[..., Any], model: str, kind: str) -> None:
    steering = {"model": model, "messages": HELLO, "num_retries": 3}
    assert refused(post("/chat/completions", steering, Content_Type=kind), {"num_retries"})
    encoded = urlencode({"model": model, "api_base": "http://x"}).encode()
    answer = post("/chat/completions", encoded, Content_Type=kind)
    assert answer.status == 400
    refused(answer)


def test_a_form_is_no_way_into_a_json_endpoint(post: Callable[..., Any], model: str) -> None:
    body, kind = form({"model": model, "custom_llm_provider": "gigachat"})
    answer = post("/chat/completions", body, Content_Type=kind)
    assert answer.status == 400
    refused(answer)


@pytest.mark.parametrize("kind", ["image_url", "image", "input_image"])
def test_the_gateway_fetches_no_picture(post: Callable[..., Any], model: str, canary: Canary, kind: str) -> None:
    url = f"{canary.url}/x.png"
    part = {"type": kind, "image_url": {"url": url}, "source": {"type": "url", "url": url}}
    for path in ("/chat/completions", "/messages", "/messages/count_tokens"):
        body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": [part]}]}
        if path.endswith("count_tokens"):
            del body["max_tokens"]
        answer = post(path, body)
        assert answer.status == 400
        refused(answer, {"messages"})
    assert canary.visits == 0


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("query", ["model=other", "model=hosted_vllm/other", "MODEL=other", "target_model_names=other"])
def test_the_query_string_names_no_model(post: Callable[..., Any], model: str, path: str, query: str) -> None:
    answer = post(f"{path}?{query}", {"model": model, **ENDPOINTS[path]})
    assert answer.status in (400, 403)
    refused(answer, {query.partition("=")[0]})


@pytest.mark.parametrize("value", [["a"], "a,b", {"a": 1}, "", 5])
def test_a_request_is_for_one_model(post: Callable[..., Any], value: Any) -> None:
    answer = post("/chat/completions", {"model": value, "messages": HELLO})
    assert answer.status == 400
    refused(answer, {"model"})


@pytest.mark.limits
@pytest.mark.parametrize("query", ["?model={}", "?model=hosted_vllm/{}", "?MODEL={}", "?beta=true&model={}", ""])
def test_a_key_reaches_no_model_but_its_own(
    post: Callable[..., Any],
    client_for: Callable[[str], openai.OpenAI],
    other_key: str,
    model: str,
    query: str,
) -> None:
    own = next(iter(client_for(other_key).models.list())).id
    for path in ("/chat/completions", "/completions", "/embeddings", "/messages"):
        body = {"model": own if query else model, **ENDPOINTS[path]}
        assert post(path + query.format(model), body, other_key).status in (400, 403)


@pytest.mark.parametrize(
    "body", [b"[1]", b"5", b"{", b"", b"null", b'"text"', b'{"model":NaN}', b"\xff", b'{"a":"\\ud800"}']
)
def test_a_broken_body_is_the_clients_mistake_and_nobody_elses(
    post: Callable[..., Any], is_served: Callable[[], None], body: bytes
) -> None:
    answer = post("/chat/completions", body)
    assert answer.status == 400
    refused(answer)
    is_served()


def test_an_unknown_keys_body_is_not_read(post: Callable[..., Any]) -> None:
    assert post("/chat/completions", b"[[],[]", "sk-this-key-does-not-exist-0000").status == 401


def test_what_clients_send_by_themselves_passes(post: Callable[..., Any], model: str) -> None:
    body = {"model": model, **ENDPOINTS["/chat/completions"], "user": "u", "metadata": {"tags": "x"}, "store": False}
    assert post("/chat/completions", body).status == 200
    claude = {"model": model, **ENDPOINTS["/messages"], "metadata": {"user_id": "u"}}
    assert post("/messages?beta=true", claude, anthropic_beta="x").status == 200


@pytest.mark.backend_errors
@pytest.mark.parametrize("header", ["x-litellm-num-retries", "X-LiteLLM-Num-Retries"])
def test_a_header_does_not_have_the_engine_asked_again(
    post: Callable[..., Any], model: str, stub_requests: Callable[[], int], header: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "fail=503"}]}
    before = stub_requests()
    post("/chat/completions", body)
    once = stub_requests() - before
    post("/chat/completions", body, **{header: "12", "x-litellm-timeout": "1"})
    assert stub_requests() - before == 2 * once


@pytest.mark.backend_errors
def test_a_refused_request_reaches_no_engine(
    post: Callable[..., Any], model: str, stub_requests: Callable[[], int]
) -> None:
    before = stub_requests()
    for path, plain in ENDPOINTS.items():
        for fields in attacks("http://127.0.0.1:9").values():
            assert post(path, {"model": model, **plain, **fields}).status == 400
    assert stub_requests() == before


@pytest.mark.backend_errors
def test_a_form_passes(post: Callable[..., Any], model: str) -> None:
    body, kind = form({"model": model, "language": "en"})
    assert json.loads(post("/audio/transcriptions", body, Content_Type=kind).read())["text"]
