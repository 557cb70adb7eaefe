# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine Echo: it answers with the question, over OpenAI's API. Its key is in ECHO_API_KEY."""

from __future__ import annotations

import argparse
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--model", required=True)
OPTIONS.add_argument("--host", default="127.0.0.1")
OPTIONS.add_argument("--port", type=int, required=True)
OPTIONS.add_argument("--prefix", default="")
# What a broken release would do: answer every chat with an error, or wait before each.
OPTIONS.add_argument("--fail", action="store_true")
OPTIONS.add_argument("--delay", type=float, default=0.0)


class Handler(BaseHTTPRequestHandler):
    given: argparse.Namespace

    def log_message(self, *_args: object) -> None:
        pass

    def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self) -> bool:
        known = self.headers.get("Authorization") == f"Bearer {os.environ['ECHO_API_KEY']}"
        if not known:
            self.say(401, b'{"error": {"message": "Unauthorized", "code": "401"}}')
        return known

    def do_GET(self) -> None:
        if self.path == "/ready":
            self.say(200, b"{}")
        elif self.path == "/metrics":
            self.say(200, b"echo_up 1\n", "text/plain")
        elif self.allowed():
            self.say(200, json.dumps({"data": [{"id": self.given.model}]}).encode())

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        time.sleep(self.given.delay)
        if self.given.fail:
            self.say(500, b'{"error": {"message": "broken", "code": "500"}}')
            return
        words = [f"{self.given.prefix} ", *asked["messages"][-1]["content"].split()]
        usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
        said = {"id": "echo", "object": "chat.completion", "created": int(time.time()), "model": self.given.model}
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
            self.say(200, json.dumps({**said, "choices": [choice], "usage": usage}).encode())
            return
        said["object"] = "chat.completion.chunk"
        deltas: list[Any] = [({"content": word}, None) for word in words] + [({}, "stop")]
        chunks = [
            {**said, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
        ]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**said, "choices": [], "usage": usage})
        text = "".join(f"data: {chunk}\n\n" for chunk in [*map(json.dumps, chunks), "[DONE]"])
        self.say(200, text.encode(), "text/event-stream")


if __name__ == "__main__":
    Handler.given = OPTIONS.parse_args()
    ThreadingHTTPServer((Handler.given.host, Handler.given.port), Handler).serve_forever()
