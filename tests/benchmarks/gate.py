#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate adds to a request, and what one client's attack costs another, all against the same stub.

    gate.py [--rounds 3] [NAME ...]

`added`: latencies of requests that come at a fixed rate, from the moment at which each is due, with and without the
gate. `long`: prompts of 200 KB, one at a time. `store`: what limits over several gates cost, as a gate that counts in a
Valkey or Redis on this machine takes turns with one that counts alone: requests per second, and CPU time of the gate.
`killed`: SIGKILL at 300 requests a second. `bystander`: the 95th percentile of one client whose answers take the engine
50 ms, alone and while each attack runs. Rounds alternate; the medians of the rounds count. Attacks run in a process of
their own. On a machine that does other work too, run it with `chrt --rr 5`, or latencies say how busy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import gate_attacks as attacks  # noqa: E402
import uvloop  # noqa: E402
from gate_process import CHAT, ENGINE_KEY, Gate, Stub, said, stub_running  # noqa: E402
from gateway import answer  # noqa: E402
from limit_store import LimitStore  # noqa: E402
from patience import within  # noqa: E402

CONNECTIONS = 64
SECONDS = 4.0
MODELS: dict[str, Any] = {"models": [{"name": "chat", "context": 8192, "max_parallel_requests": 1000}]}
LIMITS = {"rpm": 10**6, "tpm": 10**9, "max_parallel_requests": 500}


def request(key: str, path: str, body: object) -> bytes:
    """The bytes of a request."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: benchmark\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def open_loop(port: int, data: bytes, rate: float, seconds: float) -> list[float]:
    """Latencies of requests that are due at a fixed rate, whatever became of those before."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _number in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))
    latencies: list[float] = []

    async def ask(due: float) -> None:
        reader, writer = await free.get()
        with contextlib.suppress(OSError, EOFError):
            writer.write(data)
            status, _text = await answer(reader)
            assert status == 200, status
            latencies.append(time.perf_counter() - due)
            free.put_nowait((reader, writer))

    tasks: list[asyncio.Task[None]] = []
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(due)))
    await asyncio.wait(tasks, timeout=10)
    for task in tasks:
        task.cancel()
    while not free.empty():
        free.get_nowait()[1].close()
    return latencies


async def closed_loop(port: int, data: bytes, number: int, at_once: int, pause: float = 0.0) -> list[float]:
    """Latencies of requests one after the other on each of some connections."""
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for _request in range(number // at_once):
            started = time.perf_counter()
            writer.write(data)
            status, text = await answer(reader)
            assert status == 200, text
            latencies.append(time.perf_counter() - started)
            await asyncio.sleep(pause)
        writer.close()

    await asyncio.gather(*[client() for _number in range(at_once)])
    return latencies


def percentile(latencies: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * part))] * 1000


def compare(title: str, rounds: int, parts: tuple[float, ...], run: Callable[[bool], Any]) -> None:
    """Measure the stub alone and behind the gate in turn, and print what the gate adds."""
    found: list[tuple[list[float], list[float]]] = []
    for number in range(rounds + 1):
        pair = [
            [percentile(latencies, part) for part in parts]
            for latencies in (uvloop.run(run(False)), uvloop.run(run(True)))
        ]
        if number:
            found.append((pair[0], pair[1]))
    for index, part in enumerate(parts):
        direct, through = (statistics.median(pair[side][index] for pair in found) for side in (0, 1))
        added = statistics.median(pair[1][index] - pair[0][index] for pair in found)
        print(f"{title}, p{part * 100:.0f}: direct {direct:.2f} ms, gate {through:.2f} ms, added {added:.2f} ms")


def added(gate: Gate, stub: Stub, rounds: int) -> None:
    for rate in (100, 300, 1000):

        def run(through: bool, rate: float = rate) -> Any:
            return open_loop(*target(gate, stub, through, said("tokens=16")), rate, SECONDS)

        compare(f"{rate} requests/s", rounds, (0.5, 0.99), run)


def long(gate: Gate, stub: Stub, rounds: int) -> None:
    def run(through: bool) -> Any:
        return closed_loop(*target(gate, stub, through, said("x" * 200_000 + " tokens=16")), 60, 1)

    compare("prompts of 200 KB", rounds, (0.5, 0.95), run)


def target(gate: Gate, stub: Stub, through: bool, body: object) -> tuple[int, bytes]:
    """Port and bytes of a request, through the gate or to the stub itself."""
    port = gate.port if through else stub.port
    return port, request(gate.key_of("team") if through else ENGINE_KEY, CHAT, body)


# Requests of a round, at once, and what they ask for.
STORE_LOADS = {
    "short requests, 16 at once": (800, 16, said("tokens=16")),
    "streams of 200 tokens, 8 at once": (64, 8, said("tokens=200", stream=True)),
}


def cpu_seconds(gate: Gate) -> float:
    """CPU time of the gate's threads, in the scheduler's nanoseconds."""
    assert gate.process
    threads = Path(f"/proc/{gate.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def store(gate: Gate, stub: Stub, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        limits = LimitStore(Path(folder)).start()
        second = Gate(Path(folder), stub.port, **MODELS, store_url_file=str(limits.url_file))
        second.key("team", **LIMITS)
        second.start()
        try:
            within(5, lambda: second.metric("llmfleet_gate_limit_store_up") == 1, "the gate has joined")
            for title, (number, at_once, body) in STORE_LOADS.items():
                beside(title, gate, second, number, at_once, request(gate.key_of("team"), CHAT, body), rounds)
        finally:
            second.end()
            limits.end()


def beside(title: str, alone: Gate, with_store: Gate, number: int, at_once: int, data: bytes, rounds: int) -> None:
    """Give two gates the same load in turn, and print what they reach. The first round warms them up."""
    found: dict[str, list[list[float]]] = {"requests per second": [], "CPU time per request, us": []}
    for round_ in range(rounds + 1):
        rates, costs = [], []
        for gate in (alone, with_store):
            before, started = cpu_seconds(gate), time.perf_counter()
            uvloop.run(closed_loop(gate.port, data, number, at_once))
            rates.append(number / (time.perf_counter() - started))
            costs.append((cpu_seconds(gate) - before) / number * 1e6)
        if round_:
            found["requests per second"].append([*rates, rates[1] / rates[0]])
            found["CPU time per request, us"].append([*costs, costs[0] / costs[1]])
    for what, pairs in found.items():
        first, then, ratio = (statistics.median(pair[place] for pair in pairs) for place in range(3))
        print(f"{title}, {what}: alone {first:.0f}, with the store {then:.0f}, ratio {ratio:.2f}")


def killed(gate: Gate, stub: Stub, _rounds: int) -> None:
    before, already = stub.counts()["requests"], len(gate.log())

    async def run() -> int:
        task = asyncio.create_task(open_loop(*target(gate, stub, True, said("tokens=16 delay=0.05")), 300, 3.0))
        await asyncio.sleep(2.0)
        gate.end()
        return len(await task)

    answered = uvloop.run(run())
    seen, booked = stub.counts()["requests"] - before, len(gate.log()) - already
    print(f"SIGKILL at 300 requests/s: {seen} reached the stub, {answered} were answered, {booked} are booked")
    gate.start()


@contextlib.contextmanager
def attacking(attack: Callable[..., None], gate: Gate) -> Iterator[None]:
    process = multiprocessing.get_context("fork").Process(target=attack, args=(gate.port, gate.key_of("attacker")))
    process.start()
    try:
        time.sleep(1.5)
        yield
        assert process.is_alive(), attack.__name__
    finally:
        process.kill()
        process.join()


def bystander(gate: Gate, stub: Stub, rounds: int) -> None:
    data = target(gate, stub, True, said("tokens=16 delay=0.05"))

    def p95() -> float:
        return percentile(uvloop.run(closed_loop(*data, 60, 1, 0.01)), 0.95)

    found: dict[str, list[float]] = {attack.__name__: [] for attack in attacks.ATTACKS}
    idle: list[float] = []
    for _round in range(rounds):
        idle.append(p95())
        for attack in attacks.ATTACKS:
            with attacking(attack, gate):
                found[attack.__name__].append(p95() / idle[-1])
    print(f"bystander alone, p95: {statistics.median(idle):.1f} ms")
    for name, ratios in found.items():
        print(f"bystander during {name}: {statistics.median(ratios):.2f} of that (worst round {max(ratios):.2f})")


MEASUREMENTS = {function.__name__: function for function in (added, long, store, killed, bystander)}


def main() -> int:
    parser = argparse.ArgumentParser(description="what the gate adds, and what a client's attack costs another")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("names", nargs="*", default=[*MEASUREMENTS], metavar="NAME", help=", ".join(MEASUREMENTS))
    options = parser.parse_args()
    with stub_running() as stub, tempfile.TemporaryDirectory() as folder:
        gate = Gate(Path(folder), stub.port, **MODELS)
        for alias in ("team", "attacker"):
            gate.key(alias, **LIMITS)
        gate.start()
        try:
            for name in options.names:
                MEASUREMENTS[name](gate, stub, options.rounds)
            print(f"memory: {gate.memory() / 1e6:.0f} MB")
        finally:
            gate.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
