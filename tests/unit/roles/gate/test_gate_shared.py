# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gate tells the store of limits and makes of its replies; tests/gate/test_shared.py has a real store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import gate_shared
import pytest
from gate_budgets import UNITS, Budget
from gate_limits import LimitReachedError, Limits, Side, Slot
from gate_shared import DIGEST, Shared, StoreAwayError

PATIENCE = 20.0
# The clock stands still, so that no minute and no day ends during a test.
NOW = 1_800_000_030.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_shared, "time", SimpleNamespace(time=lambda: NOW, monotonic=time.monotonic))


@dataclass(frozen=True)
class Some:
    """Limits of a key or of a model."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None


FREE = Some()
FIVE = Budget(Decimal(5), "day")


def sides(key: Some = FREE, budget: Budget | None = None, model: Some = FREE) -> list[Side]:
    return [Side("key", "k", key, budget), Side("model", "m", model)]


class Store:
    """Reads commands as a Valkey does, and replies by a table that a test changes: text, error, or nothing at all."""

    def __init__(self) -> None:
        self.acts: list[list[str]] = []
        self.told: list[list[str]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.said: dict[str, list[str | None]] = {}
        self.port = 0
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self.server
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                words = []
                for _number in range(int((await reader.readline())[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2].decode())
                reply = self.reply(words)
                if reply is not None:
                    writer.write(reply.encode() + b"\r\n")

    def reply(self, words: list[str]) -> str | None:
        self.told.append(words)
        if words[0] != "EVALSHA":
            left = self.said.get(words[0])
            return left.pop(0) if left else "+OK"
        assert words[1:3] == [DIGEST, "1"]
        act, given = words[4], words[6:]
        self.acts.append([act, *given])
        left = self.said.get(act)
        if left:
            return left.pop(0)
        if act == "spent":
            return f"+ok {NOW} " + " ".join("0" for _name in given for _per in range(3))
        return f"+ok {NOW} 1 0 1 0 1 0" if act in ("join", "restore", "admit") else "+ok"

    def of(self, act: str) -> list[list[str]]:
        """What was given to an act, each time."""
        return [given[1:] for given in self.acts if given[0] == act]


class Bench:
    """A store, and the counting of one gate in it."""

    def __init__(self, store: Store, shared: Shared, limits: Limits, ups: list[bool | None]) -> None:
        self.store, self.shared, self.limits, self.ups = store, shared, limits, ups

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                await asyncio.sleep(0.005)

    async def up(self) -> None:
        await self.until(lambda: self.ups and self.ups[-1])

    async def admitted(self, given: list[Side]) -> Slot:
        slot = self.shared.slot(given)
        await self.shared.admit(slot)
        return slot

    def requests(self) -> Counter[str]:
        return Counter({name: requests for name, requests, _tokens in self.limits.known(self.shared.now())})


@contextlib.asynccontextmanager
async def bench(
    *,
    closed: bool = False,
    away: bool = False,
    budgeted: tuple[str, ...] = (),
    said: dict[str, list[str | None]] | None = None,
) -> AsyncIterator[Bench]:
    store, limits, ups = Store(), Limits(), list[bool | None]()
    store.said |= said or {}
    await store.start()
    if away:
        await store.stop()
    shared = Shared(limits, ups.append)
    shared.budgeted = lambda: budgeted
    shared.configure(f"redis://127.0.0.1:{store.port}", "", closed)
    shared.begin()
    here = Bench(store, shared, limits, ups)
    try:
        if not away:
            await here.up()
        else:
            await shared.tried()
        yield here
    finally:
        await shared.close()
        await store.stop()


def run(scene: Callable[[Bench], Coroutine[Any, Any, None]], **given: Any) -> None:
    async def whole() -> None:
        async with bench(**given) as here:
            await scene(here)

    asyncio.run(whole())


def test_without_a_store_a_gate_counts_alone() -> None:
    async def scene() -> None:
        ups: list[bool | None] = []
        shared = Shared(Limits(), ups.append)
        shared.begin()
        await shared.tried()
        assert not shared.used
        assert ups == [None]
        slot = shared.slot(sides(Some(rpm=1)))
        await shared.admit(slot)
        with pytest.raises(LimitReachedError):
            await shared.admit(slot)
        shared.end(slot, 5)
        replies: list[object] = []
        shared.send(("PING",), replies.append)
        assert replies == [None]
        await shared.close()

    asyncio.run(scene())


def test_a_gate_joins_learns_what_others_used_and_leaves() -> None:
    async def scene(here: Bench) -> None:
        assert here.shared.used
        assert here.store.of("join")[0][0] == str(gate_shared.LEASE)
        here.store.said["admit"] = [f"+ok {NOW + 100} 7 30"]
        slot = await here.admitted(sides(Some(rpm=9, tpm=100)))
        assert here.store.of("admit") == [["0", "key/k", "9", "100", ""]]
        assert dict(here.requests())["key/k"] == 7
        # The clock is the store's.
        assert 50 < here.shared.now() - NOW < 150
        here.shared.end(slot, 12)
        await here.until(lambda: here.store.of("end"))
        assert here.store.of("end") == [["12", "0", "key/k", "t"]]
        await here.shared.close()
        assert here.store.acts[-1] == ["leave"]

    run(scene)


def test_a_request_without_limits_is_not_asked_for() -> None:
    async def scene(here: Bench) -> None:
        slot = await here.admitted(sides())
        here.shared.end(slot, 3)
        # What counts requests alone has nothing to say at its end.
        counted = await here.admitted(sides(Some(rpm=5)))
        here.shared.end(counted, 3)
        await here.admitted(sides(Some(rpm=5)))
        assert len(here.store.of("admit")) == 2
        assert here.store.of("end") == []

    run(scene)


@pytest.mark.parametrize(
    ("reply", "limit", "words"),
    [
        ("+rpm {now} 0", "rpm", "has had its 9 requests"),
        ("+tpm {now} 0", "tpm", "has had its 100 tokens"),
        ("+parallel {now} 0", "max_parallel_requests", "has its 2 requests at once"),
        ("+parallel {now} 2", "key_share", "share of 4 requests at once of the model m"),
        ("+budget {now} 0 6000000000", "budget_exceeded", "has spent 6 of its budget of 5"),
    ],
)
def test_a_refusal_of_the_store_says_which_limit(reply: str, limit: str, words: str) -> None:
    async def scene(here: Bench) -> None:
        key = Some(9, 100, None if limit == "key_share" else 2)
        here.store.said["admit"] = [reply.format(now=NOW)]
        with pytest.raises(LimitReachedError, match=words) as caught:
            await here.admitted(sides(key, FIVE, Some(max_parallel_requests=8) if limit == "key_share" else FREE))
        assert caught.value.limit == limit
        assert not here.requests()["key/k"]

    run(scene)


@pytest.mark.parametrize("lost", ["+unknown", "-NOSCRIPT No matching script."])
def test_a_store_that_lost_its_data_is_told_everything_anew(lost: str) -> None:
    async def scene(here: Bench) -> None:
        await here.admitted(sides(Some(rpm=9, max_parallel_requests=3)))
        here.store.said["admit"] = [lost]
        await here.admitted(sides(Some(rpm=9, max_parallel_requests=3)))
        joins = here.store.of("join")
        assert len(joins) == 2
        # One is held; name, requests and tokens that were counted, and those that are owed.
        assert joins[1][2:] == ["1", "key/k", "1", "key/k", "1", "0", "0", "0", "model/m", "1", "0", "0", "0"]
        assert here.requests()["key/k"] == 1
        assert [words[:2] for words in here.store.told].count(["SCRIPT", "LOAD"]) == 3

    run(scene)


def test_a_store_that_knows_nothing_again_and_again_is_not_asked_for_ever() -> None:
    async def scene(here: Bench) -> None:
        here.store.said["admit"] = ["+unknown"] * 50
        await here.admitted(sides(Some(rpm=9)))
        assert len(here.store.of("admit")) == gate_shared.TRIES
        assert here.requests()["key/k"] == 1

    run(scene)


def test_an_error_of_the_store_ends_the_connection_and_the_request_is_counted_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(here: Bench) -> None:
        here.store.said["admit"] = ["-ERR out of memory"]
        await here.admitted(sides(Some(rpm=9)))
        assert here.requests()["key/k"] == 1
        await here.until(lambda: len(here.store.of("join")) == 2)
        await here.up()
        # What was admitted meanwhile is owed: not counted there yet, and one to add.
        assert here.store.of("join")[1][3:8] == ["key/k", "0", "0", "1", "0"]

    run(scene)
    said = [record.getMessage() for record in caplog.records]
    assert "the store of limits refuses a command (ERR out of memory)" in said
    assert any("is away (the connection ended); each gate counts by itself" in line for line in said)
    assert any(line.endswith("is back") for line in said)


def test_what_was_admitted_while_the_store_was_away_is_added() -> None:
    async def scene(here: Bench) -> None:
        assert here.ups[-1] is False
        given = sides(Some(rpm=3, tpm=100, max_parallel_requests=9), FIVE)
        slots = [await here.admitted(given) for _number in range(3)]
        with pytest.raises(LimitReachedError, match="has had its 3 requests"):
            await here.admitted(given)
        here.shared.end(slots[0], 20, 2 * UNITS)
        await here.store.start()
        await here.up()
        await here.until(lambda: here.store.of("restore"))
        join = here.store.of("join")[0]
        assert join[2:] == ["1", "key/k", "2", "key/k", "0", "0", "3", "20", "model/m", "3", "20", "0", "0"]
        paid = here.store.of("restore")[0]
        assert paid[-7:] == ["key/k", "0", "0", "0", *[str(2 * UNITS)] * 3]

    run(scene, away=True)


def test_what_a_store_did_not_take_is_owed_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_shared, "PART", 1)

    async def scene(here: Bench) -> None:
        given = sides(Some(rpm=3), FIVE)
        here.shared.end(await here.admitted(given), 0, UNITS)
        here.store.said |= {"join": ["-ERR busy"], "restore": ["-ERR busy"] * 2}
        await here.store.start()
        await here.up()
        await here.until(lambda: here.store.of("restore")[-1:] and here.store.of("restore")[-1][-1] == str(UNITS))
        owed, taken = ["key/k", "0", "0", "1", "0"], ["key/k", "1", "0", "0", "0"]
        joins = [words[words.index("key/k") :][:5] for words in here.store.of("join")]
        # The second was taken and what followed it was not, so the third names what is counted there already.
        assert joins[:3] == [owed, owed, taken]

    run(scene, away=True, budgeted=("key/k", "key/other"))


def test_requests_are_refused_without_the_store_where_it_is_asked_for() -> None:
    async def scene(here: Bench) -> None:
        with pytest.raises(StoreAwayError):
            await here.admitted(sides(Some(rpm=9)))
        await here.admitted(sides())

    run(scene, away=True, closed=True)


def test_a_store_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_shared, "ANSWER", 0.2)

    async def scene(here: Bench) -> None:
        here.store.said["admit"] = [None]
        await here.admitted(sides(Some(rpm=9)))
        assert here.requests()["key/k"] == 1
        await here.until(lambda: False in here.ups[1:])
        await here.up()

    run(scene)


def test_the_lease_is_renewed_and_budgets_of_all_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_shared, "BEAT", 0.0)

    async def scene(here: Bench) -> None:
        here.store.said["spent"] = [f"+ok {NOW} {UNITS} {2 * UNITS} {3 * UNITS}"]
        await here.until(lambda: here.limits.spent.of("key/k", "week", here.shared.now()) == 2 * UNITS)
        await here.until(lambda: here.store.of("beat"))
        assert here.store.of("beat")[0] == [str(gate_shared.LEASE)]
        assert here.store.of("spent")[0] == ["key/k"]

    run(scene, budgeted=("key/k",))


def test_what_others_spent_is_learned_with_a_request() -> None:
    async def scene(here: Bench) -> None:
        here.store.said["admit"] = [f"+ok {NOW} 0 0 {4 * UNITS}"]
        slot = await here.admitted(sides(budget=FIVE))
        assert here.store.of("admit") == [["1", "0", "day", str(5 * UNITS), "key/k", "", "", ""]]
        assert here.limits.spent.of("key/k", "day", here.shared.now()) == 4 * UNITS
        here.shared.end(slot, 1, UNITS)
        await here.until(lambda: here.store.of("end"))
        assert here.store.of("end") == [["1", str(UNITS), "key/k", "b"]]

    run(scene)


def test_an_end_that_the_store_did_not_take_is_owed() -> None:
    async def scene(here: Bench) -> None:
        slot = await here.admitted(sides(Some(tpm=100), FIVE))
        here.store.said["end"] = ["-ERR busy"]
        here.shared.end(slot, 40, UNITS)
        await here.until(lambda: len(here.store.of("join")) == 2)
        join = here.store.of("join")[1]
        assert join[join.index("key/k") :][:5] == ["key/k", "1", "0", "0", "40"]
        await here.until(lambda: len(here.store.of("restore")) == 1)
        assert here.store.of("restore")[0][-3:] == [str(UNITS)] * 3

    run(scene)


def test_another_store_is_used_from_now_on() -> None:
    async def scene(here: Bench) -> None:
        other = Store()
        await other.start()
        url = f"redis://gate:word@127.0.0.1:{other.port}/2"
        here.shared.configure(url, "", False)
        # The same again changes nothing.
        here.shared.configure(url, "", True)
        await here.until(lambda: other.of("join"))
        assert other.told[:2] == [["AUTH", "gate", "word"], ["SELECT", "2"]]
        await here.until(lambda: here.store.of("leave"))
        await here.up()
        await here.admitted(sides(Some(rpm=9)))
        assert (len(other.of("admit")), here.store.of("admit")) == (1, [])
        here.shared.configure("", "", False)
        assert not here.shared.used
        await other.stop()

    run(scene)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"SCRIPT": ["-NOPERM no permission"]}, "is away (NOPERM no permission)"),
        ({"SCRIPT": ["+OK", "-OOM no memory"]}, "refuses the script (OOM no memory)"),
        ({"join": ["+unknown"]}, "is away (the store did not take this gate)"),
    ],
)
def test_a_store_that_does_not_take_the_gate_is_tried_again(
    caplog: pytest.LogCaptureFixture, said: dict[str, list[str | None]], words: str
) -> None:
    async def scene(here: Bench) -> None:
        assert not any(here.store.said.values())

    run(scene, said=said)
    assert any(words in record.getMessage() for record in caplog.records)


def test_a_client_that_leaves_while_the_store_is_asked_gives_its_place_back() -> None:
    async def scene(here: Bench) -> None:
        slot = here.shared.slot(sides(Some(max_parallel_requests=3)))
        asked = asyncio.create_task(here.shared.admit(slot))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await here.until(lambda: here.store.of("end"))
        assert here.store.of("end") == [["0", "0", "key/k", "p"]]

    run(scene)


def test_other_commands_go_through_the_same_connection() -> None:
    async def scene(here: Bench) -> None:
        replies: list[object] = []
        here.shared.send(("PING", "x"), replies.append)
        await here.until(lambda: replies)
        assert replies == ["OK"]

    run(scene)
