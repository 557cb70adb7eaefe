#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OpenAI-compatible model server without a model, for tests and benchmarks of what stands in front of one.

It speaks just enough HTTP/1.1 over asyncio to cost next to nothing beside the gateway under test, and it does what the
last message asks for, so that one process serves every scenario at once:

    tokens=64 interval=8 rate=500 repeat=ha delay=0.2 fail=503 | hang | cut

`tokens` pieces of text (" tok0" to " tok9" in turn, or always `repeat`), `interval` pieces to a chunk as vLLM's
--stream-interval does, `rate` pieces per second (0: as fast as possible), `delay` seconds before the first byte,
`fail` an HTTP status, `hang` (accept and never answer), `cut` (drop the connection after half of the answer),
`stall-500` (an error without an end), or one of FAILURES or BROKEN. Anything that is left out keeps the value of the
command line. /stub/counts has the requests and the tokens of answers that were sent whole, /stub/last the last request
as it came. After /stub/jam answers to a `response_format` hang as behind a compiler that is jammed, until /stub/ease.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import re
import signal
import sys
import time
from collections.abc import Callable

PROMPT_TOKENS = 8
SETTING = re.compile(r"\b(tokens|interval|rate|repeat|delay|fail)=(\S+)")
REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = b"content-type: application/json\r\n"


def failed(status: int, kind: str, body: str, more: int = 0) -> bytes:
    """An error with a body that is `more` bytes shorter than its head says."""
    head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {len(body) + more}\r\n\r\n"
    return (head if kind else head.replace("content-type: \r\n", "")).encode() + body.encode()


MISTAKES = [{"loc": ["body", "messages", number, "content"], "msg": "Field required"} for number in range(7)]
INNER = (
    "Cannot connect to host 10.0.0.7:8000 ssl:default [Connect call failed ('10.0.0.7', 8000)] at http://gpu1:8000/v1"
)
NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body><hr><center>nginx 10.0.0.7:8000</center></body></html>\r\n"
# Errors that are in the shape of no API, as vLLM, what it is built on and the proxies before it give them.
FAILURES = {
    "detail-404": failed(404, "application/json", '{"detail":"Not Found"}'),
    "detail-list-422": failed(422, "application/json", json.dumps({"detail": MISTAKES[:1]})),
    "detail-lists-422": failed(422, "application/json", json.dumps({"detail": MISTAKES})),
    "detail-object-400": failed(400, "application/json", '{"detail":{"error":"The image is broken."}}'),
    "error-text-400": failed(400, "application/json; charset=utf-8", '{"error":"No such adapter."}'),
    "error-old-400": failed(400, "application/json", '{"object":"error","message":"Too long.","code":400}'),
    "problem-409": failed(409, "application/problem+json", '{"title":"x","detail":"Busy."}'),
    "text-json-500": failed(500, "application/json", '"It broke."'),
    "untyped-404": failed(404, "", '{"detail":"Not Found"}'),
    "address-500": failed(500, "application/json", json.dumps({"error": {"message": INNER, "type": "x"}})),
    "address-detail-500": failed(500, "application/json", json.dumps({"detail": INNER})),
    "html-404": failed(404, "text/html", NGINX.format("404 Not Found")),
    "html-413": failed(413, "text/html", NGINX.format("413 Request Entity Too Large")),
    "html-502": failed(502, "text/html", NGINX.format("502 Bad Gateway")),
    "html-503": failed(503, "text/html", NGINX.format("503 Service Temporarily Unavailable")),
    "html-504": failed(504, "text/html", NGINX.format("504 Gateway Time-out")),
    "text-500": failed(500, "text/plain; charset=utf-8", "Internal Server Error"),
    "html-as-json-500": failed(500, "application/json", NGINX.format("500")),
    "nothing-400": failed(400, "application/json", ""),
    "nothing-500": failed(500, "", ""),
    "object-500": failed(500, "application/json", "{}"),
    "list-500": failed(500, "application/json", "[]"),
    "null-500": failed(500, "application/json", '{"error":null}'),
    "truncated-400": failed(400, "application/json", '{"error": {"message": "secret-text'),
    "cut-500": failed(500, "application/json", '{"error": {"message": "secret-text', more=100),
    "bytes-500": b"HTTP/1.1 500 x\r\n" + JSON + b'\r\n{"error":{"message":"\xff\xfe"}}',
    "huge-400": b"HTTP/1.1 400 x\r\n" + JSON + b'\r\n{"detail":"' + b"secret-text " * 100_000 + b'"}',
    "huge-html-502": b"HTTP/1.1 502 x\r\ncontent-type: text/html\r\n\r\n" + b"<p>secret-text</p>" * 100_000,
    "deep-500": failed(500, "application/json", '{"detail":' * 900 + '"x"' + "}" * 900),
}


def event_of(message: str) -> bytes:
    """The end of a stream: a chunk with an error."""
    data = b"data: %b\n\n" % json.dumps({"error": {"message": message, "type": "x", "code": 500}}).encode()
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


# What no server of models answers; the connection is closed after it.
BROKEN = {
    "html": b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<html></html",
    "traceback": b"HTTP/1.1 500 x\r\ncontent-type: application/json\r\ncontent-length: 62\r\n\r\n"
    b'{"error": {"message": "Traceback (most recent call last): x"}}',
    "paths": b"HTTP/1.1 500 x\r\ncontent-type: application/json\r\n\r\n"
    b'{"error": {"message": "in /opt/x/lib/python3.11/site-packages/litellm/x.py"}}',
    "long-error": b"HTTP/1.1 500 x\r\ncontent-type: application/json\r\n\r\n" + b"[" * 300_000,
    "moved": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/x\r\ncontent-length: 0\r\n\r\n",
    "empty": b"",
    "status": b"HTTP/1.1 OK 200 secret-text\r\n\r\n",
    "status-99": b"HTTP/1.1 99 x\r\ncontent-length: 0\r\n\r\n",
    "status-999": b"HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n",
    "not-http": b"secret-text\n" * 50,
    "zeros": b"\x00" * 500,
    "short": OK + b"content-type: application/json\r\ncontent-length: 500\r\n\r\n{}",
    "short-large": OK + b"content-type: application/json\r\ncontent-length: 5000000\r\n\r\n" + b"[" * 300_000,
    "length": OK + b"content-type: application/json\r\ncontent-length: five\r\n\r\n{}",
    "length-negative": OK + b"content-type: application/json\r\ncontent-length: -5\r\n\r\n{}",
    "two-lengths": OK + b"content-length: 2\r\ncontent-length: 7\r\n\r\n{}",
    "chunk-size": STREAM + b"zz\r\ndata: {}\n\n\r\n",
    "chunk-cut": STREAM + b"ffff\r\ndata: {}\n\n",
    "chunk-huge": STREAM + b"ffffffffffffffffff\r\ndata: {}\n\n",
    "header-endless": OK + b"x: " + b"x" * 500_000,
    "headers-many": OK + b"".join(b"x-%d: y\r\n" % number for number in range(5000)),
    "header-name": OK + b"b\x00d header: y\r\n\r\n",
    "header-value": OK + b"content-type: text/\xff\xfe\r\ncontent-length: 2\r\n\r\n{}",
    "encoding": OK + b"content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    "events-text": STREAM + b"9\r\nsecret-te\r\n0\r\n\r\n",
    "events-json": STREAM + b'13\r\ndata: {"usage":{,}\n\n\r\n0\r\n\r\n',
    "events-list": STREAM + b'19\r\ndata: [{"usage":{}}] x\n\n\r\n0\r\n\r\n',
    "events-type": STREAM + b'18\r\ndata: {"usage":"\xff\xfe\x00"}\n\r\n0\r\n\r\n',
    "events-error": STREAM + event_of("10.0.0.7:8000 is gone secret-text"),
    "events-traceback": STREAM + event_of("Traceback (most recent call last): secret-text"),
    "events-open": STREAM + b"6\r\ndata: \r\n0\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What one request is answered with."""

    tokens: int = 16
    interval: int = 1
    rate: float = 0.0
    repeat: str = ""
    delay: float = 0.0
    fail: str = ""

    def asked(self, prompt: str) -> Behaviour:
        """This behaviour with what the prompt asks for on top."""
        if "=" not in prompt:
            return self
        kinds: dict[str, Callable[[str], object]] = {"tokens": int, "interval": int, "rate": float, "delay": float}
        wanted = {key: kinds.get(key, str)(value) for key, value in SETTING.findall(prompt)}
        return dataclasses.replace(self, **wanted)  # type: ignore[arg-type]

    def text(self, start: int, count: int) -> str:
        """`count` tokens from number `start` on."""
        return self.repeat * count or "".join(f" tok{number % 10}" for number in range(start, start + count))


def last_text(body: dict[str, object]) -> str:
    """The text of the last message, or the prompt of a plain completion."""
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        content = messages[-1].get("content")
        if isinstance(content, list):
            return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        return str(content or "")
    given = body.get("prompt") or body.get("input") or ""
    return " ".join(map(str, given)) if isinstance(given, list) else str(given)


class Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other, as HTTP/1.1 clients send them."""

    def __init__(self, server: StubBackend) -> None:
        self.server = server
        self.buffer = b""
        self.writable = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task and not self.task.done():
            self.server.hangups += 1
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.task is None or self.task.done():
            self._next_request()

    def _next_request(self) -> None:
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        method, path, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ", 2)
        if not path.startswith("/stub/"):
            self.server.last = (head, rest[:size])
        self.task = asyncio.get_running_loop().create_task(self._answer(method, path.split("?")[0], rest[:size]))
        self.task.add_done_callback(lambda task: None if task.cancelled() else self._next_request())

    async def _answer(self, method: str, path: str, raw: bytes) -> None:
        if path in ("/health", "/ping"):
            return self._json(200, {})
        if path == "/stub/counts":
            return self._json(200, self.server.counts())
        if path == "/stub/last":
            head, body = self.server.last
            return self._json(200, {"head": head.decode("latin-1"), "body": body.decode("latin-1")})
        if path in ("/stub/jam", "/stub/ease"):
            (self.server.eased.clear if path == "/stub/jam" else self.server.eased.set)()
            return self._json(200, {})
        if path.endswith("/models"):
            return self._json(200, {"object": "list", "data": [{"id": "stub", "object": "model", "owned_by": "stub"}]})
        if method != "POST":
            return self._json(404, {"error": {"message": "not found", "type": "invalid_request_error", "code": 404}})

        self.server.requests += 1
        if "/audio/" in path:
            return self._json(200, {"text": "tok0"})
        body = json.loads(raw)
        if "response_format" in body:
            self.server.structured += 1
            await self.server.eased.wait()
        want = self.server.defaults.asked(last_text(body))
        if want.delay:
            await asyncio.sleep(want.delay)
        if want.fail == "hang":
            await asyncio.Event().wait()
        if want.fail.isdigit():
            status = int(want.fail)
            return self._json(
                status, {"error": {"message": f"stub fails with {status}", "type": "stub", "code": status}}
            )
        if want.fail in (ended := {**BROKEN, **FAILURES}):
            self.transport.write(ended[want.fail])
            return self.transport.close()
        if want.fail == "stall-500":
            self.transport.write(failed(500, "application/json", '{"error": {"message": "secret-text', more=100))
            await asyncio.Event().wait()
        for name, answer in PLAIN.items():
            if path.endswith(name):
                given = answer(body)
                self.server.count(PROMPT_TOKENS if "usage" in given else 0, 0)
                return self._json(200, given)
        if path.endswith(("/messages", "/responses")):
            return self._translated(want, body, path.endswith("/messages"))
        chat = path.endswith("/chat/completions")
        if body.get("stream"):
            options = body.get("stream_options") or {}
            usage, continuous = bool(options.get("include_usage")), bool(options.get("continuous_usage_stats"))
            return await self._stream(want, body, chat, usage, continuous)
        answer = completion(want, body, chat)
        if want.fail == "cut":
            payload = json.dumps(answer).encode()
            self.transport.write(OK + b"content-type: application/json\r\n")
            self.transport.write(b"content-length: %d\r\n\r\n" % len(payload) + payload[: len(payload) // 2])
            return self.transport.close()
        texts, choices = sizes(body)
        self.server.count(PROMPT_TOKENS * texts, want.tokens * choices * texts)
        return self._json(200, answer)

    def _translated(self, want: Behaviour, body: dict[str, object], messages: bool) -> None:
        """What LiteLLM makes of an answer for Anthropic's API and for /v1/responses."""
        usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": want.tokens}
        text = want.text(0, want.tokens)
        self.server.count(PROMPT_TOKENS, want.tokens)
        if messages:
            whole = {"type": "message", "content": [{"type": "text", "text": text}], "usage": usage}
            first = {"type": "message_start", "message": {**whole, "usage": {**usage, "output_tokens": 0}}}
            events = [first, {"type": "message_delta", "usage": usage}, {"type": "message_stop"}]
        else:
            whole = {"object": "response", "output": [{"type": "message", "content": text}], "usage": usage}
            events = [
                {"type": "response.output_text.delta", "delta": text},
                {"type": "response.completed", "response": whole},
            ]
        if not body.get("stream"):
            self._json(200, whole)
            return
        self.transport.write(STREAM)
        for event in events[: 1 if want.fail == "cut" else None]:
            self._event(event, b"event: %b\n" % str(event["type"]).encode())
        if want.fail == "cut":
            self.transport.abort()
            return
        self.transport.write(b"0\r\n\r\n")

    def _json(self, status: int, body: dict[str, object]) -> None:
        payload = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(payload)}\r\n\r\n"
        )
        self.transport.write(head.encode() + payload)

    async def _stream(
        self, want: Behaviour, body: dict[str, object], chat: bool, usage: bool, continuous: bool
    ) -> None:
        self.transport.write(STREAM)
        texts, choices = sizes(body)
        indexes = range(texts * choices)
        base = {
            "id": "stub-1",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
            "model": body.get("model"),
        }
        for index in indexes if chat else ():
            first = {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            self._event({**base, "choices": [first], **({"usage": used(want, 0)} if usage and continuous else {})})
        sent = 0
        started = time.perf_counter()
        cut_after = want.tokens // 2 if want.fail == "cut" else want.tokens + 1
        while sent < want.tokens:
            count = min(want.interval, want.tokens - sent)
            content = want.text(sent, count)
            piece: dict[str, object] = {"delta": {"content": content}} if chat else {"text": content}
            sent += count
            if want.rate:
                await asyncio.sleep(max(0.0, started + sent / want.rate - time.perf_counter()))
            so_far = {"usage": used(want, sent)} if usage and continuous else {}
            for index in indexes:
                self._event({**base, "choices": [{"index": index, **piece, "finish_reason": None}], **so_far})
            if sent >= cut_after:
                self.transport.abort()
                return
            await self.writable.wait()
            if sent % 64 == 0:
                # Others get their turn, and a client that has left is seen.
                await asyncio.sleep(0)
        last: dict[str, object] = {"delta": {}} if chat else {"text": ""}
        so_far = {"usage": used(want)} if usage and continuous else {}
        for index in indexes:
            self._event({**base, "choices": [{"index": index, **last, "finish_reason": "stop"}], **so_far})
        if usage:
            self._event({**base, "choices": [], "usage": used(want, None, choices, texts)})
        self.server.count(PROMPT_TOKENS * texts, want.tokens * choices * texts)
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _event(self, body: dict[str, object], name: bytes = b"") -> None:
        data = name + b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def sizes(body: dict[str, object]) -> tuple[int, int]:
    """How many prompts a request has, and how many answers it wants to each."""
    prompt, choices = body.get("prompt"), body.get("n")
    texts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return texts, choices if isinstance(choices, int) else 1


def used(want: Behaviour, sent: int | None = None, choices: int = 1, texts: int = 1) -> dict[str, object]:
    prompt, tokens = PROMPT_TOKENS * texts, (want.tokens if sent is None else sent) * choices * texts
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def completion(want: Behaviour, body: dict[str, object], chat: bool) -> dict[str, object]:
    text = want.text(0, want.tokens)
    texts, choices = sizes(body)
    answer: dict[str, object] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "id": "stub-1",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": [{"index": index, **answer, "finish_reason": "stop"} for index in range(texts * choices)],
        "usage": used(want, None, choices, texts),
    }


def embedding(body: dict[str, object]) -> dict[str, object]:
    texts = body.get("input")
    count = len(texts) if isinstance(texts, list) else 1
    data = [{"object": "embedding", "index": index, "embedding": [0.25, 0.5, 0.75]} for index in range(count)]
    return {
        "object": "list",
        "model": body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
    }


def scores(body: dict[str, object]) -> dict[str, object]:
    return {
        "object": "list",
        "model": body.get("model"),
        "data": [{"index": 0, "object": "score", "score": 0.5}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS, "completion_tokens": 0},
    }


# What is no generation, by the end of its path.
PLAIN: dict[str, Callable[[dict[str, object]], dict[str, object]]] = {
    "/embeddings": embedding,
    "/score": scores,
    "/rerank": scores,
    "/tokenize": lambda _body: {"count": 2, "max_model_len": 4096, "tokens": [1, 2]},
    "/detokenize": lambda _body: {"prompt": "tok0 tok1"},
    "/count_tokens": lambda _body: {"input_tokens": PROMPT_TOKENS},
}


class StubBackend:
    """Holds what all connections share."""

    def __init__(self, defaults: Behaviour) -> None:
        self.defaults = defaults
        self.requests = 0
        self.structured = 0
        self.eased = asyncio.Event()
        self.eased.set()
        self.hangups = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.last = (b"", b"")

    def count(self, prompt: int, completion: int) -> None:
        """Count the tokens of an answer that was sent whole."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    def counts(self) -> dict[str, object]:
        """All counts."""
        names = ("requests", "structured", "hangups", "prompt_tokens", "completion_tokens")
        return {name: getattr(self, name) for name in names}

    async def serve(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        server = await loop.create_server(lambda: Connection(self), host, port)
        print(f"stub backend on http://{host}:{server.sockets[0].getsockname()[1]}/v1", flush=True)
        await stop.wait()
        server.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="OpenAI-compatible model server without a model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8199)
    for field in dataclasses.fields(Behaviour):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    args = vars(parser.parse_args())
    host, port = args.pop("host"), args.pop("port")
    asyncio.run(StubBackend(Behaviour(**args)).serve(host, port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
