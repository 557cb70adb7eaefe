# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that a request has used, read from what engines and the translator answer.

OpenAI's shape has `prompt_tokens` and `completion_tokens`, Anthropic's and that of /v1/responses `input_tokens` and
`output_tokens`. Streams are cut into events here; an event is passed on whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import orjson

# In a string of JSON the quotes would be escaped, so these bytes begin a field.
FIELD = b'"usage":'
LAST_FIELD = b',"usage":{'
NO_CHOICES = b'"choices":[]'
DECODER = json.JSONDecoder()
# Usage is at the end of a reply. In front of it may be megabytes of vectors.
TAIL = 16_384
# An event that is larger than any answer is no event.
MOST_EVENT_BYTES = 32 << 20


@dataclass
class Usage:
    """Counts of tokens, and whether the engine counted them."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    known: bool = False

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def take(self, given: object) -> None:
        """Take what a `usage` object says; later ones replace earlier ones, field by field."""
        if not isinstance(given, dict):
            return
        for mine, names in (
            ("prompt", ("prompt_tokens", "input_tokens")),
            ("completion", ("completion_tokens", "output_tokens")),
            ("cached", ("cache_read_input_tokens",)),
        ):
            for name in names:
                if isinstance(given.get(name), int):
                    setattr(self, mine, given[name])
                    self.known = True
        for name in ("prompt_tokens_details", "input_tokens_details"):
            details = given.get(name)
            if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
                self.cached = details["cached_tokens"]


def of_reply(tail: bytes, usage: Usage) -> None:
    """Take the usage from the end of a reply in JSON."""
    at = tail.rfind(FIELD)
    if at < 0:
        at = tail.rfind(b'"usage" :')
    if at < 0:
        return
    text = tail[tail.index(b":", at) + 1 :].lstrip().decode("utf-8", "replace")
    try:
        usage.take(DECODER.raw_decode(text)[0])
    except ValueError:
        return


class Events:
    """Cuts a stream into events. `each` gets an event without its end, and returns what is sent on, or nothing."""

    def __init__(self, each: Callable[[bytes], bytes | None]) -> None:
        self._each = each
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The events that are complete now, as they are sent on."""
        if self._rest:
            data = self._rest + data
        *complete, self._rest = data.split(b"\n\n")
        if len(self._rest) > MOST_EVENT_BYTES:
            raise ValueError("an event without an end")
        sent = [event for event in map(self._each, complete) if event is not None]
        return b"\n\n".join(sent) + b"\n\n" if sent else b""

    def end(self) -> bytes:
        """What came after the last event."""
        return self._rest


def payload(event: bytes) -> dict[str, object] | None:
    """The JSON object of an event."""
    at = 0 if event.startswith(b"data:") else event.find(b"\ndata:") + 1
    if not event.startswith(b"data:", at):
        return None
    try:
        value = orjson.loads(event[at + 5 :])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class NativeStream:
    """An engine's stream of chunks, each with the usage so far; clients see usage only as far as they asked for it.

    The engine counts completion tokens for each choice until the last chunk, which has their sum and no choice.
    """

    def __init__(self, usage: Usage, include_usage: bool, continuous: bool, choices: int = 1) -> None:
        self._usage, self._include, self._continuous = usage, include_usage, continuous
        self._choices: dict[object, int] | None = {} if choices > 1 else None

    def event(self, event: bytes) -> bytes | None:
        at = event.rfind(LAST_FIELD)
        if at < 0 and FIELD not in event:
            return event
        if at > 0 and self._choices is None and NO_CHOICES not in event:
            # Nearly all chunks: usage is the last field, and what is before it can stay as the engine wrote it.
            try:
                self._usage.take(orjson.loads(event[at + len(LAST_FIELD) - 1 : -1]))
            except ValueError:
                return self._any(event)
            return event if self._include and self._continuous else event[:at] + b"}"
        return self._any(event)

    def _any(self, event: bytes) -> bytes | None:
        chunk = payload(event)
        if chunk is None or "usage" not in chunk:
            return event
        self._usage.take(chunk["usage"])
        choices = chunk.get("choices")
        if not choices:
            return event if self._include else None
        if self._choices is not None and isinstance(choices, list) and isinstance(choices[0], dict):
            self._choices[choices[0].get("index")] = self._usage.completion
            self._usage.completion = sum(self._choices.values())
        if self._include and self._continuous:
            return event
        del chunk["usage"]
        return b"data: " + orjson.dumps(chunk)


class TranslatedStream:
    """The translator's stream, which is passed on as it is."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def event(self, event: bytes) -> bytes:
        if FIELD in event or b'"usage" :' in event:
            chunk = payload(event) or {}
            for holder in (chunk, chunk.get("message"), chunk.get("response")):
                if isinstance(holder, dict):
                    self._usage.take(holder.get("usage"))
        return event
