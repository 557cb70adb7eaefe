# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the answers of a serving chain, and find the hop that failed.

Pure logic: every observation is handed in, nothing here opens a connection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line
from ansible_collections.llmfleet.serving.plugins.module_utils.text import excerpt as one_line

# A reply with fewer events proves nothing about buffering, because an engine may send a whole short answer at once.
FEW_EVENTS = 6
# Events that a proxy held back arrive within microseconds of each other; an engine needs longer for its tokens.
BUFFERED_SECONDS = 0.002
# A reply that is generated faster than this can arrive at once from a busy machine without any buffering.
TELLING_SECONDS = 0.25
EXCERPT_CHARACTERS = 240


class Event(NamedTuple):
    """One server-sent event and when its last byte arrived, in seconds after the request."""

    seconds: float
    data: str


@dataclass(frozen=True)
class Reply:
    """The reply to one HTTP request; status 0 means that there was no answer."""

    status: int = 0
    content_type: str = ""
    pieces: Sequence[tuple[float, bytes]] = ()
    seconds: float = 0.0
    retry_after: float = 0.0
    error: str = ""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(piece for _seconds, piece in self.pieces)

    def json(self) -> Any:
        """The body as a document, None where it is no JSON."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except ValueError:
            return None


@dataclass(frozen=True)
class Verdict:
    """The judgement of one check; `figures` are measurements worth returning."""

    ok: bool
    expected: str
    got: str
    figures: dict[str, float] = field(default_factory=dict)
    buffered: bool = False


@dataclass(frozen=True)
class Hop:
    """One process on the way of a request."""

    name: str
    host: str
    url: str
    remedy: str
    status: Sequence[int] = (200,)


@dataclass(frozen=True)
class Break:
    """The hop that failed, and the evidence."""

    hop: Hop
    reason: str

    @property
    def cause(self) -> str:
        """The hop, its host and what is wrong with it."""
        return f"{self.hop.name} on {self.hop.host} {self.reason}"


def excerpt(body: bytes) -> str:
    """The beginning of a body on one line."""
    return one_line(body[: EXCERPT_CHARACTERS * 4].decode("utf-8", "replace"), EXCERPT_CHARACTERS)


def _message_of(document: Any) -> str:
    """The message of an error in OpenAI's format."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return excerpt(message.encode()) if isinstance(message, str) else ""


def describe(reply: Reply) -> str:
    """One reply in words."""
    if not reply.status:
        return f"no answer ({reply.error or 'unknown error'})"
    words = f"status {reply.status}"
    if reply.pieces:
        words += f" with {_message_of(reply.json()) or excerpt(reply.body) or 'white space'}"
    if reply.error:
        words += f" ({reply.error})"
    return words


def parse_sse(pieces: Sequence[tuple[float, bytes]]) -> list[Event]:
    """Server-sent events of a body that arrived in pieces, each with the arrival of the piece that completed it."""
    events: list[Event] = []
    rest = b""
    for seconds, piece in pieces:
        # A pair of CR LF may be cut between two pieces, so line ends are normalised on the whole rest.
        rest = (rest + piece).replace(b"\r\n", b"\n")
        *blocks, rest = rest.split(b"\n\n")
        for block in blocks:
            data = [
                line[5:].strip() for line in block.decode("utf-8", "replace").split("\n") if line.startswith("data:")
            ]
            if data:
                events.append(Event(seconds, "\n".join(data)))
    return events


def _text_of(message: Any) -> str:
    """Return the content of a message or a delta, including reasoning and tool calls."""
    if not isinstance(message, dict):
        return ""
    for key in ("content", "reasoning_content", "reasoning"):
        if isinstance(message.get(key), str) and message[key]:
            return str(message[key])
    return json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""


def _choices(document: Any, key: str) -> str:
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list):
        return ""
    return "".join(_text_of(choice.get(key)) for choice in choices if isinstance(choice, dict))


def _entries(document: Any, key: str) -> list[dict[str, Any]]:
    entries = document.get(key) if isinstance(document, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def judge_models(reply: Reply, models: Sequence[str]) -> Verdict:
    """Check that the list of models names every model of the fleet."""
    expected = f"status 200 and the models {', '.join(models)}"
    listed = {str(entry.get("id")) for entry in _entries(reply.json(), "data")}
    missing = [model for model in models if model not in listed]
    if reply.status != 200 or reply.error or not listed:
        return Verdict(False, expected, describe(reply))
    if missing:
        return Verdict(False, expected, f"a list without {', '.join(missing)}")
    return Verdict(True, expected, f"{len(listed)} models")


def judge_completion(reply: Reply) -> Verdict:
    """Check that a chat completion has content."""
    expected = "status 200 and a reply that is not empty"
    text = _choices(reply.json(), "message")
    if reply.status != 200 or reply.error or not text:
        return Verdict(False, expected, describe(reply))
    return Verdict(True, expected, f"{len(text)} characters", {"seconds": reply.seconds})


def judge_embedding(reply: Reply) -> Verdict:
    """Check that an embedding is a list of numbers."""
    expected = "status 200 and an embedding that is not empty"
    vectors = [entry.get("embedding") for entry in _entries(reply.json(), "data")]
    if reply.status != 200 or reply.error or not vectors or not vectors[0]:
        return Verdict(False, expected, describe(reply))
    return Verdict(True, expected, f"{len(vectors[0])} numbers", {"seconds": reply.seconds})


def judge_stream(reply: Reply, one_token: float = 0.0) -> Verdict:
    """Check that a streamed completion arrives while it is generated, and ends with [DONE].

    `one_token` is how long a reply of one token takes; what the first event takes beyond it, it was held back.
    """
    expected = "status 200 and server-sent events that arrive one after another and end with [DONE]"
    if reply.status != 200 or reply.error:
        return Verdict(False, expected, describe(reply))
    events = parse_sse(reply.pieces)
    chunks: list[Event] = []
    text = ""
    for event in events:
        if event.data == "[DONE]":
            continue
        try:
            document = json.loads(event.data)
        except ValueError:
            return Verdict(False, expected, f"an event that is not JSON: {excerpt(event.data.encode())}")
        if isinstance(document, dict) and document.get("error"):
            return Verdict(False, expected, f"an error in the stream: {excerpt(event.data.encode())}")
        text += _choices(document, "delta")
        chunks.append(event)
    if not events:
        return Verdict(False, expected, describe(reply))
    if events[-1].data != "[DONE]":
        return Verdict(False, expected, f"{len(events)} events and no [DONE]")
    if not text:
        return Verdict(False, expected, f"{len(events)} events without a word in them")
    if len(chunks) < 2:
        return Verdict(False, expected, "the whole reply in one event")
    spread = chunks[-1].seconds - chunks[0].seconds
    figures = {"chunks": float(len(chunks)), "spread": spread, "first_chunk": chunks[0].seconds}
    words = f"{len(chunks)} events over {spread:.3f} s, the first after {chunks[0].seconds:.3f} s"
    held = chunks[0].seconds - one_token
    if len(chunks) >= FEW_EVENTS and spread < BUFFERED_SECONDS and held > TELLING_SECONDS:
        return Verdict(False, expected, f"{words}: something on the way holds the stream back", figures, True)
    return Verdict(True, expected, words, figures)


def judge_refusal(reply: Reply) -> Verdict:
    """Check that a request without a valid key is refused in OpenAI's format, so that clients raise their own error."""
    expected = "status 401 and a JSON body with error.message"
    document = reply.json()
    error = document.get("error") if isinstance(document, dict) else None
    shaped = isinstance(error, dict) and bool(error.get("message")) and "json" in reply.content_type
    if reply.status != 401 or not shaped:
        return Verdict(False, expected, describe(reply))
    return Verdict(True, expected, "status 401")


def judge_closed(reply: Reply) -> Verdict:
    """Check that an internal path is not served to the outside."""
    expected = "status 404"
    return Verdict(reply.status == 404, expected, expected if reply.status == 404 else describe(reply))


def judge_page(reply: Reply) -> Verdict:
    """Check that the chat page is HTML."""
    expected = "status 200 and an HTML page"
    if reply.status != 200 or reply.error or "html" not in reply.content_type or b"<html" not in reply.body.lower():
        return Verdict(False, expected, describe(reply))
    return Verdict(True, expected, f"{len(reply.body)} bytes", {"seconds": reply.seconds})


def judge_targets(reply: Reply, jobs: Sequence[str], away: Sequence[str] = ()) -> Verdict:
    """Check that Prometheus reaches each of its targets, and has targets for each job that the fleet needs.

    :param away: addresses of hosts that may be off.
    """
    expected = "each target up" + (f", with targets for {', '.join(jobs)}" if jobs else "")
    document = reply.json()
    data = document.get("data") if isinstance(document, dict) else None
    if reply.status != 200 or not isinstance(data, dict):
        return Verdict(False, expected, describe(reply))
    targets = _entries(data, "activeTargets")
    found = {str((target.get("labels") or {}).get("job")) for target in targets}
    problems = [f"no target for job {job}" for job in jobs if job not in found]
    for target in targets:
        if target.get("health") != "up" and urlsplit(str(target.get("scrapeUrl"))).hostname not in away:
            job = (target.get("labels") or {}).get("job")
            why = target.get("lastError") or "not scraped yet"
            problems.append(f"{job} at {target.get('scrapeUrl')} is {target.get('health')} ({why})")
    if not targets and not problems:
        problems = ["no target at all"]
    if problems:
        return Verdict(False, expected, "; ".join(problems))
    return Verdict(True, expected, f"{len(targets)} targets up")


def judge_hop(hop: Hop, reply: Reply) -> Break | None:
    """Check that a hop's own health probe answers as expected."""
    if not reply.status:
        return Break(hop, f"does not answer at {hop.url} ({reply.error or 'unknown error'})")
    if reply.status not in hop.status:
        return Break(hop, f"answers {describe(reply)} at {hop.url}")
    return None


def explain(host: str, check: str, url: str, verdict: Verdict, broken: Break | None, healthy: Sequence[str]) -> str:
    """Return the message about a chain that does not work: host, check, evidence, cause, remedy.

    :param host: the inventory's name of the host that asked.
    """
    cause, remedy = "no hop behind it has a health probe", f"see the log of the service at {url}"
    if broken is not None:
        cause, remedy = f"the hop that broke: {broken.cause}", broken.hop.remedy
    elif healthy:
        every = f"every hop answers its own health probe ({', '.join(healthy)})"
        cause, remedy = f"{every}, so what joins them is wrong", f"see the log of {healthy[-1]}"
    evidence = f"expected {verdict.expected}, got {verdict.got}"
    return line(host, f"check `{check}` of {url}", evidence, cause, remedy)
