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
`fail` an HTTP status, `hang` (accept and never answer) or `cut` (drop the connection after half of the stream).
Anything that is left out keeps the value of the command line.
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

SETTING = re.compile(r"\b(tokens|interval|rate|repeat|delay|fail)=(\S+)")
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
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
    return str(body.get("prompt") or body.get("input") or "")


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
        self.task = asyncio.get_running_loop().create_task(self._answer(method, path.split("?")[0], rest[:size]))
        self.task.add_done_callback(lambda task: None if task.cancelled() else self._next_request())

    async def _answer(self, method: str, path: str, raw: bytes) -> None:
        if path in ("/health", "/ping"):
            return self._json(200, {})
        if path == "/stub/counts":
            return self._json(200, {"requests": self.server.requests, "hangups": self.server.hangups})
        if path.endswith("/models"):
            return self._json(200, {"object": "list", "data": [{"id": "stub", "object": "model", "owned_by": "stub"}]})
        if method != "POST":
            return self._json(404, {"error": {"message": "not found", "type": "invalid_request_error", "code": 404}})

        self.server.requests += 1
        if path.endswith("/audio/transcriptions"):
            return self._json(200, {"text": "tok0"})
        body = json.loads(raw)
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
        if path.endswith("/embeddings"):
            return self._json(200, embedding(body))
        chat = path.endswith("/chat/completions")
        if body.get("stream"):
            options = body.get("stream_options") or {}
            usage, continuous = bool(options.get("include_usage")), bool(options.get("continuous_usage_stats"))
            return await self._stream(want, body, chat, usage, continuous)
        return self._json(200, completion(want, body, chat))

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
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        base = {
            "id": "stub-1",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
            "model": body.get("model"),
        }
        if chat:
            self._event(
                {
                    **base,
                    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
                }
            )
        sent = 0
        started = time.perf_counter()
        cut_after = want.tokens // 2 if want.fail == "cut" else want.tokens + 1
        while sent < want.tokens:
            count = min(want.interval, want.tokens - sent)
            content = want.text(sent, count)
            choice: dict[str, object] = (
                {"index": 0, "delta": {"content": content}} if chat else {"index": 0, "text": content}
            )
            sent += count
            if want.rate:
                await asyncio.sleep(max(0.0, started + sent / want.rate - time.perf_counter()))
            so_far = {"usage": used(want, sent)} if usage and continuous else {}
            self._event({**base, "choices": [{**choice, "finish_reason": None}], **so_far})
            if sent >= cut_after:
                self.transport.abort()
                return
            await self.writable.wait()
        last: dict[str, object] = {"index": 0, "delta": {}} if chat else {"index": 0, "text": ""}
        self._event({**base, "choices": [{**last, "finish_reason": "stop"}]})
        if usage:
            self._event({**base, "choices": [], "usage": used(want)})
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _event(self, body: dict[str, object]) -> None:
        data = b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def used(want: Behaviour, sent: int | None = None) -> dict[str, object]:
    tokens = want.tokens if sent is None else sent
    return {"prompt_tokens": 8, "completion_tokens": tokens, "total_tokens": 8 + tokens}


def completion(want: Behaviour, body: dict[str, object], chat: bool) -> dict[str, object]:
    text = want.text(0, want.tokens)
    choice: dict[str, object] = (
        {"index": 0, "message": {"role": "assistant", "content": text}} if chat else {"index": 0, "text": text}
    )
    return {
        "id": "stub-1",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": [{**choice, "finish_reason": "stop"}],
        "usage": used(want),
    }


def embedding(body: dict[str, object]) -> dict[str, object]:
    texts = body.get("input")
    count = len(texts) if isinstance(texts, list) else 1
    data = [{"object": "embedding", "index": index, "embedding": [0.25, 0.5, 0.75]} for index in range(count)]
    return {
        "object": "list",
        "model": body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


class StubBackend:
    """Holds what all connections share."""

    def __init__(self, defaults: Behaviour) -> None:
        self.defaults = defaults
        self.requests = 0
        self.hangups = 0

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
