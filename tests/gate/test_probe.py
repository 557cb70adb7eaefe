# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small JSON answers that the gate requests by itself: a jammed compiler of grammars is noticed, and nobody is hurt."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from gate_process import ENGINE_KEY, Gate, Stub, free_port, stub_running
from patience import within

Start = Callable[..., Gate]
MODELS = [{"name": "chat", "replicas": ["0", "1"]}, {"name": "vectors"}]
QUICK = {"models": MODELS, "probe_interval": 0.2, "probe_timeout": 0.3}


@pytest.fixture(name="engine")
def engine_of_its_own() -> Iterator[Stub]:
    with stub_running() as running:
        yield running


@pytest.fixture(name="probing")
def probing_gate(start: Start, engine: Stub) -> Gate:
    return start(engines_url=f"http://127.0.0.1:{engine.port}/engines", **QUICK)


def probe(gate: Gate, name: str, replica: str = "0") -> float:
    return gate.metric(f"llmfleet_gate_probe_{name}", model="chat", replica=replica)


def told(gate: Gate) -> str:
    return gate.get("/metrics", gate.key_of("scraper")).body.decode()


def test_replicas_that_answer(probing: Gate, engine: Stub) -> None:
    for replica in ("0", "1"):
        within(5, lambda number=replica: probe(probing, "success", number) == 1, "it has answered")
        assert probe(probing, "jammed", replica) == 0
        assert 0 < probe(probing, "duration_seconds", replica) < 0.3
        assert abs(probe(probing, "last_success_timestamp_seconds", replica) - time.time()) < 5
    assert 'probe_success{model="vectors"' not in told(probing)
    path, headers, body = engine.last()
    assert path in (f"/engines/chat/replicas/{number}/v1/chat/completions" for number in "01")
    assert headers["authorization"] == f"Bearer {ENGINE_KEY}"
    assert json.loads(body)["response_format"]["type"] == "json_schema"


def test_a_probe_is_nobodys_usage(probing: Gate) -> None:
    within(5, lambda: probe(probing, "success") == 1, "it has answered")
    assert probing.log() == []
    assert [line for line in told(probing).splitlines() if line.startswith("llmfleet_gate_requests_total{")] == []
    assert [line for line in told(probing).splitlines() if line.startswith("llmfleet_gate_tokens_total{")] == []


def test_a_jam_is_noticed_and_is_not_made_worse(probing: Gate, engine: Stub) -> None:
    within(5, lambda: probe(probing, "success") == probe(probing, "success", "1") == 1, "both have answered")
    engine.ask("GET", "/stub/jam")
    within(5, lambda: probe(probing, "jammed") == probe(probing, "jammed", "1") == 1, "JSON hangs, plain answers come")
    assert probe(probing, "success") == 0
    assert probing.chat("hi").status == 200
    before = engine.counts()
    time.sleep(1.5)
    after = engine.counts()
    assert after["structured"] == before["structured"], "the last one is still under way"
    assert after["requests"] > before["requests"], "plain ones go on"
    assert after["hangups"] == before["hangups"]
    engine.ask("GET", "/stub/ease")
    within(5, lambda: probe(probing, "jammed") == 0 and probe(probing, "success") == 1, "it is over")


def test_an_engine_that_cannot_be_reached_is_not_jammed(start: Start) -> None:
    gate = start(engines_url=f"http://127.0.0.1:{free_port()}", **QUICK)
    within(5, lambda: probe(gate, "duration_seconds") > 0, "it was asked")
    assert probe(gate, "success") == 0
    assert probe(gate, "jammed") == 0
    assert probe(gate, "last_success_timestamp_seconds") == 0


def test_an_engine_that_answers_nothing_is_not_jammed(start: Start) -> None:
    # The gate asks itself with a key that it does not know: an answer, but not of a model.
    gate = start(**QUICK)
    gate.settings["engines_url"] = f"http://127.0.0.1:{gate.port}"
    gate.reload()
    within(5, lambda: probe(gate, "duration_seconds") > 0 and probe(gate, "success") == 0, "it is no answer")
    assert probe(gate, "jammed") == 0


def test_a_reload_begins_and_ends_it(probing: Gate, engine: Stub) -> None:
    within(5, lambda: probe(probing, "success", "1") == 1, "both are asked")
    probing.settings["models"] = [{"name": "chat", "replicas": ["0"]}]
    probing.reload()
    within(5, lambda: 'replica="1"' not in told(probing), "one is left")
    assert probe(probing, "success") == 1
    probing.settings["probe_interval"] = 0
    probing.reload()
    within(5, lambda: "probe_success{" not in told(probing), "none is asked")
    before = engine.counts()["requests"]
    time.sleep(0.6)
    assert engine.counts()["requests"] == before
    probing.settings["probe_interval"] = 0.2
    probing.reload()
    within(5, lambda: probe(probing, "success") == 1, "it is asked again")
