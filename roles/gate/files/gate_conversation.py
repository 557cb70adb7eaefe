# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells one conversation from another: each request of it begins with the same message of its user.

While two versions of a model serve, the inner Nginx sends each conversation to one of them. It needs no more than a
number that stays the same, so the digest goes there as a header, and no further. System messages do not count: clients
write the time of day into them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

HEADER = "x-llmfleet-conversation"
# An image may be megabytes, and two that begin with so many equal characters are rare. They would only stay together.
MOST_CHARACTERS = 16 << 10
MOST_PARTS = 64
# A prompt without messages grows at its end from turn to turn.
PROMPT_CHARACTERS, PROMPT_TOKENS = 1024, 256
# Where each endpoint has what its client says first.
MESSAGES = {"/v1/chat/completions": "messages", "/v1/messages": "messages", "/v1/responses": "input"}


def digest(path: str, body: Mapping[str, object], model: str, alias: str, session: str) -> str:
    """16 hexadecimal digits; none for a request that is of no conversation.

    :param model: the model's own name; `alias` is the key's.
    :param session: the client's own name of the conversation, if it gives one.
    """
    text = session
    for piece in () if session else filter(None, _first(path, body)):
        text += f"\0{piece[:MOST_CHARACTERS]}"
        if len(text) > MOST_CHARACTERS:
            break
    if not text:
        return ""
    return hashlib.sha256(f"{alias}\0{model}\0{text}".encode()).hexdigest()[:16]


def _first(path: str, body: Mapping[str, object]) -> Iterator[str]:
    """The texts of what the client says first, with the addresses or bytes of images and sounds."""
    if path == "/v1/completions":
        prompt = body.get("prompt")
        first: Any = prompt[0] if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else prompt
        if first:
            yield first[:PROMPT_CHARACTERS] if isinstance(first, str) else repr(first[:PROMPT_TOKENS])
        return
    given = body.get(MESSAGES.get(path, ""))
    if isinstance(given, str):
        yield given
    for message in given if isinstance(given, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            yield from _content(message.get("content"))
            return


def _content(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content[:MOST_PARTS] if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        # What a part says is the text, or an object with texts, of this name.
        for name in (str(part.get("type")), "text", "image_url", "source"):
            inner = part.get(name)
            if isinstance(inner, dict):
                yield from (value for value in inner.values() if isinstance(value, str))
            elif isinstance(inner, str):
                yield inner
            if inner:
                break
