# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two gates with one store count as one, and go on while the store is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from gate_process import CHAT, Gate, said
from gate_shared import ANSWER, LEASE
from limit_store import PASSWORD, LimitStore, shared_out, up
from patience import Watch, within

Start = Callable[..., Gate]
PARALLEL = {"name": "chat", "max_parallel_requests": 8}


@pytest.fixture
def pair(start: Start, store: LimitStore) -> Callable[..., list[Gate]]:
    """Start two gates that share the store and have the same keys."""

    def begin(keys: dict[str, dict[str, Any]], **settings: Any) -> list[Gate]:
        gates = [start(stopped=True, store_url_file=str(store.url_file), **settings) for _number in range(2)]
        for gate in gates:
            for alias, fields in keys.items():
                gate.key(alias, **fields)
            gate.start()
            within(5, lambda gate=gate: up(gate), "the gate has joined")
        return gates

    return begin


def fresh_minute(seconds: float = 10.0) -> None:
    """Wait until a minute of the clock has at least so many seconds left."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left + 0.1)


async def load(gates: list[Gate], alias: str, seconds: float) -> list[tuple[float, int]]:
    """Eight clients that ask all the time: when each answer came, and its status."""
    found: list[tuple[float, int]] = []
    headers = {"Authorization": f"Bearer {gates[0].key_of(alias)}"}
    began = time.monotonic()

    async def client(session: aiohttp.ClientSession, gate: Gate) -> None:
        while time.monotonic() < began + seconds:
            async with session.post(f"http://127.0.0.1:{gate.port}{CHAT}", json=said("delay=0.02")) as answer:
                await answer.read()
                found.append((time.monotonic() - began, answer.status))

    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(20)) as session:
        await asyncio.gather(*[client(session, gates[number % len(gates)]) for number in range(8)])
    return found


def test_requests_of_a_minute_are_exact_over_two_gates(pair: Callable[..., list[Gate]]) -> None:
    gates = pair({"small": {"rpm": 60}})
    fresh_minute()
    assert shared_out(gates, 100, "hi", "small") == {200: 60, 429: 40}
    for gate in gates:
        answer = gate.chat("hi", gate.key_of("small"))
        assert "The API key small has had its 60 requests of this minute." in answer.json()["error"]["message"]
        assert abs(int(answer.headers["retry-after"]) - (60 - time.time() % 60)) < 2


def test_tokens_exceed_their_limit_by_those_of_requests_in_flight_at_most(pair: Callable[..., list[Gate]]) -> None:
    gates = pair({"small": {"tpm": 100}, "busy": {"tpm": 320}})
    fresh_minute()
    # 8 and 24 tokens each: the fifth request finds 128.
    statuses = [gates[number % 2].chat("tokens=24", gates[0].key_of("small")).status for number in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    at_once = 8
    passed = sum(shared_out(gates, at_once, "tokens=24 delay=0.05", "busy")[200] for _round in range(6))
    assert passed * 32 < 320 + at_once * 32


def test_requests_at_once_are_exact_over_two_gates(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"max_parallel_requests": 5}, "sharing": {}}, models=[PARALLEL])
    for _round in range(3):
        assert shared_out(gates, 20, "delay=1", "own") == {200: 5, 429: 15}
        # A key without a limit has half of the model's, on both gates together.
        assert shared_out(gates, 20, "delay=1", "sharing") == {200: 4, 429: 16}
    for gate in gates:
        within(2, lambda gate=gate: gate.in_flight() == 0, "the slots come back")
    within(2, lambda: store.says("KEYS", "llmfleet:gate:*") == "*0", "the store knows that they came back")


def test_clients_that_leave_give_their_slots_back(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"max_parallel_requests": 40}})
    for wait in (0.0, 0.001, 0.002, 0.1) * 5:
        for gate in gates:
            connection = gate.open(said("tokens=1000 rate=20", stream=True), gate.key_of("own"))
            time.sleep(wait)
            connection.close()
    within(3, lambda: store.says("KEYS", "llmfleet:gate:*") == "*0", "every slot comes back")


def test_what_a_killed_gate_held_is_free_after_its_lease(pair: Callable[..., list[Gate]]) -> None:
    gates = pair({"own": {"max_parallel_requests": 4}})
    key = gates[0].key_of("own")
    with contextlib.ExitStack() as held:
        for _number in range(4):
            held.enter_context(gates[0].open(said("fail=hang"), key))
        within(2, lambda: gates[0].in_flight() == 4, "the key's slots are held")
        assert gates[1].chat("hi", key).status == 429
        gates[0].end()
        assert gates[1].chat("hi", key).status == 429
        within(LEASE + 1, lambda: gates[1].chat("hi", key).status == 200, "the lease is over")
    assert shared_out([gates[1]], 10, "delay=1", "own") == {200: 4, 429: 6}


def test_a_gate_that_ends_in_order_leaves_nothing(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({})
    assert store.says("ZCARD", "llmfleet:gates") == "2"
    process = gates[0].process
    assert process
    process.terminate()
    process.wait()
    assert store.says("ZCARD", "llmfleet:gates") == "1"


@pytest.mark.parametrize("end", ["stop", "end"])
def test_no_request_fails_while_the_store_is_away(pair: Callable[..., list[Gate]], store: LimitStore, end: str) -> None:
    gates = pair({"own": {"max_parallel_requests": 100, "rpm": 10**6, "tpm": 10**6}, "small": {"rpm": 10}})
    key = gates[0].key_of("small")
    fresh_minute(20)
    assert shared_out(gates, 8, "hi", "small") == {200: 8}
    # A gate knows the counts of its last request.
    assert gates[0].chat("hi", key).status == 200

    async def run() -> list[tuple[float, int]]:
        asking = asyncio.create_task(load(gates, "own", 5))
        await asyncio.sleep(1)
        await asyncio.to_thread(getattr(store, end))
        await asyncio.sleep(1)
        assert not await asyncio.to_thread(up, gates[0])
        alone = [await asyncio.to_thread(gates[0].chat, "hi", key) for _number in range(3)]
        assert [answer.status for answer in alone] == [200, 429, 429]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(store.start)
        return await asking

    found = asyncio.run(run())
    assert Counter(status for _at, status in found) == {200: len(found)}
    within(3, lambda: all(map(up, gates)), "both are back")
    # What was admitted meanwhile counts, for the other gate too.
    assert gates[1].chat("hi", key).status == 429
    within(3, lambda: store.says("KEYS", "llmfleet:gate:*") == "*0", "no slot is left")


def test_requests_with_a_limit_are_refused_without_the_store_where_it_is_asked_for(
    pair: Callable[..., list[Gate]], store: LimitStore
) -> None:
    gates = pair({"own": {"rpm": 10**6}, "free": {}}, without_store="closed")
    own, free = gates[0].key_of("own"), gates[0].key_of("free")
    store.stop()
    within(2, lambda: gates[0].chat("hi", own).status == 503, "requests are refused")
    answer = gates[0].chat("hi", own)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "limits_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert gates[0].chat("hi", free).status == 200
    store.start()
    within(3, lambda: gates[0].chat("hi", own).status == 200, "requests are admitted")


def test_a_store_that_hangs_costs_one_wait(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"rpm": 10**6}})
    own = gates[0].key_of("own")
    assert store.process
    store.process.send_signal(19)
    try:
        watch = Watch()
        assert gates[0].chat("hi", own).status == 200
        assert watch.seconds() < ANSWER + 1
        watch = Watch()
        assert [gates[0].chat("hi", own).status for _number in range(10)] == [200] * 10
        assert watch.seconds() < 1
    finally:
        store.process.send_signal(18)
    within(8, lambda: up(gates[0]), "it is used again")


@pytest.mark.parametrize("wipe", [("FLUSHALL",), ("SCRIPT", "FLUSH")])
def test_counts_go_on_after_the_store_has_lost_its_data(
    pair: Callable[..., list[Gate]], store: LimitStore, wipe: tuple[str, ...]
) -> None:
    gates = pair({"small": {"rpm": 20}, "own": {"max_parallel_requests": 6}})
    fresh_minute()
    assert shared_out(gates, 10, "hi", "small") == {200: 10}
    key = gates[0].key_of("own")
    with contextlib.ExitStack() as held:
        for gate in gates:
            for _number in range(2):
                held.enter_context(gate.open(said("fail=hang"), key))
            within(2, lambda gate=gate: gate.in_flight() == 2, "two are in flight")
        assert store.says(*wipe) == "OK"
        # Both gates have to notice it, which their next words do.
        assert [gate.chat("hi", gate.key_of("small")).status for gate in gates] == [200, 200]
        assert shared_out(gates, 10, "delay=1", "own") == {200: 2, 429: 8}
    passed = shared_out(gates, 20, "hi", "small")[200]
    assert 8 <= passed <= 9


def test_the_url_is_printed_nowhere(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"rpm": 5}})
    store.stop()
    within(2, lambda: not up(gates[0]), "the store is away")
    store.url_file.write_text(f"nonsense://{PASSWORD}")
    gates[0].reload()
    within(2, lambda: "cannot be used" in gates[0].printed(), "the new URL is refused")
    for gate in gates:
        assert PASSWORD not in gate.printed()


def test_the_exporter_reads_statistics_and_no_key(store: LimitStore) -> None:
    exporter = f"exporter {PASSWORD}"
    assert store.says("INFO", user=exporter).startswith("$")
    assert store.says("CONFIG", "GET", "maxmemory", user=exporter).startswith("*")
    for words in (
        ["GET", "llmfleet:x"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["EVALSHA", "x", "0"],
        ["CONFIG", "SET", "port", "1"],
        ["ACL", "LIST"],
    ):
        assert store.says(*words, user=exporter).startswith("-NOPERM")


def test_a_store_is_given_and_taken_while_requests_are_in_flight(start: Start, store: LimitStore) -> None:
    gate = start(models=[PARALLEL])
    key = gate.key("own", max_parallel_requests=3)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    assert "limit_store_up" not in gate.get("/metrics", gate.key("scraper", scope="metrics")).body.decode()
    with gate.open(said("fail=hang"), key):
        within(2, lambda: gate.in_flight() == 1, "one is in flight")
        gate.settings["store_url_file"] = str(store.url_file)
        gate.reload()
        within(3, lambda: up(gate), "the store is used")
        with gate.open(said("fail=hang"), key):
            within(2, lambda: gate.in_flight() == 2, "two are in flight")
            assert store.says("KEYS", "llmfleet:gate:*") == "*1"
            gate.settings["store_url_file"] = ""
            gate.reload()
            within(3, lambda: store.says("KEYS", "llmfleet:gate:*") == "*0", "it has left")
            with gate.open(said("fail=hang"), key):
                within(2, lambda: gate.in_flight() == 3, "three are in flight")
                assert gate.chat("hi", key).status == 429
    within(3, lambda: gate.in_flight() == 0, "all come back")
    assert shared_out([gate], 6, "delay=1", "own") == {200: 3, 429: 3}
