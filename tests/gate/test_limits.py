# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits hold exactly, refusals say when to come back, and every slot comes back whatever ends a request."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from gate_process import CHAT, COMPLETIONS, Gate, Stub, free_port, in_one_minute, many, refused, said
from patience import within

Start = Callable[..., Gate]


def test_requests_of_a_minute(start: Start, stub: Stub) -> None:
    gate = start(models=[{"name": "chat", "rpm": 20}, {"name": "guide"}])
    key = gate.key("small", rpm=7)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    in_one_minute()
    before = stub.counts()["requests"]
    assert many(gate, 30, said("hi", model="guide"), key) == {200: 7, 429: 23}
    assert stub.counts()["requests"] - before == 7
    left = 60 - time.time() % 60
    assert abs(refused(gate.chat("hi", key), "rpm") - left) < 2
    answer = gate.post("/v1/messages", said("hi", max_tokens=5), key)
    error = answer.json()
    assert (answer.status, error["type"], error["error"]["type"]) == (429, "error", "rate_limit_error")
    assert answer.headers["retry-after"]
    # What was refused is not counted for the model either, and the model's limit is one for all keys.
    assert many(gate, 25, said("hi")) == {200: 20, 429: 5}
    assert "The model chat has had its 20 requests" in gate.chat("hi").json()["error"]["message"]
    # Listing and mistakes are no requests.
    assert gate.chat("hi", nonsense=1).status == 400
    assert gate.get("/v1/models", key).status == 200


def test_tokens_of_a_minute(start: Start) -> None:
    gate = start()
    keys = [gate.key(alias, tpm=100) for alias in ("plain", "streaming")]
    within(3, lambda: gate.get("/v1/models", keys[1]).status == 200, "the keys are known")
    in_one_minute()
    for key, stream in zip(keys, (False, True)):
        # 8 and 24 tokens each.
        statuses = [gate.chat("tokens=24", key, stream=stream).status for _number in range(6)]
        assert statuses == [200, 200, 200, 200, 429, 429]
        refused(gate.chat("tokens=24", key), "tpm")
    assert [entry["completion_tokens"] for entry in gate.log()] == [24] * 8


EXPENSIVE: list[tuple[str, dict[str, Any]]] = [
    (CHAT, said("tokens=30", n=3)),
    (CHAT, said("tokens=30", n=3, stream=True)),
    (COMPLETIONS, {"model": "chat", "prompt": ["tokens=30", "b", "c"]}),
    (COMPLETIONS, {"model": "chat", "prompt": ["tokens=30", "b", "c"], "stream": True}),
    ("/v1/messages", said("tokens=90", max_tokens=5)),
    ("/v1/messages", said("tokens=90", max_tokens=5, stream=True)),
    ("/v1/responses", {"model": "chat", "input": "tokens=90"}),
    ("/v1/responses", {"model": "chat", "input": "tokens=90", "stream": True}),
    (CHAT, said("tokens=90", model="far", stream=True)),
    (CHAT, said("tokens=90", model="far")),
]


def test_no_kind_of_answer_gets_round_the_tokens(start: Start) -> None:
    gate = start(models=[{"name": "chat"}, {"name": "far", "translated": True}])
    keys = [gate.key(f"small-{number}", tpm=90) for number in range(len(EXPENSIVE))]
    within(3, lambda: gate.get("/v1/models", keys[-1]).status == 200, "the keys are known")
    in_one_minute()
    for key, (path, body) in zip(keys, EXPENSIVE):
        assert gate.post(path, body, key).status == 200
        answer = gate.post(path, body, key)
        assert answer.status == 429, (path, body)
        assert 1 <= int(answer.headers["retry-after"]) <= 60, (path, body)


def test_no_kind_of_answer_gets_round_the_tokens_of_a_model(start: Start) -> None:
    """All keys share them, whatever name and path they use."""
    small = [{"name": f"m{number}", "aliases": [f"M/{number}"], "tpm": 90} for number in range(len(EXPENSIVE))]
    gate = start(models=[{**model, "translated": "far" in str(body)} for model, (_path, body) in zip(small, EXPENSIVE)])
    other = gate.key("other")
    within(3, lambda: gate.get("/v1/models", other).status == 200, "the key is known")
    in_one_minute()
    for number, (path, body) in enumerate(EXPENSIVE):
        assert gate.post(path, {**body, "model": f"m{number}"}).status == 200
        for name, key in ((f"m{number}", ""), (f"M/{number}", other)):
            answer = gate.post(path, {**body, "model": name}, key)
            assert answer.status == 429, (path, body, answer)
            assert 1 <= int(answer.headers["retry-after"]) <= 60, (path, body)


def test_streams_that_are_left_are_booked_too(start: Start) -> None:
    gate = start()
    key = gate.key("small", tpm=20)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    in_one_minute()
    with gate.open(said("tokens=1000 rate=50", stream=True), key) as connection:
        received = b""
        while received.count(b'"content":" tok') < 15:
            received += connection.recv(65536)
    within(2, gate.log, "the stream is booked")
    entry = gate.log()[0]
    assert (entry["status"], entry["prompt_tokens"]) == (499, 8)
    assert 15 <= entry["completion_tokens"] < 60
    refused(gate.chat("hi", key), "tpm")


def test_requests_at_once(start: Start, stub: Stub) -> None:
    models = [{"name": "chat", "max_parallel_requests": 8}, {"name": "guide"}, {"name": "free"}]
    gate = start(models=models)
    own, sharing = gate.key("own", max_parallel_requests=3), gate.key("sharing")
    within(3, lambda: gate.get("/v1/models", sharing).status == 200, "the keys are known")
    slow = "delay=1.2"
    assert many(gate, 10, said(slow, model="free"), own) == {200: 3, 429: 7}
    # A key without a limit has half of a model's slots.
    assert many(gate, 10, said(slow), sharing) == {200: 4, 429: 6}
    with contextlib.ExitStack() as held:
        for _number in range(4):
            held.enter_context(gate.open(said("fail=hang"), sharing))
        within(2, lambda: gate.in_flight() == 4, "four are in flight")
        assert refused(gate.chat("hi", sharing), "key_share") == 1
        assert gate.chat("hi", sharing, model="guide").status == 200
        assert many(gate, 10, said(slow)) == {200: 4, 429: 6}
        assert gate.chat("hi", own).status == 200
        held.enter_context(gate.open(said("fail=hang"), own))
        for _number in range(3):
            held.enter_context(gate.open(said("fail=hang")))
        within(2, lambda: gate.in_flight() == 8, "eight are in flight")
        assert refused(gate.chat("hi", own), "max_parallel_requests") == 1
    within(2, lambda: gate.in_flight() == 0, "the slots come back")
    assert many(gate, 3, said("hi"), own) == {200: 3}


ENDS = {
    "an answer": ("hi", {}, 200),
    "a stream": ("hi", {"stream": True}, 200),
    "a backend's 500": ("fail=500", {}, 500),
    "a backend's 400": ("fail=400", {"stream": True}, 400),
    "a backend's 401": ("fail=401", {}, 502),
    "a backend's 403": ("fail=403", {}, 502),
    "no connection": ("hi", {"model": "dead"}, 503),
    "no answer": ("fail=empty", {}, 502),
    "half an answer": ("fail=cut", {}, 502),
    "half a stream": ("fail=cut tokens=20", {"stream": True}, 200),
    "a timeout": ("fail=hang", {}, 504),
    "a timeout in a stream": ("tokens=1000 rate=20", {"stream": True}, 200),
}


def test_slots_come_back_after_every_kind_of_end(start: Start) -> None:
    """A model has one slot and a key too, so any that is lost is seen at once."""
    one = {"max_parallel_requests": 1}
    dead = {"name": "dead", "translated": True, **one}
    gate = start(
        models=[{"name": "chat", **one}, dead],
        request_timeout=0.6,
        translator_url=f"http://127.0.0.1:{free_port()}",
        key_share=1.0,
    )
    key = gate.key("one", max_parallel_requests=1)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    for _round in range(2):
        for name, (words, fields, status) in ENDS.items():
            with contextlib.suppress(Exception):
                answer = gate.chat(words, key, **fields)
                assert answer.status == status, name
        for words in ("fail=hang", "tokens=1000 rate=20"):
            for wait in (0.0, 0.2):
                connection = gate.open(said(words, stream=True), key)
                time.sleep(wait)
                connection.close()
                within(2, lambda: gate.in_flight() == 0, "the client's leaving frees the slot")
    assert gate.chat("hi", key).status == 200
    statuses = Counter(entry["status"] for entry in gate.log())
    assert statuses[200] == 5
    assert statuses[504] == 2
    assert statuses[503] == 2


def test_limits_of_a_rotated_key_go_on_and_of_another_are_its_own(start: Start) -> None:
    gate = start()
    key = gate.key("small", rpm=2)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    in_one_minute(8)
    assert [gate.chat("hi", key).status for _number in range(3)] == [200, 200, 429]
    gate.keys["small"]["sha256"] = gate.keys["team"]["sha256"]
    del gate.keys["team"]
    gate.write_keys()
    within(2, lambda: gate.get("/v1/models", key).status == 401, "the key is rotated")
    assert gate.chat("hi").status == 429
    gate.keys["small"]["rpm"] = 3
    gate.write_keys()
    within(2, lambda: gate.chat("hi").status == 200, "the new limit holds")
    assert gate.chat("hi").status == 429
    other = gate.key("other", rpm=1)
    within(2, lambda: gate.chat("hi", other).status != 401, "the other key is known")


def test_every_refusal_is_counted_by_reason(start: Start) -> None:
    gate = start()
    key = gate.key("small", rpm=1)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    in_one_minute()
    many(gate, 5, said("hi"), key)
    gate.ask("POST", CHAT, json.dumps(said("hi")).encode())
    assert gate.metric("llmfleet_gate_refusals_total", key="small", reason="rpm") == 4
    assert gate.metric("llmfleet_gate_refusals_total", key="", reason="invalid_api_key") >= 1
    assert gate.metric("llmfleet_gate_requests_total", key="small", status="200") == 1
    assert gate.metric("llmfleet_gate_tokens_total", key="small", type="completion") == 16
