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
import dataclasses
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

from gate_limits import MINUTE, Limits, Minute, Row, Side, Slot
from gate_script import GATES, SCRIPT
from gate_store import Connection, Place, Reply, StoreError, connect, place

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


class StoreAwayError(Exception):
    """A request whose limits nobody can count now."""


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
        self._digest = ""
        # Done once the gate has joined; there is none while the store is away.
        self._joined: asyncio.Future[bool] | None = None
        self._tried = asyncio.Event()
        # The store's clock counts: this is how far it is ahead.
        self._ahead = 0.0
        # Of each count the requests in flight of this gate.
        self._held: Counter[str] = Counter()
        # What the store has not been told yet.
        self._requests, self._tokens = Minute(), Minute()
        self._ended = asyncio.Event()

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

    def now(self) -> float:
        """Seconds since the epoch, as the store's clock has them."""
        return time.time() + self._ahead

    async def admit(self, sides: Sequence[Side]) -> Slot:
        """Count a request, or raise LimitReachedError or StoreAwayError and count nothing."""
        rows = self.limits.rows(sides) if self._place else ()
        if not rows:
            return self.limits.admit(sides, self.now())
        for _number in range(TRIES):
            joined = self._joined
            if joined is None or not (joined.done() or await asyncio.shield(joined)):
                break
            words = await self._asked(rows, sides)
            if isinstance(words, Slot):
                return words
            if words and words[0] != "unknown":
                raise rows[int(words[2])].reached(words[0], float(words[1]))
        if self._closed:
            raise StoreAwayError
        slot = dataclasses.replace(self.limits.admit(sides, self.now()), rows=rows)
        requests = self._requests.counts(self.now())
        for row in rows:
            if row.rpm is not None:
                requests[row.name] += 1
        self._hold(rows, 1)
        return slot

    async def _asked(self, rows: tuple[Row, ...], sides: Sequence[Side]) -> Slot | list[str]:
        """The slot that the store gives, or its words; none if there was no reply."""
        future: asyncio.Future[Slot | list[str]] = asyncio.get_running_loop().create_future()

        def take(reply: Reply) -> None:
            words = self._read(reply)
            if words and words[0] == "ok":
                slot = self._take(rows, sides, words)
                if future.cancelled():
                    self.end(slot, 0)
                else:
                    future.set_result(slot)
            elif not future.cancelled():
                future.set_result(words)

        assert self._connection is not None
        given: list[str] = []
        for row in rows:
            given += (row.name, *("" if limit is None else str(limit) for limit in (row.rpm, row.tpm, row.parallel)))
        self._connection.send(self._words("admit", *given), take)
        try:
            return await future
        except asyncio.CancelledError:
            # The client left in the moment in which the reply came.
            if future.done() and not future.cancelled() and isinstance(slot := future.result(), Slot):
                self.end(slot, 0)
            raise

    def _take(self, rows: tuple[Row, ...], sides: Sequence[Side], words: list[str]) -> Slot:
        """Count here what was counted in the store, and learn what others have used."""
        self._ahead = float(words[1]) - time.time()
        now = self.now()
        slot = dataclasses.replace(self.limits.take(sides, now), rows=rows)
        for place_, row in enumerate(rows):
            requests, tokens = (int(word) for word in words[2 + place_ * 2 : 4 + place_ * 2])
            self.limits.learn(row.name, None if row.rpm is None else requests, None if row.tpm is None else tokens, now)
        self._hold(rows, 1)
        return slot

    def _hold(self, rows: tuple[Row, ...], number: int) -> None:
        for row in rows:
            if row.parallel is not None:
                self._held[row.name] += number
                if not self._held[row.name]:
                    del self._held[row.name]

    def end(self, slot: Slot, tokens: int) -> None:
        """Give back what a request held, and book its tokens."""
        self.limits.end(slot, tokens, self.now())
        if not slot.rows:
            return
        self._hold(slot.rows, -1)

        def take(reply: Reply) -> None:
            if self._read(reply)[:1] != ["ok"]:
                owed = self._tokens.counts(self.now())
                for row in slot.rows:
                    if row.tpm is not None:
                        owed[row.name] += tokens

        given: list[str] = []
        for row in slot.rows:
            what = ("t" if row.tpm is not None else "") + ("p" if row.parallel is not None else "")
            given += (row.name, what) if what else ()
        if self._connection is None or self._joined is None:
            take(None)
        else:
            self._connection.send(self._words("end", str(tokens), *given), take)

    def _words(self, act: str, *given: str) -> tuple[str, ...]:
        return ("EVALSHA", self._digest, "1", GATES, act, self.name, *given)

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
                self._digest = await connection.ask("SCRIPT", "LOAD", SCRIPT)
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
