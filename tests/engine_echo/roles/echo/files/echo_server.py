# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine Echo: it answers with the question, over OpenAI's API. The file ECHO_KEYS has the SHA-256 of its keys."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--model", required=True)
OPTIONS.add_argument("--host", default="127.0.0.1")
OPTIONS.add_argument("--port", type=int, required=True)
OPTIONS.add_argument("--prefix", default="")
# What a broken release would do: answer every chat with an error, or wait before each.
OPTIONS.add_argument("--fail", action="store_true")
OPTIONS.add_argument("--delay", type=float, default=0.0)
# What only real traffic shows: answer so many of the requests that come through a gateway, of 1, with an error.
OPTIONS.add_argument("--fail-rate", type=float, default=0.0)
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Counters:
    """What the engine has counted since it started."""

    def __init__(self) -> None:
        self.started = time.time()
        self.lock = threading.Lock()
        self.answered, self.failed, self.asked = 0, 0, 0
        self.seconds: list[float] = []

    def note(self, seconds: float | None) -> None:
        """Count a request that was answered after so many seconds, or one that failed."""
        with self.lock:
            self.answered += seconds is not None
            self.failed += seconds is None
            self.seconds += [] if seconds is None else [seconds]

    def next_fails(self, rate: float) -> bool:
        """Count a request of a gateway and return whether it is one of those that fail."""
        with self.lock:
            self.asked += 1
            return int(self.asked * rate) > int((self.asked - 1) * rate)

    def text(self) -> str:
        """Return the metrics in Prometheus' text format."""
        with self.lock:
            rows = [
                f"process_start_time_seconds {self.started}",
                f'echo_requests_total{{reason="stop"}} {self.answered}',
                f'echo_answers_total{{status="5xx"}} {self.failed}',
                f"echo_first_token_seconds_count {len(self.seconds)}",
                f"echo_first_token_seconds_sum {sum(self.seconds)}",
            ]
            for bound in BOUNDS:
                many = sum(one <= bound for one in self.seconds)
                rows.append(f'echo_first_token_seconds_bucket{{le="{bound}"}} {many}')
            return "".join(f"{row}\n" for row in rows)


class Handler(BaseHTTPRequestHandler):
    given: argparse.Namespace
    counters = Counters()

    def log_message(self, *_args: object) -> None:
        pass

    def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self) -> bool:
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        accepted = Path(os.environ["ECHO_KEYS"]).read_text(encoding="ascii").split()
        known = hashlib.sha256(key.encode()).hexdigest() in accepted
        if not known:
            self.say(401, b'{"error": {"message": "Unauthorized", "code": "401"}}')
        return known

    def do_GET(self) -> None:
        if self.path == "/ready":
            self.say(200, b"{}")
        elif self.path == "/metrics":
            self.say(200, self.counters.text().encode(), "text/plain")
        elif self.allowed():
            self.say(200, json.dumps({"data": [{"id": self.given.model}]}).encode())

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        began = time.monotonic()
        time.sleep(self.given.delay)
        # Gateways name each request, which a trial does not.
        real = self.headers.get("X-Request-Id") is not None
        if self.given.fail or (real and self.counters.next_fails(self.given.fail_rate)):
            self.counters.note(None)
            self.say(500, b'{"error": {"message": "broken", "code": "500"}}')
            return
        self.counters.note(time.monotonic() - began)
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
