# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is booked is what the backend counted: over thousands of mixed requests, and when the gate is killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from gate_process import CHAT, COMPLETIONS, Gate, Stub, said

Start = Callable[..., Gate]
REQUESTS = 3000


def one_of(choice: random.Random) -> tuple[str, dict[str, Any]]:
    """A request of any kind that is answered whole."""
    tokens, n, stream = choice.randint(1, 40), choice.choice((1, 1, 2, 5)), choice.random() < 0.5
    words = f"tokens={tokens} interval={choice.choice((1, 3))}"
    fields: dict[str, Any] = {"stream": True} if stream else {}
    kind = choice.randrange(9)
    if stream and kind < 5:
        fields["stream_options"] = {"include_usage": choice.random() < 0.5, "continuous_usage_stats": kind == 1}
    if kind < 4:
        return CHAT, said(words, n=n, model=choice.choice(("chat", "gpt-4o", "far")), **fields)
    if kind == 4:
        return COMPLETIONS, {"model": "chat", "prompt": [words, "b", "c"][: choice.randint(1, 3)], "n": n, **fields}
    if kind == 5:
        return "/v1/messages", said(words, max_tokens=50, **fields)
    if kind == 6:
        return "/v1/responses", {"model": "chat", "input": words, **fields}
    if kind == 7:
        return "/v1/embeddings", {"model": "chat", "input": ["a"] * choice.randint(1, 20)}
    return "/v1/score", {"model": "chat", "text_1": "a", "text_2": ["b", "c"]}


async def load(gate: Gate, requests: list[tuple[str, dict[str, Any]]], at_once: int) -> int:
    """Send them, and return how many were answered whole."""
    waiting = iter(requests)
    headers = {"Authorization": f"Bearer {gate.key_of('team')}"}
    whole = 0

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal whole
        for path, body in waiting:
            try:
                async with session.post(f"http://127.0.0.1:{gate.port}{path}", json=body) as answer:
                    await answer.read()
                    assert answer.status == 200, (path, body, await answer.text())
                    whole += 1
            except aiohttp.ClientError:
                return

    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*[client(session) for _number in range(at_once)])
    return whole


def booked(gate: Gate) -> tuple[int, int, int]:
    entries = gate.log()
    prompt, completion = (sum(entry[f"{kind}_tokens"] for entry in entries) for kind in ("prompt", "completion"))
    return len(entries), prompt, completion


def counted(stub: Stub, before: dict[str, int]) -> tuple[int, int, int]:
    after = stub.counts()
    first, second, third = (after[name] - before[name] for name in ("requests", "prompt_tokens", "completion_tokens"))
    return first, second, third


def test_what_is_booked_is_what_the_backend_counted(start: Start, stub: Stub) -> None:
    gate = start(models=[{"name": "chat", "aliases": ["gpt-4o"]}, {"name": "far", "translated": True}], max_prompts=64)
    choice = random.Random(9)
    before = stub.counts()
    assert asyncio.run(load(gate, [one_of(choice) for _number in range(REQUESTS)], 32)) == REQUESTS
    assert booked(gate) == counted(stub, before)
    for number, kind in ((1, "prompt"), (2, "completion")):
        assert gate.metric("llmfleet_gate_tokens_total", type=kind) == booked(gate)[number]
    assert gate.metric("llmfleet_gate_requests_total", status="200") == REQUESTS
    assert {entry["usage_known"] for entry in gate.log()} == {True}


# The last event of a stream; a client may leave once it has it.
LAST_EVENT = {
    CHAT: b"data: [DONE]\n\n",
    "/v1/messages": b"event: message_stop\n",
    "/v1/responses": b"response.completed",
}


async def until_killed(gate: Gate, at_once: int, answers: int) -> set[str]:
    """Load until the gate is killed after a number of answers; return the ids of those whose whole answer has come."""
    whole: set[str] = set()
    headers = {"Authorization": f"Bearer {gate.key_of('team')}"}

    async def client(session: aiohttp.ClientSession, name: int) -> None:
        for number in itertools.count():
            path = (CHAT, CHAT, "/v1/messages", "/v1/responses")[number % 4]
            text = {"input": "tokens=5"} if path == "/v1/responses" else said("tokens=5", max_tokens=50)
            identifier, stream = f"client-{name}-{number}", number % 8 > 1
            body = {"model": "chat", **text, "stream": stream}
            received = b""
            try:
                async with session.post(
                    f"http://127.0.0.1:{gate.port}{path}", json=body, headers={"X-Request-Id": identifier}
                ) as answer:
                    assert answer.status == 200
                    async for piece in answer.content.iter_any():
                        received += piece
                        if stream and LAST_EVENT[path] in received:
                            whole.add(identifier)
                    assert not stream or identifier in whole, received
                    whole.add(identifier)
            except aiohttp.ClientError:
                return

    async with aiohttp.ClientSession(headers=headers) as session:
        clients = [asyncio.create_task(client(session, name)) for name in range(at_once)]
        while len(whole) < answers:
            await asyncio.sleep(0.01)
            assert not any(one.done() for one in clients)
        gate.end()
        await asyncio.gather(*clients)
    return whole


def test_a_kill_loses_the_lines_of_those_alone_whose_answer_is_not_whole(start: Start, stub: Stub) -> None:
    gate = start()
    at_once = 16
    for _round in range(3):
        assert gate.chat("hi").status == 200
        before, already = stub.counts(), booked(gate)
        whole = asyncio.run(until_killed(gate, at_once, 300))
        # Each line is whole (all were read), and nothing is booked twice.
        lines = [entry["request_id"] for entry in gate.log()[already[0] :]]
        assert whole <= {*lines}
        assert len({*lines}) == len(lines)
        seen, seen_prompt, seen_completion = counted(stub, before)
        number, prompt, completion = (after - old for after, old in zip(booked(gate), already))
        assert seen - at_once <= number <= seen
        assert seen_prompt - at_once * 8 <= prompt <= seen_prompt
        assert seen_completion - at_once * 5 <= completion <= seen_completion
        gate.start()


@pytest.mark.parametrize(
    ("path", "words", "stream", "end"),
    [
        (CHAT, "tokens=5", False, b"}"),
        # Too long to be sent in one piece.
        (CHAT, "tokens=80000", False, b"\r\n0\r\n\r\n"),
        (CHAT, "tokens=5", True, LAST_EVENT[CHAT]),
        ("/v1/messages", "tokens=5", True, LAST_EVENT["/v1/messages"]),
        ("/v1/responses", "tokens=5", True, LAST_EVENT["/v1/responses"]),
    ],
)
def test_the_line_is_written_before_the_last_of_an_answer(
    start: Start, tmp_path: Path, path: str, words: str, stream: bool, end: bytes
) -> None:
    # The log is a pipe that is full, so the gate stands still where it writes the line.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    gate = start(usage_log=str(pipe))
    filler = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(filler, b"\n"):
            pass
    text = {"input": words} if path == "/v1/responses" else said(words, max_tokens=50)
    with gate.open({"model": "chat", **text, "stream": stream}, path=path) as connection:
        connection.settimeout(0.5)
        received = b""
        with contextlib.suppress(TimeoutError):
            while piece := connection.recv(1 << 20):
                received += piece
        assert end not in received
        connection.settimeout(5)
        assert not os.read(reader, 1 << 20).strip()
        while end not in received:
            received += connection.recv(1 << 20)
        assert json.loads(os.read(reader, 1 << 20))["path"] == path
    for descriptor in (reader, filler):
        os.close(descriptor)
