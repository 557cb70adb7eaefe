# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_outside.py in a network namespace: uses Open WebUI and prints what left by the only way out."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

PAGE = "http://127.0.0.1:3000"
IPV4 = 0x0800
SECRETS = {
    "WEBUI_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "WEBUI_ADMIN_PASSWORD": "a-password-for-this-test",
    "OPENAI_API_KEYS": "sk-for-this-test",
}


class Gateway(BaseHTTPRequestHandler):
    """As much of the gateway as a chat needs."""

    def reply(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.reply("application/json", json.dumps({"data": [{"id": "chat", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": "streamed"}}],
        }
        self.reply("text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class WayOut:
    """A cable that ends at a wall, with the default route into it, and what arrives at the wall."""

    def __init__(self, folder: Path) -> None:
        names = folder / "resolv.conf"
        names.write_text("nameserver 192.0.2.53\n")
        for command in (
            "ip link set lo up",
            "ip link add out0 type veth peer name wall0",
            "ip link set wall0 up",
            "ip link set out0 up",
            "ip address add 192.0.2.1/24 dev out0",
            "ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0",
            "ip neighbour add 192.0.2.53 lladdr 02:00:00:00:00:02 dev out0",
            "ip route add default via 192.0.2.2",
            f"mount --bind {names} /etc/resolv.conf",
        ):
            subprocess.run(command.split(), check=True)
        self.sent: list[str] = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
        self.socket.bind(("wall0", IPV4))
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while True:
            packet = self.socket.recv(65535)
            header = (packet[0] & 15) * 4
            port = int.from_bytes(packet[header + 2 : header + 4], "big")
            printable = "".join(chr(byte) if 32 < byte < 127 else "." for byte in packet[header + 8 : header + 72])
            self.sent.append(f"{ipaddress.ip_address(packet[16:20])}:{port} {printable}")


def call(path: str, token: str = "", body: Any = None, kind: str = "application/json") -> bytes:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(PAGE + path, data, {"Content-Type": kind})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 200
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(URLError, OSError):
            call("/ready")
            return
        time.sleep(0.5)
    sys.exit("Open WebUI did not become ready")


def main(program: str, folder: Path) -> None:
    out = WayOut(folder)
    # A name that nobody knows: the way out has to be seen to work.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.sendto(b"control", ("198.51.100.1", 9))
    time.sleep(0.5)
    control = list(out.sent)
    out.sent.clear()

    gateway = ThreadingHTTPServer(("127.0.0.1", 4000), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    state = folder / "open-webui"
    state.mkdir()
    made = {key: str(value) for key, value in json.loads((folder / "environment").read_text()).items()}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(state), **made, **SECRETS}
    with (folder / "log").open("wb") as log:
        command = [program, "serve", "--host", "127.0.0.1", "--port", "3000"]
        process = subprocess.Popen(command, env=environment, cwd=state, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(process)
        account = {"email": environment["WEBUI_ADMIN_EMAIL"], "password": SECRETS["WEBUI_ADMIN_PASSWORD"]}
        token = json.loads(call("/api/v1/auths/signin", body=account))["token"]
        models = [model["id"] for model in json.loads(call("/api/models", token))["data"]]
        chat = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        answer = call("/api/chat/completions", token, chat).decode()
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        part += b"Content-Type: text/plain\r\n\r\nText\r\n--b--\r\n"
        call("/api/v1/files/", token, part, "multipart/form-data; boundary=b")
        call("/api/version/updates", token)
        # What it does by itself from time to time, it has begun by now.
        time.sleep(5)
    finally:
        process.terminate()
        process.wait(30)
    print(json.dumps({"control": control, "models": models, "answer": answer, "sent": out.sent}))


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], Path(sys.argv[2]))
