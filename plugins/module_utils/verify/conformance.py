# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the answers to conformance checks, and measure streams.

Pure functions: every answer is handed in.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.text import excerpt, redact
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import parts
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.answers import JUDGES
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Reply, parse_sse

# Characters of a reason, with the dots of one that was cut.
MOST_CHARACTERS = 200


class Times(NamedTuple):
    """Seconds until the first token of a stream, and from one token to the next; null if there was only one."""

    first_token: float
    token: float | None


def sentence(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a reason as one line of characters that can be shown, 200 at most.

    :param secrets: values that are taken out before the text is cut, so that no part of one is left.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in redact(text, secrets))
    return excerpt(shown, MOST_CHARACTERS - len(" ..."))


def reason(check: Mapping[str, Any], reply: Reply) -> str:
    """Return why an answer fails a check, in full; empty if it passes.

    :param check: ``judge``, the key of a function in :data:`JUDGES`, and ``expect``, what this one compares with.
    """
    text = reply.body.decode("utf-8", "replace")
    if not reply.status:
        return f"no answer ({reply.error or 'unknown error'})"
    if reply.status != 200:
        return f"status {reply.status}{parts.beside(parts.message_of(text))}"
    if reply.error:
        return f"status 200, and then the answer broke off ({reply.error})"
    readable = Reply(200, reply.content_type, [(0.0, text.encode())])
    try:
        JUDGES[check["judge"]](readable, check.get("expect"))
    except parts.WrongError as error:
        return str(error)
    return ""


def times(one: Reply, whole: Reply) -> Times:
    """Return what the tokens of a streamed chat took.

    An engine that shares its processors with its API sends all tokens at once now and then, and engines may send
    several together anyway (``stream-interval``). So the first token is that of a chat of one token, and the time from
    one token to the next is what the whole chat took beyond it, divided by the tokens after the first.

    :param one: the answer to a streamed chat of one token.
    :param whole: the answer to the same chat with more.
    """
    total, pieces = 0, 0
    for event in parse_sse(whole.pieces):
        document = parts.parsed(event.data)
        total = max(total, parts.number(parts.get(document, "usage", "completion_tokens")) or 0)
        pieces += any(parts.words(found.get("delta")) for found in parts.dicts(document, "choices"))
    later = (total or pieces) - 1
    beyond = max(0.0, whole.seconds - one.seconds)
    return Times(one.seconds, beyond / later if later > 0 else None)
