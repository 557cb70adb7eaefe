# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries to get the page's live events without a session, with a forged one, and of what belongs to others."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import time
from typing import Any

from page_client import HOST, PAGE, PORT, ask, call

PATH = "/ws/socket.io/?EIO=4&transport="
# What is on its way comes within this time.
SETTLED_SECONDS = 1.0
PRIVATE = "privateinanote"


def forged(user: str, algorithm: str = "HS256") -> str:
    """A session of a user that the page has not signed."""

    def part(value: Any) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part({'id': user, 'exp': int(time.time()) + 9999, 'jti': '1'})}"
    signature = hmac.new(b"a-secret-of-somebody-else", head.encode(), hashlib.sha256).digest()
    return f"{head}.{part(signature) if algorithm == 'HS256' else ''}"


class Socket:
    """A websocket of Socket.IO; only short texts are read."""

    def __init__(self, token: str | None, origin: str = PAGE) -> None:
        self.connection = socket.create_connection((HOST, PORT), 10)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = [
            f"GET {PATH}websocket HTTP/1.1",
            f"Host: {HOST}:{PORT}",
            f"Origin: {origin}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self.received = b""
        while b"\r\n\r\n" not in self.received and (data := self.connection.recv(65536)):
            self.received += data
        head, _end, self.received = self.received.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])
        if self.status == 101:
            self.send("40" + (json.dumps({"token": token}) if token is not None else ""))
            self.read()

    def send(self, text: str) -> None:
        data, mask = text.encode(), secrets.token_bytes(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self.connection.sendall(b"\x81" + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def emit(self, name: str, value: Any) -> None:
        self.send("42" + json.dumps([name, value]))

    def read(self) -> str:
        """All that comes until nothing does."""
        self.connection.settimeout(SETTLED_SECONDS)
        with contextlib.suppress(OSError):
            while data := self.connection.recv(65536):
                self.received += data
        text, self.received = self.received.decode(errors="replace"), b""
        return text


def events(socket_: Socket, token: str | None, note: str, chat: str, user: str) -> str:
    """What comes back to everything that leads to what belongs to somebody else."""
    auth = {"auth": {"token": token}} if token is not None else {}
    document = {"document_id": f"note:{note}", "user_id": user, "user_name": "Bob"}
    for name, value in (
        ("user-join", auth),
        ("join-channels", auth),
        ("join-note", {**auth, "note_id": note}),
        ("ydoc:document:join", document),
        ("ydoc:document:state", document),
        ("ydoc:document:update", {**document, "update": [0, 0]}),
        ("ydoc:awareness:update", {**document, "update": [0, 0]}),
        ("events:channel", {"channel_id": note, "data": {"type": "typing"}}),
        ("events:chat", {"chat_id": chat, "data": {"type": "typing", "data": {"typing": True}}}),
        ("usage", {"model": "chat"}),
    ):
        socket_.emit(name, value)
    return socket_.read()


def socket_tries(victim: str, user: str, ids: dict[str, str]) -> dict[str, Any]:
    """Statuses, what came, and what came to the owner, who shows that there is something to see."""
    note = call("/api/v1/notes/create", victim, {"title": PRIVATE, "data": {"content": {"md": PRIVATE}}})["id"]
    chat = call("/api/v1/chats/new", victim, {"chat": {"title": PRIVATE, "messages": []}})["id"]
    who: dict[str, str | None] = {
        "nobody": None,
        "empty": "",
        "forged": forged(ids["Bob"]),
        "unsigned": forged(ids["Bob"], "none"),
        "user": user,
    }
    found: dict[str, Any] = {
        "polling": ask(f"{PATH}polling"),
        "other origin": Socket(user, "https://elsewhere.example").status,
        "http": {name: ask("/api/v1/auths/", token or "")[0] for name, token in who.items()},
    }
    sockets = {name: Socket(token) for name, token in who.items()}
    found["came"] = {name: events(one, who[name], note, chat, ids["Bob"]) for name, one in sockets.items()}
    owner = Socket(victim)
    found["owner"] = events(owner, victim, note, chat, ids["Bob"])
    # Others hear nothing of what the owner does meanwhile.
    call(f"/api/v1/notes/{note}/update", victim, {"title": f"{PRIVATE} more"})
    found["later"] = {name: one.read() for name, one in sockets.items()}
    return found
