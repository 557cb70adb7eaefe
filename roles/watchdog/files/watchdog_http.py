# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of the watchdog to an engine of this host, each with a deadline for the whole answer."""

from __future__ import annotations

import http.client
import json
import struct
import time
from typing import Any, Iterator, NamedTuple, Tuple

OK = 200
MOST_BYTES = 16 * 2**20
# Statuses with which an engine says that it does not do what it was asked for. It lives, but it has computed nothing.
REFUSED = (400, 404, 405, 415, 422, 501)
BROKEN = 500
TOKENS = 512
"""Tokens of the answer to a semantic probe, so that a model that thinks can come to an end."""
BOUNDARY = "llmfleet-watchdog"
SAMPLES, RATE = 16000, 16000

Place = Tuple[str, int]
"""Address and port."""


class Reply(NamedTuple):
    """An answer; status 0 if none came in time."""

    status: int
    text: str = ""


def ask(place: Place, path: str, seconds: float, body: bytes = b"", kind: str = "", key: str = "") -> Reply:
    """Send a request and read its answer within a time.

    :param body: what is sent by POST; a GET if it is empty.
    :param kind: media type of the body.
    :param key: the engines' key, which is in no URL and no message.
    """
    until = time.monotonic() + seconds
    connection = http.client.HTTPConnection(*place, timeout=seconds)
    headers = {"User-Agent": "llmfleet-watchdog"}
    if kind:
        headers["Content-Type"] = kind
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request("POST" if body else "GET", path, body or None, headers)
        answer = connection.getresponse()
        content = b""
        while len(content) < MOST_BYTES:
            left = until - time.monotonic()
            if left <= 0:
                return Reply(0)
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = answer.read1(2**16)
            if not part:
                break
            content += part
        return Reply(answer.status, content.decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException):
        return Reply(0)
    finally:
        connection.close()


def silence() -> bytes:
    """Return a second of silence as a WAV file."""
    size = SAMPLES * 2
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return head + struct.pack("<4sI", b"data", size) + bytes(size)


def form(model: str) -> bytes:
    """Return the form of a transcription of silence."""
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    begin = f'{part}"model"\r\n\r\n{model}\r\n{part}"file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return begin.encode() + silence() + f"\r\n--{BOUNDARY}--\r\n".encode()


def chat(model: str, content: str, most: int) -> dict[str, Any]:
    """Return the body of a chat with one message."""
    message = {"role": "user", "content": content}
    return {"model": model, "messages": [message], "max_tokens": most, "temperature": 0}


def probes(model: str, mode: str) -> Iterator[tuple[str, bytes, str]]:
    """Return the smallest requests of each kind, path, body and media type, the likeliest for a model first."""
    texts: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": chat(model, "Hello", 1),
        "/v1/completions": {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0},
        "/v1/embeddings": {"model": model, "input": "Hello"},
        "/v1/score": {"model": model, "text_1": "Hello", "text_2": "Hello"},
    }
    for path in sorted(texts, key=lambda one: (one != "/v1/embeddings") if mode == "embedding" else False):
        yield path, json.dumps(texts[path]).encode(), "application/json"
    yield "/v1/audio/transcriptions", form(model), f"multipart/form-data; boundary={BOUNDARY}"


def answers(place: Place, model: str, mode: str, key: str, seconds: float) -> bool:
    """Return whether an engine answers a request for one token, or the smallest one that its model can do.

    One that refuses every kind, or its key, answers: nothing can be told of it, so nothing is done to it.

    :param mode: ``chat`` or ``embedding``.
    :param seconds: deadline of each request.
    """
    for path, body, kind in probes(model, mode):
        status = ask(place, path, seconds, body, kind, key).status
        if status not in REFUSED:
            return 0 < status < BROKEN
    return True


def said(place: Place, model: str, prompt: str, key: str, seconds: float) -> str | None:
    """Return what a model answers to a prompt; of one that thinks too long, what it thinks. Null if none came."""
    reply = ask(
        place,
        "/v1/chat/completions",
        seconds,
        json.dumps(chat(model, prompt, TOKENS)).encode(),
        "application/json",
        key,
    )
    if reply.status != OK:
        return None
    try:
        message = json.loads(reply.text)["choices"][0]["message"]
        return str(message.get("content") or message.get("reasoning_content") or message.get("reasoning") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
