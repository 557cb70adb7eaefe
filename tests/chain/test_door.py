# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outermost proxy lets in, and how it says no."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

MODELS = "/v1/models"
SHUT = [
    "/",
    "/metrics",
    "/metrics/",
    "//metrics",
    "///metrics",
    "/%6detrics",
    "/v1/..%2fmetrics",
    "/v1/../metrics",
    "/v1/%2e%2e/metrics",
    "/v1/models/../../metrics",
    "/v1/chat/completions/..%2f..%2f..%2fmetrics",
    "/./metrics",
    "/metrics?x=/v1/models",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/ui",
    "/ui/",
    "/login",
    "/config/yaml",
    "/routes",
    "/model/info",
    "/health/readiness",
    "/debug/asyncio-tasks",
    "/spend/logs",
]
SHUT_TO_POST = [
    "/key/generate",
    "/model/new",
    "/user/new",
    "/v1/..%2fkey%2fgenerate",
    "//key/generate",
    "/config/update",
]


def error_of(body: str) -> dict[str, Any]:
    """The error of a refusal in OpenAI's shape."""
    error: dict[str, Any] = json.loads(body)["error"]
    assert error["message"]
    assert {"type", "code"} <= set(error)
    return error


@pytest.mark.door
@pytest.mark.parametrize("path", SHUT)
def test_paths_that_are_shut(door: Any, api_key: str, path: str) -> None:
    answer = door.send("GET", path, {"Authorization": f"Bearer {api_key}"})
    assert answer.status == 404, answer.body[:200]


@pytest.mark.door
@pytest.mark.parametrize("path", SHUT_TO_POST)
def test_management_is_shut(door: Any, api_key: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json", "Content-Length": "0"}
    assert door.send("POST", path, headers).status == 404


@pytest.mark.door
def test_an_unknown_path_is_refused_in_openai_shape(door: Any) -> None:
    answer = door.send("GET", "/docs")
    assert "content-type: application/json" in answer.head
    error_of(answer.body)


@pytest.mark.door
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-this-key-does-not-exist-0000"}])
def test_no_key_and_a_wrong_one(door: Any, headers: dict[str, str]) -> None:
    answer = door.send("GET", MODELS, headers)
    assert answer.status == 401
    assert "content-type: application/json" in answer.head
    error_of(answer.body)


@pytest.mark.door
def test_the_master_key_is_refused(door: Any, master_key: str) -> None:
    answer = door.send("GET", MODELS, {"Authorization": f"Bearer {master_key}"})
    assert (answer.status, error_of(answer.body)["code"]) == (401, "invalid_api_key")


@pytest.mark.door
def test_a_body_that_is_too_large(door: Any, api_key: str) -> None:
    headers = {
        "Authorization": f"Bearer {api_key}",
        "Content-Type": "application/json",
        "Content-Length": "10000000000",
    }
    answer = door.send("POST", "/v1/chat/completions", headers)
    assert answer.status == 413
    error_of(answer.body)


@pytest.mark.door
def test_the_server_does_not_tell_its_version(door: Any, api_key: str) -> None:
    head = door.send("GET", MODELS, {"Authorization": f"Bearer {api_key}"}).head
    assert "nginx/" not in head
    assert "uvicorn" not in head


def refused_for_its_host(connection: socket.socket, api_key: str) -> None:
    with connection:
        connection.sendall(
            f"GET {MODELS} HTTP/1.1\r\nHost: unknown.invalid\r\nAuthorization: Bearer {api_key}\r\n\r\n".encode()
        )
        answer = connection.recv(65536)
    status = answer.split(b" ")[1:2]
    assert status in ([b"421"], [b"400"], [b"403"], [b"404"]), f"no refusal in HTTP: {answer[:100]!r}"
    assert api_key.encode() not in answer


@pytest.mark.door
@pytest.mark.parametrize("model", ["", "there-is-no-such-model"])
def test_no_header_tells_of_the_inside(door: Any, api_key: str, client: Any, model: str) -> None:
    body = {"model": model or client.models.list().data[0].id, "messages": [{"role": "user", "content": "hi"}]}
    request = urllib.request.Request(
        f"https://{door.authority}/v1/chat/completions",
        json.dumps({**body, "max_tokens": 1}).encode(),
        {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as refusal:
        headers = refusal.headers
    names = {name.lower() for name in headers if name.lower().startswith(("x-litellm-", "llm_provider-"))}
    assert names <= {"x-litellm-model-id", "x-litellm-call-id"}


@pytest.mark.door
def test_an_unknown_host_is_told_nothing(door: Any, api_key: str) -> None:
    """A door on loopback has addresses as names, which clients do not send, so it refuses after the handshake."""
    try:
        connection = door.connect(server_name="unknown.invalid", verify=False)
    except (ssl.SSLError, ConnectionError):
        return
    refused_for_its_host(connection, api_key)


@pytest.mark.door
def test_another_host_header_reaches_nothing(door: Any, api_key: str) -> None:
    refused_for_its_host(door.connect(), api_key)


@pytest.mark.door
def test_no_page_of_a_browser_may_call_the_api_by_default(door: Any, api_key: str) -> None:
    headers = {"Origin": "https://app.example.org"}
    answer = door.send("GET", MODELS, {**headers, "Authorization": f"Bearer {api_key}"})
    assert answer.status == 200
    assert "access-control-" not in answer.head
    wished = {**headers, "Access-Control-Request-Method": "POST"}
    assert door.send("OPTIONS", "/v1/chat/completions", wished).status == 405


@pytest.mark.door
def test_names_of_loopback_are_one_door(door: Any, api_key: str) -> None:
    """Some clients put 127.0.0.1 in the place of `localhost`."""
    for name in ("localhost", "127.0.0.1") if door.host == "localhost" else (door.host,):
        url = f"https://{name}:{door.port}{MODELS}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.door
def test_plain_http_gets_nothing_from_the_api(door: Any, api_key: str) -> None:
    assert door.scheme == "https", "OPENAI_BASE_URL has to be https"
    answer = door.send("GET", MODELS, {"Authorization": f"Bearer {api_key}"}, tls=False)
    assert answer.status in (301, 308, 400, 403), (
        "plain HTTP is redirected or refused, and never passed on to fail behind"
    )
    assert '"data"' not in answer.body


@pytest.mark.chat_page
def test_the_chat_page(chat_url: str) -> None:
    assert urlsplit(chat_url).scheme == "https"
    with urllib.request.urlopen(chat_url, timeout=30) as page:
        assert page.status == 200
        assert "text/html" in page.headers["Content-Type"]
        assert b"<html" in page.read().lower()
