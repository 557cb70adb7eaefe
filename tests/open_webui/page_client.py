# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to the chat page of inside.py."""

from __future__ import annotations

import json
import sys
from http.client import IncompleteRead
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

HOST, PORT = "127.0.0.1", 3000
PAGE = f"http://{HOST}:{PORT}"
JSON = "application/json"


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Leave a redirection as it is."""


OPENER = build_opener(Stay)


def ask(path: str, token: str = "", body: Any = None, kind: str = JSON, method: str | None = None) -> tuple[int, str]:
    """Status and text of an answer; a redirection is not followed."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(PAGE + path, data, {"Content-Type": kind}, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with OPENER.open(request, timeout=60) as answer:
            status = int(answer.status)
            try:
                return status, answer.read().decode(errors="replace")
            except IncompleteRead as broken:
                return status, broken.partial.decode(errors="replace")
    except HTTPError as error:
        return error.code, f"{error.headers.get('Location', '')}{error.read().decode(errors='replace')}"


def call(path: str, token: str = "", body: Any = None) -> Any:
    """What an answer says; any refusal ends the test."""
    status, text = ask(path, token, body)
    if status != 200:
        sys.exit(f"{path}: {status} {text[:500]}")
    return json.loads(text) if text.startswith(("{", "[")) else text


def form(name: str, kind: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file."""
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"
