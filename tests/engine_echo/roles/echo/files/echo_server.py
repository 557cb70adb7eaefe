# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine Echo: it answers with the question, over OpenAI's API. Its key is in ECHO_API_KEY."""

from __future__ import annotations

import argparse
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--model", required=True)
OPTIONS.add_argument("--host", default="127.0.0.1")
OPTIONS.add_argument("--port", type=int, required=True)
OPTIONS.add_argument("--prefix", default="")


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
        words = [f"{self.given.prefix} ", *asked["messages"][-1]["content"].split()]
        if not asked.get("stream"):
            answer = {"choices": [{"message": {"role": "assistant", "content": " ".join(words)}}]}
            self.say(200, json.dumps(answer).encode())
            return
        chunks = [json.dumps({"choices": [{"delta": {"content": word}}]}) for word in words] + ["[DONE]"]
        self.say(200, "".join(f"data: {chunk}\n\n" for chunk in chunks).encode(), "text/event-stream")


if __name__ == "__main__":
    Handler.given = OPTIONS.parse_args()
    ThreadingHTTPServer((Handler.given.host, Handler.given.port), Handler).serve_forever()
