# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that calls vLLM's benchmark: points become command lines, and results lose what may not be kept."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from load_file import load_file

PROGRAMS = Path(__file__).resolve().parents[4] / "roles" / "vllm" / "files" / "programs"
KEY = "sk-benchmark-0123456789"
REQUEST = {
    "base_url": "https://llm.example",
    "model": "chat",
    "tokenizer": "/models/chat",
    "tokenizer_mode": "auto",
    "input_len": 64,
    "output_len": 8,
    "api_key": KEY,
    "seed": 7,
    "seconds": 60,
}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(PROGRAMS)
    return load_file(PROGRAMS / "bench_serve.py")


KNOWN = {"one": {"p50_e2el_ms": 500.0, "completed": 4}, "full": {"completed": 9, "request_throughput": 4.0}}


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"at_once": 8, "requests": 100}, {"requests": 100}),
        # An answer takes half a second alone, and about three times as long at full load.
        ({"at_once": 8, "requests": 100, "seconds": 12}, {"requests": 64}),
        ({"at_once": 8, "requests": 100, "seconds": 1}, {"requests": 24}),
        ({"at_once": 80, "requests": 100, "seconds": 1}, {"requests": 100}),
        ({"at_once": 1, "requests": 100, "seconds": 1}, {"requests": 4}),
        ({"rate": 2.0, "seconds": 10, "requests": 100}, {"requests": 20}),
        ({"rate": 50.0, "seconds": 10, "requests": 100}, {"requests": 100}),
        ({"rate": 0.1, "seconds": 10, "requests": 100}, {"requests": 4}),
        ({"share": 0.5, "seconds": 10, "requests": 100}, {"rate": 2.0, "requests": 20}),
    ],
)
def test_a_point_gets_its_rate_and_requests(program: ModuleType, point: Any, expected: Any) -> None:
    assert program.resolved(point, KNOWN) == {**point, **expected}


@pytest.mark.parametrize("known", [{}, {"full": {"completed": 0, "request_throughput": 0.0}}])
def test_a_share_of_nothing_is_refused(program: ModuleType, known: Any) -> None:
    with pytest.raises(ValueError, match="no request was answered at full load"):
        program.resolved({"share": 0.5, "seconds": 10, "requests": 100}, known)


def test_a_command_line_has_no_key_and_another_seed_at_each_point(program: ModuleType) -> None:
    first = program.arguments(REQUEST, {"at_once": 8, "requests": 24}, 0)
    second = program.arguments(REQUEST, {"rate": 2.5, "requests": 25, "input_len": 1900}, 1)
    assert "--max-concurrency=8" in first
    assert not any(word.startswith("--request-rate") for word in first)
    assert {"--request-rate=2.5", "--num-prompts=25", "--random-input-len=1900", "--seed=8"} <= set(second)
    assert KEY not in " ".join(first + second)


def test_a_result_has_kinds_of_errors_and_no_answers(program: ModuleType) -> None:
    trace = f"Traceback:\n  line 1\nServerError: key {KEY} is wrong"
    said = {"completed": 1, "errors": ["", trace, trace, "Gone"], "generated_texts": ["x"], "ttfts": [0.1]}
    found = program.told(said, {"requests": 4}, KEY)
    assert found == {
        "completed": 1,
        "requests": 4,
        "errors": [{"error": "ServerError: key *** is wrong", "requests": 2}, {"error": "Gone", "requests": 1}],
    }


def test_every_name_means_the_address_of_the_door(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_args, **_options: asked.append(host))
    program.connect_to("10.0.0.9")
    socket.getaddrinfo("llm.example", 443)
    assert asked == ["10.0.0.9"]


class Serve(ModuleType):
    """Stands in for vllm.benchmarks.serve."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__("serve")
        self.results = results

    def add_cli_args(self, parser: Any) -> None:
        self.parser = parser

    async def main_async(self, _args: Any) -> Any:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        if result == "hang":
            await asyncio.sleep(60)
        return result


class Parser:
    def parse_args(self, words: list[str]) -> list[str]:
        return words


def measured(program: ModuleType, monkeypatch: pytest.MonkeyPatch, results: list[Any], **more: Any) -> list[Any]:
    utils = ModuleType("vllm.utils.argparse_utils")
    utils.FlexibleArgumentParser = Parser  # type: ignore[attr-defined]
    benchmarks = ModuleType("vllm.benchmarks")
    benchmarks.serve = Serve(results)  # type: ignore[attr-defined]
    for name, module in (("vllm", ModuleType("vllm")), ("vllm.benchmarks", benchmarks), (utils.__name__, utils)):
        monkeypatch.setitem(sys.modules, name, module)
    points = [
        {"name": "full", "at_once": 8, "requests": 24},
        {"name": "50%", "share": 0.5, "requests": 100, "seconds": 2},
        {"name": "context", "at_once": 1, "requests": 1},
    ]
    said: list[Any] = []
    asyncio.run(program.measure({**REQUEST, "points": points, **more}, said.append))
    assert KEY not in json.dumps(said)
    return said


GOOD = {"completed": 24, "request_throughput": 10.0, "errors": []}


def test_rates_are_shares_of_full_load(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = measured(program, monkeypatch, [GOOD, GOOD, GOOD])
    assert [(one["name"], one.get("rate")) for one in said] == [("full", None), ("50%", 5.0), ("context", None)]


def test_a_point_that_fails_is_told_and_the_others_follow(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = measured(program, monkeypatch, [GOOD, RuntimeError(f"no {KEY}"), GOOD])
    assert [one["name"] for one in said] == ["full", "50%", "context"]
    assert said[1]["error"] == "RuntimeError: no ***"


def test_without_full_load_there_is_no_sweep(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(measured(program, monkeypatch, [RuntimeError("refused"), GOOD, GOOD])) == 1


def test_time_that_is_over_ends_it(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = measured(program, monkeypatch, [GOOD, "hang", GOOD], seconds=0.2)
    assert [one["name"] for one in said] == ["full", "50%"]
    assert "not done" in said[1]["error"]
