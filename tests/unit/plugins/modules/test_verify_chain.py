# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Reply
from ansible_collections.llmfleet.serving.plugins.modules import verify_chain
from local_server import send as send_bytes
from local_server import serving, use_tls, write_certificate
from module_runner import run_module
from patience import Watch

KEY = "sk-unit-test-0123456789"
HOP_KEY = "sk-upstream-9876543210"
NAME = "llm.unit.test"


class Stub:
    """A whole chain in one server; `broken` swaps single answers."""

    def __init__(self) -> None:
        self.broken: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.scrapes = 0
        self.busy = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                stub.answer(self, {})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                stub.answer(self, json.loads(self.rfile.read(length)))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def answer(self, handler: BaseHTTPRequestHandler, payload: dict[str, Any]) -> None:
        path = handler.path
        key = handler.headers.get("Authorization", "")
        self.requests.append((handler.command, path, handler.headers["Host"]))
        what = "stream" if payload.get("stream") else path
        if what in self.broken:
            self.broken[what](handler)
        elif path.startswith("/v1/") and key != f"Bearer {KEY}":
            send(handler, 401, {"error": {"message": "Authentication failed", "code": "401"}})
        elif path == "/v1/models":
            send(handler, 200, {"data": [{"id": "chat"}, {"id": "embed"}]})
        elif path == "/v1/embeddings":
            send(handler, 200, {"data": [{"embedding": [0.5]}]})
        elif what == "stream":
            stream(handler)
        elif path == "/v1/chat/completions" and self.busy:
            self.busy -= 1
            send(handler, 429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
        elif path == "/v1/chat/completions":
            send(handler, 200, {"choices": [{"message": {"content": "Hello."}}]})
        elif path == "/":
            send(handler, 200, b"<!doctype html><html></html>", content_type="text/html")
        elif path.startswith("/api/v1/targets"):
            self.scrapes += 1
            health = "up" if self.scrapes > 1 else "unknown"
            send(handler, 200, {"data": {"activeTargets": [{"labels": {"job": "vllm"}, "health": health}]}})
        elif path.startswith("/healthy"):
            send(handler, 200, {})
        else:
            send(handler, 404, {"error": {"message": "Not found", "echo": key}})


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    document: Any,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    send_bytes(handler, status, body, {"Content-Type": content_type, **(headers or {})})


def stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    events = [json.dumps({"choices": [{"delta": {"content": f"{i} "}}]}) for i in range(10)]
    for data in [*events, "[DONE]"]:
        handler.wfile.write(f"data: {data}\n\n".encode())
        time.sleep(0.01)
    handler.close_connection = True


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setattr(verify_chain, "SCRAPE_POLL_SECONDS", 0.01)
    stub = Stub()
    with serving(stub.server):
        yield stub


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem", NAME)


def run(args: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the module as Ansible does, and return its result."""
    return run_module(verify_chain.main, args, monkeypatch, capsys)


@pytest.fixture
def verify(
    chain: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    base = f"http://127.0.0.1:{chain.port}"

    def call(**args: Any) -> dict[str, Any]:
        given = {
            "api_url": f"{base}/v1/",
            "chat_url": base,
            "prometheus_url": base,
            "expected_jobs": ["vllm"],
            "api_key": KEY,
            "models": ["chat"],
            "timeout": 30,
            "scrape_timeout": 30,
            "hops": [
                {
                    "name": "llm-vllm-chat-0",
                    "url": f"{base}/healthy/vllm",
                    "headers": {"Authorization": f"Bearer {HOP_KEY}"},
                },
                {"name": "llm-open-webui", "url": f"{base}/healthy/webui", "host": "web1", "serves": ["chat"]},
            ],
            **args,
        }
        return run({name: value for name, value in given.items() if value is not None}, capsys, monkeypatch)

    return call


Verify = Callable[..., "dict[str, Any]"]


def test_a_chain_that_serves(chain: Stub, verify: Verify) -> None:
    chain.busy = 1
    result = verify(embedding_models=["embed"])
    assert not result.get("failed"), result
    assert result["changed"] is False
    assert [check["name"] for check in result["checks"]] == [
        "models",
        "completion of chat",
        "embedding of embed",
        "stream of chat",
        "wrong key",
        "no key",
        "metrics closed",
        "chat page",
        "prometheus targets",
    ]
    assert all(check["ok"] for check in result["checks"])
    assert result["timings"]["stream_chunks"] == 10
    figures = {"completion_chat", "embedding_embed", "stream_first_chunk", "stream_spread", "total"}
    assert figures <= set(result["timings"])
    assert chain.scrapes == 2
    # Hops are looked at only when something broke.
    assert not [path for _method, path, _host in chain.requests if "healthy" in path]
    assert chain.requests[0] == ("GET", "/v1/models", f"127.0.0.1:{chain.port}")


def test_metrics_alone(verify: Verify) -> None:
    result = verify(api_url="", chat_url="", api_key=None, models=[])
    assert [check["name"] for check in result["checks"]] == ["prometheus targets"]


def test_check_mode_sends_nothing(chain: Stub, verify: Verify) -> None:
    result = verify(_ansible_check_mode=True)
    assert result["skipped"]
    assert not result["changed"]
    assert chain.requests == []


@pytest.mark.parametrize("args", [{"api_key": None}, {"models": []}])
def test_the_api_needs_a_key_and_a_model(verify: Verify, args: dict[str, Any]) -> None:
    assert ": it cannot be verified without a key and a model; give api_key" in verify(**args)["msg"]


def test_nothing_to_verify(verify: Verify) -> None:
    assert (
        verify(api_url=None, chat_url=None, prometheus_url=None)["msg"]
        .partition(": ")[2]
        .startswith("api_url is missing: there is nothing to verify; give at least one of ")
    )


def test_the_hop_that_broke_is_named(chain: Stub, verify: Verify) -> None:
    chain.broken["/v1/chat/completions"] = lambda handler: send(handler, 503, {"error": {"message": f"no {KEY}"}})
    chain.broken["/healthy/vllm"] = lambda handler: send(handler, 500, {"detail": HOP_KEY})
    result = verify()
    assert result["failed"]
    assert result["hop"] == "llm-vllm-chat-0"
    assert ": check `completion of chat` of " in result["msg"]
    assert "expected status 200 and a reply that is not empty, got status 503 with" in result["msg"]
    assert "the hop that broke: llm-vllm-chat-0 on " in result["msg"]
    assert "see `journalctl -u llm-vllm-chat-0`" in result["msg"]
    assert [check["ok"] for check in result["checks"]] == [True, False]
    assert KEY not in json.dumps(result)
    assert HOP_KEY not in json.dumps(result)


def test_a_hop_of_another_door_is_not_blamed(chain: Stub, verify: Verify) -> None:
    chain.broken["/v1/models"] = lambda handler: send(handler, 200, {"data": [{"id": "other"}]})
    chain.broken["/healthy/webui"] = lambda handler: send(handler, 500, {})
    result = verify()
    assert result["hop"] == ""
    assert "got a list without chat" in result["msg"]
    assert "see the log of llm-vllm-chat-0" in result["msg"]


def test_a_dead_chat_page(chain: Stub, verify: Verify) -> None:
    chain.broken["/"] = lambda handler: send(handler, 502, b"<html>", content_type="text/html")
    chain.broken["/healthy/webui"] = lambda handler: send(handler, 500, {})
    result = verify()
    assert result["hop"] == "llm-open-webui"
    assert "llm-open-webui on web1 answers status 500" in result["msg"]


@pytest.mark.parametrize("held_tries", [0, 2, 5, 6])
def test_a_stream_held_back_fails_only_when_it_always_is(
    verify: Verify, monkeypatch: pytest.MonkeyPatch, held_tries: int
) -> None:
    asked: list[int] = []
    paused: list[float] = []
    real = verify_chain.Chain._chat

    def chat(chain: verify_chain.Chain, model: str, stream: bool, max_tokens: int = 0) -> Reply:
        if not stream:
            return real(chain, model, stream)
        asked.append(max_tokens)
        if max_tokens:
            return Reply(200, seconds=0.1)
        pause = 0.01 if asked.count(0) > held_tries else 0.0
        events = [json.dumps({"choices": [{"delta": {"content": "word "}}]})] * 10 + ["[DONE]"]
        pieces = [(1 + i * pause, f"data: {data}\n\n".encode()) for i, data in enumerate(events)]
        return Reply(200, "text/event-stream", pieces, 2.0)

    monkeypatch.setattr(verify_chain.Chain, "_chat", chat)
    # The stub sleeps too, later on.
    monkeypatch.setattr(verify_chain.time, "sleep", paused.append)
    result = verify()
    always = held_tries == 6
    assert asked == [0, 1] * held_tries + ([] if always else [0])
    pauses = [0, 1, 2, 4, 8, 15][: held_tries + 1]
    assert paused[: len(pauses)] == pauses
    assert bool(result.get("failed")) is always
    assert ("holds the stream back" in result.get("msg", "")) is always


def test_an_open_door_for_a_wrong_key(chain: Stub, verify: Verify) -> None:
    chain.broken["/v1/models"] = lambda handler: send(handler, 200, {"data": [{"id": "chat"}]})
    assert "check `wrong key`" in verify()["msg"]


def test_a_target_that_stays_down(chain: Stub, verify: Verify) -> None:
    down = {"data": {"activeTargets": [{"labels": {"job": "vllm"}, "health": "down", "lastError": "refused"}]}}
    chain.broken["/api/v1/targets?state=active"] = lambda handler: send(handler, 200, down)
    assert "is down (refused)" in verify(scrape_timeout=0)["msg"]


def test_a_server_that_hangs(chain: Stub, verify: Verify) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _tenth in range(300):
                handler.wfile.write(b" ")
                time.sleep(0.1)

    chain.broken["/v1/models"] = trickle
    watch = Watch()
    assert "nothing within 1 s" in verify(timeout=1)["msg"]
    assert watch.seconds() < 20


def test_a_port_where_nothing_listens(verify: Verify) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        assert "no answer (connection refused)" in verify(api_url=url, hops=[])["msg"]


def test_a_url_that_is_none(verify: Verify) -> None:
    assert "ftp://x is not an http or https URL" in verify(api_url="", chat_url="ftp://x")["msg"]


def test_tls_by_name_at_an_address(certificate: Path, verify: Verify, chain: Stub) -> None:
    seen: list[str] = []
    tls = Stub()
    context = use_tls(tls.server, certificate)
    context.sni_callback = lambda _sock, name, _context: seen.append(name)
    url = f"https://{NAME}:{tls.port}"
    with serving(tls.server):
        result = verify(
            api_url=f"{url}/v1",
            chat_url=url,
            prometheus_url="",
            connect_address="127.0.0.1",
            ca_file=str(certificate),
        )
        assert not result.get("failed"), result
        assert set(seen) == {NAME}
        assert {host for _method, _path, host in tls.requests} == {f"{NAME}:{tls.port}"}
        untrusted = verify(api_url=f"{url}/v1", connect_address="127.0.0.1")
        assert "its certificate is not trusted: self" in untrusted["msg"]
