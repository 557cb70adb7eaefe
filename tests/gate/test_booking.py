# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is booked is what the backend counted: over thousands of mixed requests, and when the gate is killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aiohttp
from gate_process import CHAT, COMPLETIONS, Gate, Stub, said, within

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


def test_a_kill_loses_what_is_in_flight_and_nothing_else(start: Start, stub: Stub) -> None:
    gate = start()
    assert gate.chat("hi").status == 200
    before, already = stub.counts(), booked(gate)
    at_once, answered = 16, 0
    requests = [(CHAT, said("tokens=5", stream=number % 2 == 0)) for number in range(20_000)]

    async def run() -> None:
        nonlocal answered
        task = asyncio.create_task(load(gate, requests, at_once))
        await asyncio.sleep(1.5)
        gate.end()
        answered = await task

    asyncio.run(run())
    within(5, lambda: counted(stub, before)[0] > 100, "there was load")
    number, prompt, completion = (after - old for after, old in zip(booked(gate), already))
    seen, seen_prompt, seen_completion = counted(stub, before)
    # Each line is whole (all were read), and nothing is booked twice. An answer may arrive before its line is written.
    assert answered - at_once <= number <= seen
    assert seen - number <= at_once
    assert seen_prompt - prompt <= at_once * 8
    assert seen_completion - completion <= at_once * 5
    gate.start()
    assert gate.chat("hi").status == 200
