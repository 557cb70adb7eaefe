# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that a request has used, read from what engines and the translator answer.

OpenAI's shape has `prompt_tokens` and `completion_tokens`, Anthropic's and that of /v1/responses `input_tokens` and
`output_tokens`. Streams are cut into events here; an event is passed on whole.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import gate_failures as failures
import orjson

# In a string of JSON the quotes would be escaped, so these bytes begin a field.
FIELD = b'"usage":'
LAST_FIELD = b',"usage":{'
NO_CHOICES = b'"choices":[]'
# With these an answer is complete: chunks end with the first, the translator's streams with an event of these names.
DONE = b"data: [DONE]"
LAST_EVENT = re.compile(rb"event: ?(?:message_stop|response\.(?:completed|incomplete|failed))\n")
# The translator writes the type first.
EVENT_TYPE = re.compile(rb'data: ?\{"type": ?"([\w.]+)"', re.ASCII)
EVENT_NAME = re.compile(r"[\w.]{1,100}", re.ASCII)
DECODER = json.JSONDecoder()
# The counts of one request need a few hundred bytes.
MOST_USAGE_BYTES = 4096
# An event that is larger than any answer is no event.
MOST_EVENT_BYTES = 32 << 20


def nothing() -> None:
    """What is called where nobody waits for the last event."""


def count(value: object) -> int:
    """A number of tokens, or -1 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1


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
        prompt = count(given.get("prompt_tokens"))
        if prompt < 0 <= count(given.get("input_tokens")):
            # Anthropic's input tokens are those that were not in a cache. /v1/responses has no such fields.
            parts = (given.get(name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
            prompt = given["input_tokens"] + sum(max(0, count(part)) for part in parts)
        completion = max(count(given.get("completion_tokens")), count(given.get("output_tokens")))
        if prompt >= 0:
            self.prompt, self.known = prompt, True
        if completion >= 0:
            self.completion, self.known = completion, True
        cached = count(given.get("cache_read_input_tokens"))
        for name in ("prompt_tokens_details", "input_tokens_details"):
            details = given.get(name)
            if isinstance(details, dict):
                cached = max(cached, count(details.get("cached_tokens")))
        if cached >= 0:
            self.cached = cached


class Reply:
    """Finds the usage in a reply of JSON that comes in pieces.

    Megabytes of vectors may be in front of it and of a prompt's log probabilities behind it, so all of it is searched
    and none is kept. Only an object is a usage: a token that is the word itself has a number.
    """

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the usage in what has come by now."""
        data = self._rest + data if self._rest else data
        at = data.find(FIELD)
        while at >= 0:
            text = data[at + len(FIELD) : at + MOST_USAGE_BYTES].decode("utf-8", "replace").lstrip()
            try:
                self._usage.take(DECODER.raw_decode(text)[0])
            except ValueError:
                if len(data) - at < MOST_USAGE_BYTES:
                    # The rest of it has not come yet.
                    self._rest = data[at:]
                    return
            at = data.find(FIELD, at + 1)
        self._rest = data[1 - len(FIELD) :]


class Events:
    """Cuts a stream into events. `each` gets an event without its end, and returns what is sent on, or nothing."""

    def __init__(self, each: Callable[[bytes], bytes | None]) -> None:
        self._each = each
        self._rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The events that are complete now, as they are sent on."""
        if not self._rest and 0 < data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:
            # One whole event, as nearly all come.
            event = self._each(data[:-2])
            return event + b"\n\n" if event is not None else b""
        if self._rest:
            self._rest += data
            if len(self._rest) > MOST_EVENT_BYTES:
                raise ValueError("an event without an end")
            # A large event comes in many pieces, and is not looked through again for each.
            if not data.startswith(b"\n") and b"\n\n" not in data and b"\r" not in data:
                return b""
            data = bytes(self._rest)
            self._rest.clear()
        if b"\r" in data:
            # Some servers end lines as HTTP does. In JSON the character is escaped.
            data = data.replace(b"\r\n", b"\n")
        *complete, rest = data.split(b"\n\n")
        if rest:
            self._rest += rest
        sent = [event for event in map(self._each, complete) if event is not None]
        return b"\n\n".join(sent) + b"\n\n" if sent else b""

    def end(self) -> bytes:
        """The last event, if it came without its end."""
        rest = bytes(self._rest).rstrip()
        return self._each(rest) or b"" if rest else b""


def payload(event: bytes) -> dict[str, object] | None:
    """The JSON object of an event."""
    at = 0 if event.startswith(b"data:") else event.find(b"\ndata:") + 1
    if not event.startswith(b"data:", at):
        return None
    end = event.find(b"\n", at)
    try:
        value = orjson.loads(event[at + 5 : end if end > 0 else len(event)])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class NativeStream:
    """A stream of chunks, each with the usage so far; clients see usage only as far as they asked for it.

    The engine counts completion tokens for each choice, and prompt tokens for each prompt, until the last chunk, which
    has their sums and no choice. The choices of a prompt have numbers in a row. `last` is called before the last event
    is sent on.
    """

    def __init__(
        self,
        usage: Usage,
        include_usage: bool,
        continuous: bool,
        choices: int = 1,
        prompts: int = 1,
        last: Callable[[], None] = nothing,
    ) -> None:
        self._usage, self._include, self._continuous, self._last_event = usage, include_usage, continuous, last
        self._choices, self._single = choices, choices * prompts == 1
        self._completions: dict[int, int] = {}
        self._prompts: dict[int, int] = {}
        self._last = b""

    def event(self, event: bytes) -> bytes | None:
        """What is sent on of an event."""
        at = event.rfind(LAST_FIELD)
        if at < 0:
            if event == DONE:
                self.end()
                self._last_event()
            return failures.event(event) if FIELD not in event else self._any(event)
        if self._single and event.find(b"}", at) == len(event) - 2 and NO_CHOICES not in event:
            # Nearly all chunks: usage is flat and the last field, and what is before it stays as the engine wrote it.
            self._last = event[at + len(LAST_FIELD) - 1 : -1]
            return event if self._include and self._continuous else event[:at] + b"}"
        return self._any(event)

    def end(self) -> None:
        """Take the usage of the last chunk, which nobody needed until now."""
        if self._last:
            with contextlib.suppress(ValueError):
                self._usage.take(orjson.loads(self._last))
            self._last = b""

    def _any(self, event: bytes) -> bytes | None:
        chunk = payload(event)
        if chunk is None or "usage" not in chunk:
            return event
        self.end()
        self._usage.take(chunk["usage"])
        choices = chunk.get("choices")
        if not choices:
            return event if self._include else None
        if not self._single and isinstance(choices, list) and isinstance(choices[0], dict):
            self._sum(choices[0].get("index"))
        if self._include and self._continuous:
            return event
        del chunk["usage"]
        return b"data: " + orjson.dumps(chunk)

    def _sum(self, index: object) -> None:
        number = max(0, count(index))
        self._completions[number] = self._usage.completion
        self._prompts[number // self._choices] = self._usage.prompt
        self._usage.completion = sum(self._completions.values())
        self._usage.prompt = sum(self._prompts.values())


class TranslatedStream:
    """The translator's stream of events of its own, which is passed on as it is, but for addresses in errors.

    Those of /v1/responses come without the `event:` line that OpenAI's API has; with `named` they get it.
    `last` is called before the last event is sent on.
    """

    def __init__(self, usage: Usage, named: bool = False, last: Callable[[], None] = nothing) -> None:
        self._usage, self._named, self._last_event = usage, named, last

    def event(self, event: bytes) -> bytes:
        """The event, whose usage is taken."""
        if self._named and event.startswith(b"data:"):
            found = EVENT_TYPE.match(event)
            kind = found[1].decode() if found else (payload(event) or {}).get("type")
            if isinstance(kind, str) and EVENT_NAME.fullmatch(kind):
                event = b"event: %b\n%b" % (kind.encode(), event)
        if FIELD in event:
            chunk = payload(event) or {}
            for holder in (chunk, chunk.get("message"), chunk.get("response")):
                if isinstance(holder, dict):
                    self._usage.take(holder.get("usage"))
        if LAST_EVENT.match(event):
            self._last_event()
        return failures.event(event)

    def end(self) -> None:
        """Everything is taken at once."""
