# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks each replica for a small JSON answer, to notice a compiler of grammars that is jammed.

An engine compiles schemas in a few threads that all requests share. When none of them is free, JSON answers hang, while
health, metrics and plain answers are as ever: only asking shows it. A replica without a JSON answer in time is asked
for a plain one; if that comes, the compiler is what hangs.

No key and no limit counts these requests. A replica has at most one of each kind: an engine goes on compiling for a
request that was given up, so a late one is kept open and no other is sent until it ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import orjson
from gate_metrics import Metrics
from gate_servers import Server
from gate_settings import Settings

# An answer that was begun shows that its grammar is there; the rest would only cost time.
MOST_TOKENS = 8


class Replica(NamedTuple):
    """One engine of a model."""

    model: str
    number: str


def replicas(settings: Settings) -> list[Replica]:
    """The engines that are asked: those of models that generate text."""
    if not settings.probe_interval:
        return []
    return [Replica(model.name, number) for model in settings.models for number in model.replicas]


def body(model: str, schema_number: int | None) -> bytes:
    """A small request; with a number for a JSON answer, of a new schema each time, for engines remember grammars."""
    fields: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "Say ok."}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    if schema_number is not None:
        schema = {
            "type": "object",
            "properties": {"ok": {"const": schema_number}},
            "required": ["ok"],
            "additionalProperties": False,
        }
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "probe", "schema": schema}}
    return orjson.dumps(fields)


class Prober:
    """Asks every replica at an interval, each in a task of its own."""

    def __init__(self, metrics: Metrics) -> None:
        self._engine_key, self._metrics = "", metrics
        self._engines = Server("", keep=False)
        self._running: dict[Replica, asyncio.Task[None]] = {}
        # Requests under way, by replica and whether they ask for JSON.
        self._asked: dict[tuple[Replica, bool], asyncio.Task[bool]] = {}
        self._number = int(time.time())
        self._interval = 0.0

    def configure(self, settings: Settings, engine_key: str) -> None:
        """Ask these replicas with this key from now on, and forget others."""
        self._engine_key = engine_key
        wanted = replicas(settings)
        # Nobody waits for the end of an interval that does not hold any more.
        kept = set(wanted) if settings.probe_interval == self._interval else set()
        self._settings, self._interval = settings, settings.probe_interval
        # A probe is rare: no connection waits for the next one.
        self._engines = Server(settings.engines_url, keep=False)
        for replica in set(self._running) - kept:
            self._running.pop(replica).cancel()
            for key in [key for key in self._asked if key[0] == replica]:
                self._asked.pop(key).cancel()
            self._metrics.forget_probe(*replica)
        for place, replica in enumerate(wanted):
            if replica not in self._running:
                # Not all at once.
                delay = settings.probe_interval * (place + 1) / (len(wanted) + 1)
                self._running[replica] = asyncio.create_task(self._run(replica, delay))

    async def close(self) -> None:
        """Ask no more."""
        tasks = [*self._running.values(), *self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, replica: Replica, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            began = time.monotonic()
            await self._probe(replica)
            await asyncio.sleep(max(0.0, began + self._settings.probe_interval - time.monotonic()))

    async def _probe(self, replica: Replica) -> None:
        """Ask one replica, and tell the metrics."""
        began = time.monotonic()
        success, late = await self._answers(replica, json=True)
        seconds = time.monotonic() - began
        # What fails at once, such as an engine without schemas or one that restarts, is no jam.
        plain, _late = await self._answers(replica, json=False) if late else (False, False)
        self._metrics.probed(*replica, success=success, seconds=seconds, jammed=late and plain)

    async def _answers(self, replica: Replica, json: bool) -> tuple[bool, bool]:
        """Whether it answers in time, and whether it has not answered at all yet."""
        key = (replica, json)
        earlier = self._asked.get(key)
        if earlier is not None and not earlier.done():
            return False, True
        task = self._asked[key] = asyncio.create_task(self._send(replica, json))
        done, _pending = await asyncio.wait({task}, timeout=self._settings.probe_timeout)
        return (task.result(), False) if done else (False, True)

    async def _send(self, replica: Replica, json: bool) -> bool:
        """One request, and whether its answer is good."""
        self._number += 1
        path = f"/{replica.model}/replicas/{replica.number}/v1/chat/completions"
        headers = {"authorization": f"Bearer {self._engine_key}", "content-type": "application/json"}
        server = self._engines
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                answer = await server.post(path, headers, body(replica.model, self._number if json else None))
                try:
                    return good(answer.status, await answer.content.read())
                finally:
                    server.done(answer)
        except Exception:  # noqa: BLE001
            # Whatever it is, the replica is asked again.
            return False


def good(status: int, content: bytes) -> bool:
    """Whether a reply is the answer of a model."""
    if status != 200:
        return False
    try:
        value = orjson.loads(content)
    except ValueError:
        return False
    return isinstance(value, dict) and bool(value.get("choices"))
