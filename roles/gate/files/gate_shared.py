# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that all gates of a fleet count together, in a Valkey or Redis that they share; without one, each by itself.

One script admits a request, in one round trip; its end is told without waiting. Each gate has a lease there, so what it
holds is free again soon after it was killed. While the store is away, a gate goes on counting by itself from the counts
that it knew last, or refuses requests that have a limit; what it admitted meanwhile is added when the store is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gate_budgets import PERIODS, Spent
from gate_limits import MINUTE, Limits, Minute, Row, Side, Slot
from gate_script import GATES, SCRIPT
from gate_store import Connection, Place, Reply, StoreError, command, connect, encoded, place

LOG = logging.getLogger("gate.limits")
# Seconds after which what a gate holds is free again if it says nothing, and between two of its words.
LEASE = 10.0
BEAT = 2.5
# Seconds that the store has for a reply, and for a connection.
ANSWER = 1.0
CONNECT = 3.0
# Seconds between two tries to connect, at first and at most.
PAUSE = (0.1, 1.0)
# Seconds after which a request may come back that was refused because the store is away.
AWAY = 2
TRIES = 4
# Budgets that one command is about, so that none takes the store long.
PART = 200
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class StoreAwayError(Exception):
    """A request whose limits nobody can count now."""


@dataclass(frozen=True, eq=False)
class SharedSlot(Slot):
    """A slot that all gates count together: the bytes of its commands, which are the same for each request."""

    admit: bytes
    # Before and behind the numbers of tokens and of units; empty if the store counts nothing at its end.
    end: tuple[bytes, bytes]
    # Those of its rows that have a budget, with its period.
    budgets: tuple[tuple[str, str], ...]


class Shared:
    """Counts in the store, if there is one, and in this process."""

    def __init__(self, limits: Limits, tell: Callable[[bool | None], None]) -> None:
        """`tell` is told whether the store answers, and None where there is no store."""
        self.limits = limits
        self.name = uuid.uuid4().hex
        self._tell = tell
        self._given = ("", "")
        self._place: Place | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        # Done once the gate has joined; there is none while the store is away.
        self._joined: asyncio.Future[bool] | None = None
        self._tried = asyncio.Event()
        # The store's clock counts: this is how far it is ahead.
        self._ahead = 0.0
        # Of each count the requests in flight of this gate.
        self._held: Counter[str] = Counter()
        # What the store has not been told yet.
        self._requests, self._tokens, self._costs = Minute(), Minute(), Spent()
        self._ended = asyncio.Event()
        # Names of the counts that have a budget now.
        self.budgeted: Callable[[], Iterable[str]] = tuple

    def configure(self, url: str, ca_file: str, closed: bool) -> None:
        """Count in this store from now on; an empty URL is none. `closed` refuses requests while it is away."""
        self._closed = closed
        if (url, ca_file) == self._given:
            return
        self._place = place(url) if url else None
        self._given = (url, ca_file)
        if self._task is not None:
            if self._connection is not None:
                self._connection.send(self._words("leave"), lambda _reply: None)
                self._connection.finish()
                self._connection = None
            self._task.cancel()
            self._task = None
            self.begin()

    def begin(self) -> None:
        """Begin to use the store; the loop runs now."""
        self._tried.clear()
        self._tell(None if self._place is None else False)
        self._task = asyncio.create_task(self._run(self._place) if self._place else self._nothing())

    async def _nothing(self) -> None:
        self._tried.set()

    async def tried(self) -> None:
        """Wait until the store was asked once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT):
                await self._tried.wait()

    async def close(self) -> None:
        """Leave the store."""
        if self._connection is not None and self._joined is not None:
            with contextlib.suppress(OSError, StoreError, TimeoutError):
                async with asyncio.timeout(ANSWER):
                    await self._connection.ask(*self._words("leave"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def used(self) -> bool:
        """Whether there is a store at all."""
        return self._place is not None

    def now(self) -> float:
        """Seconds since the epoch, as the store's clock has them."""
        return time.time() + self._ahead

    def send(self, words: tuple[str, ...], take: Callable[[Reply], None]) -> None:
        """Send the store a command that has nothing to do with counts; while it is away the reply is None."""
        if self._connection is None:
            take(None)
        else:
            self._connection.send(words, take)

    def slot(self, sides: Sequence[Side]) -> Slot:
        """For whom requests of these sides count while settings, keys and store stay as they are."""
        slot = self.limits.slot(sides)
        if self._place is None or not slot.rows:
            return slot
        budgets = [(str(number), row, row.budget) for number, row in enumerate(slot.rows) if row.budget]
        asked = [str(len(budgets))]
        for number, _row, budget in budgets:
            asked += (number, budget.per, str(budget.units))
        ended: list[str] = []
        for row in slot.rows:
            asked += (row.name, *("" if limit is None else str(limit) for limit in (row.rpm, row.tpm, row.parallel)))
            what = ("t" if row.tpm is not None else "") + ("p" if row.parallel is not None else "")
            what += "b" if row.budget else ""
            ended += (row.name, what) if what else ()
        # The numbers of tokens and units are two more words.
        begin = b"*%d\r\n%b" % (len(self._words("end", *ended)) + 2, encoded(*self._words("end")))
        end = (begin, encoded(*ended)) if ended else (b"", b"")
        paid = tuple((row.name, budget.per) for _number, row, budget in budgets)
        return SharedSlot(**vars(slot), admit=command(*self._words("admit", *asked)), end=end, budgets=paid)

    async def admit(self, slot: Slot) -> None:
        """Count a request, or raise LimitReachedError or StoreAwayError and count nothing."""
        if not isinstance(slot, SharedSlot):
            self.limits.admit(slot, self.now())
            return
        for _number in range(TRIES):
            joined = self._joined
            if joined is None or not (joined.done() or await asyncio.shield(joined)):
                break
            words = await self._asked(slot)
            if words and words[0] == "ok":
                return
            if words and words[0] != "unknown":
                spent = int(words[3]) if words[3:] else 0
                raise slot.rows[int(words[2])].reached(words[0], float(words[1]), spent)
        if self._closed:
            raise StoreAwayError
        self.limits.admit(slot, self.now())
        requests = self._requests.counts(self.now())
        for row in slot.rows:
            if row.rpm is not None:
                requests[row.name] += 1
        self._hold(slot.rows, 1)

    async def _asked(self, slot: SharedSlot) -> list[str]:
        """What the store says; nothing if there was no reply. With "ok" the request is counted here, too."""
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

        def take(reply: Reply) -> None:
            words = self._read(reply)
            admitted = words and words[0] == "ok"
            if admitted:
                self._take(slot, words)
            if not future.cancelled():
                future.set_result(words)
            elif admitted:
                self.end(slot, 0)

        assert self._connection is not None
        self._connection.write(slot.admit, take)
        try:
            return await future
        except asyncio.CancelledError:
            # The client left in the moment in which the reply came.
            if future.done() and not future.cancelled() and future.result()[:1] == ["ok"]:
                self.end(slot, 0)
            raise

    def _take(self, slot: SharedSlot, words: list[str]) -> None:
        """Count here what was counted in the store, and learn what others have used."""
        clock = float(words[1])
        self._ahead = clock - time.time()
        self.limits.take(slot, clock)
        learn = self.limits.learn
        for place_, row in enumerate(slot.rows, 1):
            if row.rpm is not None or row.tpm is not None:
                requests, tokens = int(words[place_ * 2]), int(words[place_ * 2 + 1])
                learn(row.name, None if row.rpm is None else requests, None if row.tpm is None else tokens, clock)
        for place_, (name, per) in enumerate(slot.budgets, 2 + len(slot.rows) * 2):
            self.limits.spent.learn(name, per, int(words[place_]), clock)
        self._hold(slot.rows, 1)

    def _hold(self, rows: tuple[Row, ...], number: int) -> None:
        for row in rows:
            if row.parallel is not None:
                self._held[row.name] += number
                if not self._held[row.name]:
                    del self._held[row.name]

    def end(self, slot: Slot, tokens: int, cost: int = 0) -> None:
        """Give back what a request held, and book its tokens and its cost in units."""
        self.limits.end(slot, tokens, self.now(), cost)
        if not isinstance(slot, SharedSlot):
            return
        self._hold(slot.rows, -1)
        if not slot.end[0]:
            return

        def take(reply: Reply) -> None:
            if reply != "ok" and self._read(reply)[:1] != ["ok"]:
                owed = self._tokens.counts(self.now())
                for row in slot.rows:
                    if row.tpm is not None:
                        owed[row.name] += tokens
                self._costs.add([name for name, _per in slot.budgets], cost, self.now())

        if self._connection is None or self._joined is None:
            take(None)
        else:
            self._connection.write(slot.end[0] + encoded(str(tokens), str(cost)) + slot.end[1], take)

    def _words(self, act: str, *given: str) -> tuple[str, ...]:
        return ("EVALSHA", DIGEST, "1", GATES, act, self.name, *given)

    def _read(self, reply: Reply) -> list[str]:
        """The words of a reply. A store that has lost its data is told everything anew, and one that fails is left."""
        lost = reply == "unknown" or (isinstance(reply, StoreError) and str(reply).startswith("NOSCRIPT"))
        if lost:
            if self._joined is not None and self._joined.done():
                self._join()
            return ["unknown"]
        if isinstance(reply, str):
            return reply.split()
        if isinstance(reply, StoreError) and self._connection is not None:
            LOG.error("the store of limits refuses a command (%s)", str(reply)[:200])
            self._connection.end()
        return []

    def _join(self) -> None:
        """Give the store the script, and what this gate holds and knows."""
        assert self._connection is not None
        joined = self._joined = asyncio.get_running_loop().create_future()
        now = self.now()
        # What is owed is that of this minute alone: limits of an earlier one are over.
        owed = (Counter(self._requests.counts(now)), Counter(self._tokens.counts(now)))
        self._requests, self._tokens = Minute(), Minute()

        def take(reply: Reply) -> None:
            words = self._read_join(reply)
            if words:
                self._ahead = float(words[1]) - time.time()
            else:
                for counts, kept in zip(owed, (self._requests, self._tokens)):
                    kept.counts(now).update(counts)
            if not joined.done():
                joined.set_result(bool(words))

        self._connection.send(("SCRIPT", "LOAD", SCRIPT), self._loaded)
        given = [str(LEASE), str(int(now // MINUTE)), str(len(self._held))]
        for name, count in self._held.items():
            given += (name, str(count))
        for name, requests, tokens in self.limits.known(now):
            paid = (requests - owed[0][name], tokens - owed[1][name], owed[0][name], owed[1][name])
            given += (name, *(str(max(0, count)) for count in paid))
        self._connection.send(self._words("join", *given), take)
        self._restore()

    def _restore(self) -> None:
        """Give the store what this gate knows of budgets, which it has lost if it has less."""
        assert self._connection is not None
        now = self.now()
        owed, self._costs = self._costs.known(now), Spent()
        known, nothing = self.limits.spent.known(now), (0,) * len(PERIODS)
        names = sorted({*known.keys() & set(self.budgeted()), *owed})
        for begin in range(0, len(names), PART):
            part = names[begin : begin + PART]

            def take(reply: Reply, part: Sequence[str] = tuple(part)) -> None:
                if not self._read_join(reply):
                    for name in part:
                        self._costs.owe(name, owed.get(name, nothing), self.now())

            given = self.limits.spent.dates(now)
            for name in part:
                due = owed.get(name, nothing)
                paid = (max(0, count - owing) for count, owing in zip(known.get(name, nothing), due))
                given += (name, *map(str, paid), *map(str, due))
            self._connection.send(self._words("restore", *given), take)
        self._learn()

    def _learn(self) -> None:
        """Ask what was spent of all budgets, for metrics and for the time in which the store is away."""
        assert self._connection is not None
        names = sorted(self.budgeted())
        for begin in range(0, len(names), PART):
            part = names[begin : begin + PART]

            def take(reply: Reply, part: Sequence[str] = tuple(part)) -> None:
                words = self._read(reply)
                if words[:1] == ["ok"]:
                    counts = iter(words[2:])
                    for name in part:
                        for per in PERIODS:
                            self.limits.spent.learn(name, per, int(next(counts)), float(words[1]))

            self._connection.send(self._words("spent", *part), take)

    def _loaded(self, reply: Reply) -> None:
        if isinstance(reply, StoreError) and self._connection is not None:
            LOG.error("the store of limits refuses the script (%s)", str(reply)[:200])
            self._connection.end()

    def _read_join(self, reply: Reply) -> list[str]:
        if isinstance(reply, str) and reply.startswith("ok "):
            return reply.split()
        if self._connection is not None:
            self._connection.end()
        return []

    async def _run(self, where: Place) -> None:
        """Keep a connection for as long as there is this store."""
        pause, said = PAUSE[0], ""
        while True:
            problem = "the connection ended"
            try:
                await self._meet(where)
                if said:
                    LOG.warning("the store of limits at %s:%d is back", where.host, where.port)
                pause, said = PAUSE[0], ""
                await self._keep()
            except (OSError, StoreError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            finally:
                self._part()
            if not said:
                then = "requests with a limit are refused" if self._closed else "each gate counts by itself"
                LOG.warning("the store of limits at %s:%d is away (%s); %s", where.host, where.port, problem, then)
                said = problem
            await asyncio.sleep(pause)
            pause = min(PAUSE[1], pause * 2)

    async def _meet(self, where: Place) -> None:
        """Connect, log in and join."""
        ended = self._ended = asyncio.Event()
        async with asyncio.timeout(CONNECT):
            connection = await connect(where, self._given[1], ended.set)
            try:
                await connection.ask("SCRIPT", "LOAD", SCRIPT)
            except BaseException:
                connection.end()
                raise
            self._connection = connection
            self._join()
            assert self._joined is not None
            if not await asyncio.shield(self._joined):
                raise ConnectionError("the store did not take this gate")
        self._tell(True)
        self._tried.set()

    async def _keep(self) -> None:
        """Renew the lease until the connection ends, and end it where replies are late."""
        connection, ended = self._connection, self._ended
        assert connection is not None
        renewed = time.monotonic()
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER / 10):
                    await ended.wait()
            if connection.waited() > ANSWER:
                # This process may have been late itself: what has come by now is read first.
                await asyncio.sleep(0.05)
                if connection.waited() > ANSWER + 0.05:
                    raise TimeoutError(f"no reply within {ANSWER:g} s")
            if time.monotonic() - renewed > BEAT:
                renewed = time.monotonic()
                connection.send(self._words("beat", str(LEASE)), self._beaten)
                self._learn()

    def _beaten(self, reply: Reply) -> None:
        self._read(reply)

    def _part(self) -> None:
        """Count here alone from now on."""
        connection, self._connection = self._connection, None
        joined, self._joined = self._joined, None
        if connection is not None:
            connection.end()
        if joined is not None and not joined.done():
            joined.set_result(False)
        self._tell(False if self._place else None)
        self._tried.set()
