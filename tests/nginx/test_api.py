# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door of the API: what it lets in, what it passes on, and how it says no."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import Any

import pytest
from patience import Watch

CLOSED = [
    "/",
    "/metrics",
    "/metrics/",
    "//metrics",
    "/%6detrics",
    "/v1/..%2fmetrics",
    "/v1/../metrics",
    "/v1/models/../../metrics",
    "/v1/models/..",
    "/v1/models/..%2f..%2fmetrics",
    "/metrics/../v1/models",
    "/./v1/models",
    "//v1/models",
    "/v1//models",
    "/v1/model%73",
    "/v1/models/",
    "/v1/models/a/b",
    "/v1/models/chat;x",
    "/v1/models%3f",
    "/V1/models",
    "/metrics?/v1/models",
    "/docs",
    "/openapi.json",
    "/redoc",
    "/ui",
    "/ui/",
    "/key/generate",
    "/key/info",
    "/model/new",
    "/model/info",
    "/user/new",
    "/config/update",
    "/health/readiness",
    "/chat/completions",
    "/v1/realtime",
    "/.refusal/400",
]
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-type": "application/json",
}


def refused(answer: Any, status: int, code: str) -> None:
    """Every refusal has the shape of the OpenAI API and all headers of the door, each once."""
    assert answer.status == status, answer.body
    error = answer.json["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["code"] == code
    for name, value in HEADERS.items():
        assert answer.header(name) == value, name
    assert answer.header("x-request-id")
    assert answer.header("server") == "nginx"


@pytest.mark.parametrize("path", CLOSED)
def test_what_is_not_allowed_is_not_there(nginx: Any, stubs: Any, path: str) -> None:
    refused(nginx.api.ask(path, key=nginx.api.KEY), 404, "not_found")
    assert path not in stubs["application"].seen()["paths"]


def raw(nginx: Any, request: bytes) -> bytes:
    connection = nginx.api.open()
    connection.connect()
    connection.sock.sendall(request)
    answer = b""
    while data := connection.sock.recv(65536):
        answer += data
    connection.close()
    return answer


def test_the_absolute_form_of_a_target_is_no_way_around(nginx: Any) -> None:
    lines = b"Host: api.test\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n"
    assert raw(nginx, b"GET https://api.test/metrics HTTP/1.1\r\n" + lines).startswith(b"HTTP/1.1 404")
    assert raw(nginx, b"GET https://api.test/v1/models HTTP/1.1\r\n" + lines).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/9.9",
        b"GET /v1/models%00 HTTP/1.1",
        b"GET /.. HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1",
        b"GET / HTTP/1.1\r\nX-Large: " + b"a" * 20000,
        b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: strange",
    ],
)
def test_what_cannot_be_read_is_refused_in_the_same_shape(nginx: Any, request_line: bytes) -> None:
    answer = raw(nginx, request_line + b"\r\nHost: api.test\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/chat", "/v1/models/llama-3.1_8b", "/v1/models?limit=3", "/v1/models/chat?x=/../y"],
)
def test_models_are_read(nginx: Any, path: str) -> None:
    answer = nginx.api.ask(path, key=nginx.api.KEY)
    assert answer.status == 200
    assert answer.json["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages?beta=true",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/rerank",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
    ],
)
def test_the_api_is_there(nginx: Any, path: str) -> None:
    answer = nginx.api.ask(path, {"a": 1}, key=nginx.api.KEY)
    assert answer.status == 200
    assert (answer.json["path"], answer.json["method"], answer.json["length"]) == (path, "POST", 8)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models/chat", "GET, HEAD"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("TRACK", "/v1/models", "GET, HEAD"),
    ],
)
def test_other_methods_are_refused(nginx: Any, method: str, path: str, allowed: str) -> None:
    answer = nginx.api.ask(path, method=method, key=nginx.api.KEY)
    refused(answer, 405, "method_not_allowed")
    assert answer.header("allow") == allowed


def test_health_needs_no_key(nginx: Any) -> None:
    answer = nginx.api.ask("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dTpw"},
        {"x-api-key": ""},
        {"x-api-key": "a b"},
        {"api-key": "sk-1"},
        {"x-litellm-api-key": "sk-1"},
        {"x-goog-api-key": "sk-1"},
    ],
)
def test_no_key_is_refused_at_once(nginx: Any, stubs: Any, headers: dict[str, str]) -> None:
    before = stubs["application"].seen()["requests"]
    answer = nginx.api.complete(key="", headers=headers)
    refused(answer, 401, "missing_api_key")
    assert answer.header("www-authenticate") == "Bearer"
    assert stubs["application"].seen()["requests"] == before


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"Authorization": "Bearer sk-1"}, "sk-1"),
        ({"Authorization": "bearer  sk-1"}, "sk-1"),
        ({"x-api-key": "sk-2"}, "sk-2"),
        (
            {
                "Authorization": "Bearer sk-1",
                "x-api-key": "sk-2",
                "x-litellm-api-key": "sk-3",
                "api-key": "sk-4",
                "x-goog-api-key": "sk-5",
            },
            "sk-1",
        ),
    ],
)
def test_one_key_is_passed_on_and_no_other(nginx: Any, headers: dict[str, str], key: str) -> None:
    """LiteLLM prefers other headers to the one that is limited here; who sends both must not choose."""
    sent = nginx.api.complete(key="", headers=headers).json["headers"]
    assert [value for name, value in sent if "sk-" in value] == [f"Bearer {key}"]
    assert [name.lower() for name, value in sent if "sk-" in value] == ["authorization"]


def test_what_a_client_says_of_itself_is_overwritten(nginx: Any) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil",
        "Forwarded": "for=6",
    }
    sent = dict(nginx.api.complete(headers=lies).json["headers"])
    assert sent["X-Forwarded-For"] == sent["X-Real-IP"] == "127.0.0.1"
    assert sent["X-Forwarded-Proto"] == "https"
    assert not {"X-Forwarded-Host", "Forwarded"} & set(sent)
    assert sent["Host"] == f"api.test:{nginx.api.port}"


def test_headers_come_once_and_tell_nothing_of_the_inside(nginx: Any) -> None:
    answer = nginx.api.complete()
    for name, value in HEADERS.items():
        assert answer.header(name) == value
    assert answer.header("x-litellm-model-api-base") == ""
    assert answer.header("x-request-id") not in ("", "of-the-application")


def test_a_request_keeps_its_name(nginx: Any) -> None:
    answer = nginx.api.complete(headers={"X-Request-Id": "my-request.1"})
    assert answer.header("x-request-id") == dict(answer.json["headers"])["X-Request-Id"] == "my-request.1"
    for name in ("short", 'quote"quote', "new line", "x" * 129):
        assert len(nginx.api.complete(headers={"X-Request-Id": name}).header("x-request-id")) == 32


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504])
def test_the_applications_own_errors_pass_untouched(nginx: Any, status: int) -> None:
    answer = nginx.api.complete({"status": status})
    assert answer.status == status
    assert answer.json == {"error": {"message": "from the application", "code": "its_own"}}
    assert answer.header("retry-after") == "77"


def test_too_large_a_body_is_refused(nginx: Any) -> None:
    refused(nginx.api.complete({"prompt": "x" * 1024 * 1024}), 413, "request_too_large")
    assert nginx.api.complete({"prompt": "x" * 1000 * 1000}).status == 200


def test_an_application_that_is_gone_is_503(nginx: Any, stubs: Any) -> None:
    stubs["application"].kill()
    try:
        watch = Watch()
        answer = nginx.api.complete()
        assert watch.seconds() < 2
        refused(answer, 503, "service_unavailable")
        assert answer.header("retry-after") == "2"
    finally:
        stubs["application"].start()
    assert nginx.api.complete().status == 200


def test_a_stream_comes_as_it_is_made(nginx: Any) -> None:
    connection, response = nginx.api.send("/v1/chat/completions", {"stream": 10}, key=nginx.api.KEY)
    assert response.getheader("Content-Type") == "text/event-stream"
    assert response.getheader("Content-Encoding") is None
    arrivals = []
    while line := response.readline():
        if line.startswith(b"data:"):
            arrivals.append(time.monotonic())
    connection.close()
    assert len(arrivals) == 10
    # One event every 0.1 s; a proxy that buffers delivers them at once. A busy machine may join a few.
    assert arrivals[-1] - arrivals[0] > 0.4, arrivals


def test_a_client_that_hangs_up_is_heard_by_the_application(nginx: Any, stubs: Any) -> None:
    before = stubs["application"].seen()["hung_up"]
    connection, response = nginx.api.send("/v1/chat/completions", {"stream": 100}, key=nginx.api.KEY)
    response.readline()
    # The response holds the socket too: closing the connection alone hangs nobody up.
    response.close()
    connection.close()
    end = time.monotonic() + 5
    while stubs["application"].seen()["hung_up"] == before and time.monotonic() < end:
        time.sleep(0.05)
    assert stubs["application"].seen()["hung_up"] == before + 1


def handshake(nginx: Any, name: str | None, version: ssl.TLSVersion | None = None, alpn: str = "") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(nginx.ca))
    context.check_hostname = False
    if version:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    if alpn:
        context.set_alpn_protocols([alpn])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", nginx.api.port), 5), server_hostname=name)


def test_tls_and_http2(nginx: Any) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with handshake(nginx, "api.test", version, "h2") as connection:
            assert connection.selected_alpn_protocol() == "h2"
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"), pytest.warns(
            DeprecationWarning, match="deprecated"
        ):
            handshake(nginx, "api.test", old)


@pytest.mark.parametrize("name", ["other.test", "localhost", None])
def test_a_name_that_is_not_ours_gets_no_certificate(running: Any, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(running("given"), name)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_door_on_loopback_answers_to_every_name_of_its_own_certificate(nginx: Any, host: str) -> None:
    """Some clients put an address in the place of `localhost`, and send no server name then."""
    name = host if host == "localhost" else None
    with handshake(nginx, name) as connection:
        names = [value for _kind, value in connection.getpeercert()["subjectAltName"]]
    doors = {"api.test", "chat.test", "dashboards.test"}
    assert {*doors, "localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"} == set(names)
    for door, status in ((nginx.api, 200), (nginx.chat, 308)):
        connection = door.open(name)
        connection.request(
            "GET", "/v1/models", headers={"Host": f"{host}:{door.port}", "Authorization": f"Bearer {door.KEY}"}
        )
        response = connection.getresponse()
        assert response.status == status
        if status == 308:
            assert response.headers["location"] == f"https://chat.test:{door.port}/v1/models"
        connection.close()


def test_another_host_behind_our_name_is_misdirected(nginx: Any) -> None:
    answer = nginx.api.ask("/v1/models", headers={"Host": "other.test"}, key=nginx.api.KEY)
    assert (answer.status, answer.json["error"]["code"]) == (421, "misdirected_request")


def test_plain_http_on_the_tls_port_is_refused(nginx: Any) -> None:
    with socket.create_connection(("127.0.0.1", nginx.api.port), 5) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: api.test\r\n\r\n")
        answer = connection.recv(65536)
    assert b" 400 " in answer
    assert b'"bad_request"' in answer


def test_a_door_that_goes_by_an_address_takes_those_without_a_name(running: Any) -> None:
    variant = running("address")
    for host in ("127.0.0.1", "[::1]"):
        connection = variant.api.open(None)
        connection.request("GET", "/v1/models", headers={"Host": host, "Authorization": "Bearer x"})
        assert connection.getresponse().status == 200
        connection.close()
    assert variant.api.complete().status == 200
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        variant.chat.open(None).connect()
    assert variant.api.ask("/v1/models", headers={"Host": "other.test"}, key="x").status == 421


def test_two_doors_on_one_port_and_plain_http_before_them(running: Any) -> None:
    variant = running("given")
    assert variant.api.port == variant.chat.port
    assert variant.api.ask("/some/page", key="x").status == 404
    assert variant.chat.ask("/some/page").status == 200
    assert variant.api.complete().header("strict-transport-security") == "max-age=31536000"
    plain = type(variant.chat)(variant.variables["nginx_http_port"], "chat.test")
    redirect = plain.ask("/a?b=c")
    assert (redirect.status, redirect.header("location")) == (308, f"https://chat.test:{variant.chat.port}/a?b=c")
    plain.host = "api.test"
    assert (plain.complete().status, plain.complete().json["error"]["code"]) == (403, "https_required")


def test_a_certificate_of_its_own_sends_no_hsts(nginx: Any) -> None:
    """A browser would hold every port of localhost to HTTPS."""
    assert nginx.api.complete().header("strict-transport-security") == ""


ORIGIN = "https://app.example.org"


def of_browsers(answer: Any) -> dict[str, str]:
    return {name.removeprefix("access-control-"): value for name, value in answer.headers if "access-control" in name}


def preflight(door: Any, origin: str, path: str = "/v1/chat/completions", **headers: str) -> Any:
    sent = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return door.ask(path, method="OPTIONS", headers=sent)


def test_no_browser_may_call_the_api_unless_its_page_is_named(nginx: Any) -> None:
    assert preflight(nginx.api, ORIGIN).status == 405
    for wish in ({}, {"status": 500}):
        assert of_browsers(nginx.api.complete(wish, headers={"Origin": ORIGIN})) == {}


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000"])
def test_a_page_that_is_named_may_call_the_api(running: Any, stubs: Any, origin: str) -> None:
    door = running("browsers").api
    before = stubs["application"].seen()["requests"]
    wished = "authorization, content-type, x-stainless-lang"
    answer = preflight(door, origin, **{"Access-Control-Request-Headers": wished})
    assert (answer.status, answer.body, answer.header("vary")) == (204, b"", "Origin")
    assert of_browsers(answer) == {
        "allow-origin": origin,
        "allow-methods": "POST",
        "allow-headers": wished,
        "max-age": "600",
        "expose-headers": "X-Request-Id, Retry-After",
    }
    assert stubs["application"].seen()["requests"] == before
    readable = {"allow-origin": origin, "expose-headers": "X-Request-Id, Retry-After"}
    for wish, options, status in (({}, {}, 200), ({"status": 503}, {}, 503), ({}, {"key": ""}, 401)):
        answer = door.complete(wish, headers={"Origin": origin}, **options)
        assert (answer.status, of_browsers(answer), answer.header("vary")) == (status, readable, "Origin")


@pytest.mark.parametrize(
    "origin", ["https://other.example.org", "http://app.example.org", f"{ORIGIN}:444", f"{ORIGIN}.evil.test", "null"]
)
def test_a_page_that_is_not_named_may_not(running: Any, origin: str) -> None:
    door = running("browsers").api
    assert preflight(door, origin).status == 405
    answer = door.complete(headers={"Origin": origin})
    assert (answer.status, of_browsers(answer), answer.header("vary")) == (200, {}, "Origin")


def test_a_preflight_opens_no_path_and_is_no_way_around_a_key(running: Any) -> None:
    door = running("browsers").api
    assert preflight(door, ORIGIN, "/key/generate").status == 404
    assert door.ask("/v1/models", method="OPTIONS", headers={"Origin": ORIGIN}).status == 405
    strange = preflight(door, ORIGIN, **{"Access-Control-Request-Headers": 'a"b'})
    assert "allow-headers" not in of_browsers(strange)
