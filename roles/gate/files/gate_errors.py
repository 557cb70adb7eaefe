# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client is told when its request ends here, in the shape of the API that it speaks."""

from __future__ import annotations

import traceback

import orjson

# Types of OpenAI's and Anthropic's errors by status; what is not listed is the client's mistake or the server's.
OPENAI = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
ANTHROPIC = {**OPENAI, 413: "request_too_large", 503: "overloaded_error"}
# Without it, aiohttp would write its release and Python's into every answer.
SERVER = {"server": "llmfleet"}
ANTHROPIC_PATHS = ("/v1/messages",)
RESPONSES_PATH = "/v1/responses"


def is_anthropic(path: str) -> bool:
    """Whether a path is one of Anthropic's API."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in ANTHROPIC_PATHS)


def content(path: str, status: int, message: str, code: str, param: str | None = None) -> bytes:
    """The body of an error. A message may quote what is no text; it becomes some."""
    message, param = clean(message), param if param is None else clean(param)
    if is_anthropic(path):
        kind = ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    kind = OPENAI.get(status, "invalid_request_error" if status < 500 else "server_error")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def place(error: BaseException) -> str:
    """Where in this program an error comes from. A whole traceback could quote a prompt."""
    lines = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return " ".join(lines[-3:])


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def event(path: str, message: str) -> bytes:
    """The last event of a stream that broke off, which clients of all APIs take for an error."""
    body = content(path, 502, message, "bad_gateway")
    if path == RESPONSES_PATH:
        # Events of this API have a type, and OpenAI's libraries look for `error` in all of them.
        told = orjson.loads(body)
        body = orjson.dumps({"type": "error", "code": "bad_gateway", "message": clean(message), "param": None, **told})
    prefix = b"event: error\n" if is_anthropic(path) or path == RESPONSES_PATH else b""
    return prefix + b"data: " + body + b"\n\n"
