# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application to put behind nginx: ``stub.py PORT NAME``.

It tells what reached it and does what the request's JSON body asks for. ``stream``: that many events, 0.1 s apart;
``sleep``: seconds before the answer; ``status``: an error of its own. ``/seen`` tells what happened so far.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

seen: dict[str, Any] = {"requests": 0, "active": 0, "most_active": 0, "hung_up": 0, "paths": []}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "stub"
    name = ""

    def answer(self, status: int, content: Any, headers: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # As LiteLLM does, which lets every page read its answers.
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Credentials", "true")
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(events):
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while data := self.connection.recv(4096):
            self.connection.sendall(data)

    def respond(self) -> None:
        # The gate looks at the key first, and closes a connection whose body it has not read.
        if self.headers.get("Authorization", "").startswith("Bearer sk-made-up"):
            self.close_connection = True
            self.answer(401, {"error": {"message": "Invalid API key.", "code": "invalid_api_key"}}, {})
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            wish = json.loads(raw)
        except ValueError:
            wish = {}
        if self.path == "/seen":
            self.answer(200, seen, {})
            return
        with lock:
            seen["requests"] += 1
            seen["active"] += 1
            seen["most_active"] = max(seen["most_active"], seen["active"])
            seen["paths"].append(self.path)
        try:
            if self.headers.get("Upgrade") == "websocket":
                self.websocket()
            elif "stream" in wish:
                self.stream(wish["stream"])
            elif "status" in wish:
                self.answer(
                    wish["status"],
                    {"error": {"message": "from the application", "code": "its_own"}},
                    {"Retry-After": "77"},
                )
            else:
                time.sleep(wish.get("sleep", 0))
                content = {
                    "backend": self.name,
                    "method": self.command,
                    "path": self.path,
                    "length": len(raw),
                    "headers": self.headers.items(),
                }
                self.answer(
                    200,
                    content,
                    {"X-Request-Id": "of-the-application", "x-litellm-model-api-base": "http://127.0.0.1:4100/chat/v1"},
                )
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            with lock:
                seen["hung_up"] += 1
        finally:
            with lock:
                seen["active"] -= 1

    do_GET = do_POST = do_PUT = respond  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server that a load test does not overrun."""

    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Handler.name = sys.argv[2]
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
