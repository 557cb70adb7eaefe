# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of servers behind, in the shape of the API that the client speaks, without what they tell of the inside.

vLLM, FastAPI below it, LiteLLM and Nginx have a shape each. What is worded for clients stays word for word; everything
else becomes a sentence.
"""

from __future__ import annotations

import re

import gate_errors as errors
import orjson

# Python's traceback, and paths of its environment.
INSIDE = re.compile(rb"Traceback \(most recent|/site-packages/")
# Addresses of servers: all URLs but those of documentation, IP addresses, and hosts with a port in Python's words for a
# connection. Lengths are bounded, because an error may quote a long prompt.
ADDRESS = re.compile(
    r"""(?ix)
    \b(?!https://)[a-z][a-z0-9+.-]{0,15}://[^\s"'<>)]{1,768}
    |\bhttps://(?:[^\s/"'<>)]{0,256}[:@]|[\w-]{1,63}(?![\w.-]))[^\s"'<>)]{0,512}
    |'(?:[0-9.]{7,15}|[0-9a-f:]{2,45})'(?:,\ ?[0-9]{1,5}){1,3}
    |(?:\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|\[[0-9a-f:.]{2,45}(?:%\w{1,16})?\](?=:[0-9])|\blocalhost\b)(?::[0-9]{1,5})?
    |(?<=\bhost\ )[\w.-]{1,255}:[0-9]{1,5}
    """
)
MASK = "(address)"
# An event of a stream that is an error; in text of a model the quotes are escaped.
ERROR = re.compile(rb'"error" ?: ?\{')
# What is said where a server says nothing that a client could read, by status.
SENTENCES = {
    404: "The model's server does not know this path.",
    413: "The request is too large for the model's server.",
    429: "The model's server has too many requests. Try again later.",
    503: "The model cannot be reached.",
    504: "The model did not answer in time.",
}
CODES = {
    404: "not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
    504: "timeout",
}
# Fields of an error that may have its text, or an object with it.
TEXTS = ("error", "detail", "message", "msg")
# Where FastAPI found a mistake: the first word of its place says that it was in the body.
PLACES = ("body", "query", "path", "header")
# As many mistakes of a body are listed; a union of types has dozens.
MOST_LISTED = 5
DEPTH = 4
MASKED_DEPTH = 12


def reworded(path: str, status: int, data: bytes) -> bytes | None:
    """The body of an error for a client; None if the server behind says nothing that a client may read.

    :param path: that of the request, which says in which shape its client expects errors.
    :param data: the server's whole body.
    """
    if INSIDE.search(data):
        return None
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    if has_shape(path, value):
        shown = masked(value)
        return data if shown == value else orjson.dumps(shown)
    message, param = told(masked(value))
    return errors.content(path, status, message, code_of(status), param) if message else None


def plain(path: str, status: int) -> bytes:
    """The body of an error of which only the status is known."""
    other = "The model's server failed." if status >= 500 else "The model's server refuses the request."
    return errors.content(path, status, SENTENCES.get(status, other), code_of(status))


def event(given: bytes) -> bytes:
    """An event of a stream, without the inside if it is an error."""
    if not ERROR.search(given):
        return given
    if INSIDE.search(given):
        path = errors.ANTHROPIC_PATHS[0] if given.startswith(b"event: error") else ""
        return errors.event(path, "The model's server failed.").rstrip()
    head, found, data = given.rpartition(b"data:")
    try:
        value = orjson.loads(data)
    except ValueError:
        return given
    shown = masked(value)
    return given if shown == value else head + found + b" " + orjson.dumps(shown)


def masked(value: object, depth: int = MASKED_DEPTH) -> object:
    """A value of JSON without the addresses in its texts, and without what is nested deeper than errors are."""
    if isinstance(value, str):
        return ADDRESS.sub(MASK, value)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return None
    if isinstance(value, list):
        return [masked(item, depth - 1) for item in value]
    return {name: masked(item, depth - 1) for name, item in value.items()}


def code_of(status: int) -> str:
    return CODES.get(status, "server_error" if status >= 500 else "invalid_request")


def has_shape(path: str, value: object) -> bool:
    """Whether an error is what clients of this API read: an object with a message; Anthropic's has types too."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(error, dict) or not text_of(error.get("message")):
        return False
    return not errors.is_anthropic(path) or (value.get("type") == "error" and isinstance(error.get("type"), str))


def text_of(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def told(value: object, depth: int = DEPTH) -> tuple[str, str | None]:
    """The text of an error in any other shape, and the field that it is about; empty if there is none."""
    if isinstance(value, dict) and depth:
        for name in TEXTS:
            message, param = told(value.get(name), depth - 1)
            if message:
                given = value.get("param")
                return message, param or (given if isinstance(given, str) else None) or place_of(value.get("loc"))
        return "", None
    if isinstance(value, list) and depth:
        found = [one for one in (told(item, depth - 1) for item in value[:MOST_LISTED]) if one[0]]
        texts = [f"{param}: {message}" if param else message for message, param in found]
        if texts and len(value) > MOST_LISTED:
            texts.append(f"and {len(value) - MOST_LISTED} more")
        return "; ".join(texts), found[0][1] if len(found) == 1 else None
    return text_of(value), None


def place_of(value: object) -> str | None:
    """The field of a body that FastAPI names."""
    if not isinstance(value, list) or not value:
        return None
    parts = value[1:] if value[0] in PLACES else value
    return ".".join(str(part) for part in parts if isinstance(part, (str, int))) or None
