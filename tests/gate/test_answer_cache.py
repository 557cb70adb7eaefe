# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers that are kept in the store for equal requests of the same tenant, and for nobody else."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from gate_process import CHAT, Answer, Gate, Stub, events, said
from limit_store import LimitStore
from patience import within

Start = Callable[..., Gate]
MODELS = [
    {"name": "chat", "aliases": ["gpt-4o"], "context": 4096, "answer_seconds": 60, "answer_version": "v1"},
    {"name": "guide"},
]
STATUS = "cache-status"


@pytest.fixture
def keeping(start: Start, store: LimitStore) -> Callable[..., Gate]:
    """Start a gate that keeps answers."""

    def begin(**settings: Any) -> Gate:
        gate = start(stopped=True, store_url_file=str(store.url_file), **{"models": MODELS, **settings})
        gate.teams = [{"name": "red"}, {"name": "blue"}]
        for alias, team in (("red-1", "red"), ("red-2", "red"), ("blue-1", "blue")):
            gate.key(alias, team=team)
        gate.start()
        within(5, lambda: gate.metric("llmfleet_gate_limit_store_up") == 1, "the gate has joined")
        return gate

    return begin


def asked(gate: Gate, words: str, key: str = "", **fields: Any) -> Answer:
    return gate.chat(words, key, **{"temperature": 0, **fields})


def computed(stub: Stub, ask: Callable[[], Answer]) -> tuple[int, Answer]:
    """How many answers an engine gave while something was asked."""
    before = stub.counts()["requests"]
    answer = ask()
    return stub.counts()["requests"] - before, answer


def kept(gate: Gate, words: str, key: str = "", **fields: Any) -> Answer:
    """An answer that is in the store by now."""
    first = asked(gate, words, key, **fields)
    assert (first.status, first.headers[STATUS]) == (200, "llmfleet; fwd=miss")
    within(3, lambda: asked(gate, words, key, **fields).headers[STATUS] == "llmfleet; hit", "the answer is kept")
    return first


def test_the_same_request_is_answered_once(keeping: Callable[..., Gate], stub: Stub) -> None:
    gate = keeping()
    first = kept(gate, "tokens=5")
    count, again = computed(stub, lambda: asked(gate, "tokens=5"))
    assert (count, again.status, again.body) == (0, 200, first.body)
    assert again.headers[STATUS] == "llmfleet; hit"
    assert 0 <= int(again.headers["age"]) < 5
    assert again.headers["content-type"] == first.headers["content-type"]
    # Under another name of the model it is the same request, and fields may come in any order.
    body = {"temperature": 0, **said("tokens=5"), "model": "gpt-4o"}
    assert gate.post(CHAT, body).headers[STATUS] == "llmfleet; hit"
    line = gate.log()[-1]
    assert (line["kept_answer"], line["prompt_tokens"], line["completion_tokens"], line["status"]) == (True, 0, 0, 200)
    assert "kept_answer" not in gate.log()[0]
    assert gate.metric("llmfleet_gate_answer_cache_requests_total", result="hit") >= 3


def test_a_stream_comes_again_as_it_came(keeping: Callable[..., Gate], stub: Stub) -> None:
    gate = keeping()
    first = kept(gate, "tokens=40", stream=True)
    count, again = computed(stub, lambda: asked(gate, "tokens=40", stream=True))
    assert (count, again.body) == (0, first.body)
    assert again.headers["content-type"].startswith("text/event-stream")
    assert len(events(again.body)) == len(events(first.body)) > 3
    # Who asks for usage gets another answer.
    other = asked(gate, "tokens=40", stream=True, stream_options={"include_usage": True})
    assert other.headers[STATUS] == "llmfleet; fwd=miss"
    assert events(other.body)[-1]["usage"]


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 0.7}, {"temperature": None}, {"model": "guide"}, {"messages": said("tokens=6")["messages"]}],
    ids=["sampled", "no temperature", "another model", "another prompt"],
)
def test_another_request_is_none_that_is_kept(keeping: Callable[..., Gate], stub: Stub, fields: dict[str, Any]) -> None:
    gate = keeping()
    kept(gate, "tokens=5")
    body = {
        name: value for name, value in {**said("tokens=5"), "temperature": 0, **fields}.items() if value is not None
    }
    for _round in range(2 if "messages" not in fields else 1):
        count, _answer = computed(stub, lambda: gate.post(CHAT, body))
        assert count == 1


def test_sampled_answers_are_kept_where_the_model_says_so(keeping: Callable[..., Gate]) -> None:
    gate = keeping(models=[{**MODELS[0], "answer_sampled": True}])
    kept(gate, "tokens=5", temperature=1)


def test_tenants_never_get_each_others_answers(keeping: Callable[..., Gate], stub: Stub) -> None:
    gate = keeping()
    kept(gate, "tokens=5", gate.key_of("red-1"))
    # Keys of a team are one tenant.
    count, _answer = computed(stub, lambda: asked(gate, "tokens=5", gate.key_of("red-2")))
    assert count == 0
    for other in ("blue-1", "team"):
        count, answer = computed(stub, lambda other=other: asked(gate, "tokens=5", gate.key_of(other)))
        assert (count, answer.headers[STATUS]) == (1, "llmfleet; fwd=miss")


def test_a_client_can_have_a_fresh_answer_and_one_that_is_not_kept(keeping: Callable[..., Gate], stub: Stub) -> None:
    gate = keeping()
    kept(gate, "tokens=5")
    body = {**said("tokens=5"), "temperature": 0}
    count, fresh = computed(stub, lambda: gate.post(CHAT, body, headers={"Cache-Control": "no-cache"}))
    assert (count, fresh.headers[STATUS]) == (1, "llmfleet; fwd=request")
    count, unkept = computed(stub, lambda: gate.post(CHAT, body, headers={"Cache-Control": "No-Store"}))
    assert (count, STATUS in unkept.headers) == (1, False)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "order", ["500", "429", "cut", "short", "empty", "events-error", "events-text", "header-value"]
)
def test_what_failed_is_not_kept(keeping: Callable[..., Gate], order: str, stream: bool) -> None:
    gate = keeping()
    for _round in range(2):
        with contextlib.suppress(OSError, http.client.HTTPException):
            asked(gate, f"fail={order} tokens=50", stream=stream)
    assert gate.metric("llmfleet_gate_answer_cache_requests_total", result="miss") == 2
    assert gate.metric("llmfleet_gate_answer_cache_requests_total", result="hit") == 0


def test_the_store_shows_nothing_of_prompt_or_answer(keeping: Callable[..., Gate], store: LimitStore) -> None:
    gate = keeping()
    kept(gate, "tokens=5 repeat=plainword secret-text")
    within(3, lambda: b"llmfleet:answer:" in files(store), "the file has the entry")
    time.sleep(1.1)
    assert b"plainword" not in files(store)
    assert b"secret-text" not in files(store)


def files(store: LimitStore) -> bytes:
    return b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())


def test_the_store_stays_within_its_bound(keeping: Callable[..., Gate], store: LimitStore) -> None:
    gate = keeping(answer_bytes=8000, answer_max_bytes=4000)
    for number in range(30):
        asked(gate, f"tokens={20 + number}")
    within(3, lambda: int(store.says("ZCARD", "llmfleet:answers") or 0) > 1, "answers are kept")
    stored = int(store.says("ZCARD", "llmfleet:answers"))
    assert 1 < stored < 20
    # The newest are there, and none that is larger than one may be.
    assert asked(gate, "tokens=49").headers[STATUS] == "llmfleet; hit"
    assert asked(gate, "tokens=2000").headers[STATUS] == asked(gate, "tokens=2000").headers[STATUS]
    assert asked(gate, "tokens=20").headers[STATUS] == "llmfleet; fwd=miss"


def test_a_new_version_and_an_end_of_time_forget(keeping: Callable[..., Gate], stub: Stub) -> None:
    gate = keeping(models=[{**MODELS[0], "answer_seconds": 1}])
    asked(gate, "tokens=5")
    time.sleep(1.3)
    assert computed(stub, lambda: asked(gate, "tokens=5"))[0] == 1
    gate.settings["models"] = [{**MODELS[0]}]
    gate.reload()
    time.sleep(0.3)
    kept(gate, "tokens=7")
    gate.settings["models"] = [{**MODELS[0], "answer_version": "v2"}]
    gate.reload()
    within(3, lambda: asked(gate, "tokens=7").headers[STATUS] == "llmfleet; fwd=miss", "it is another version")


def test_a_store_that_is_away_or_empty_is_as_if_nothing_was_kept(
    keeping: Callable[..., Gate], store: LimitStore, stub: Stub
) -> None:
    gate = keeping()
    kept(gate, "tokens=5")
    store.says("FLUSHALL")
    store.says("SCRIPT", "FLUSH")
    assert computed(stub, lambda: asked(gate, "tokens=5"))[0] == 1
    kept(gate, "tokens=6")
    store.end()
    for _round in range(3):
        count, answer = computed(stub, lambda: asked(gate, "tokens=6"))
        assert (count, answer.status) == (1, 200)
    store.start()
    within(10, lambda: gate.metric("llmfleet_gate_limit_store_up") == 1, "the store is back")
    within(5, lambda: asked(gate, "tokens=6").headers[STATUS] == "llmfleet; hit", "answers are kept again")


def test_an_entry_of_somebody_else_is_no_answer(keeping: Callable[..., Gate], store: LimitStore, stub: Stub) -> None:
    gate = keeping()
    kept(gate, "tokens=5")
    names = store.says("ZCARD", "llmfleet:answers")
    assert names == "1"
    store.says("EVAL", "\"redis.call('SET', redis.call('KEYS', 'llmfleet:answer:*')[1], 'AAAA')\"", "0")
    count, answer = computed(stub, lambda: asked(gate, "tokens=5"))
    assert (count, answer.status) == (1, 200)
    assert json.loads(answer.body)["choices"]


def test_a_key_has_the_same_share_while_the_store_is_away(keeping: Callable[..., Gate], store: LimitStore) -> None:
    """Without kept answers a client has more in flight at a time, and may be refused by the share that it had."""
    gate = keeping(models=[{**MODELS[0], "max_parallel_requests": 4}])
    slow = said("tokens=400 rate=20", stream=True)
    for is_away in (False, True):
        if is_away:
            store.end()
            within(5, lambda: gate.metric("llmfleet_gate_limit_store_up") == 0, "the store is away")
        with gate.open(slow), gate.open(slow):
            within(5, lambda: gate.in_flight() == 2, "both are admitted")
            refused = asked(gate, f"a third {is_away}")
            assert (refused.status, json.loads(refused.body)["error"]["code"]) == (429, "key_share")
        within(5, lambda: gate.in_flight() == 0, "both have ended")
        assert asked(gate, f"a fourth {is_away}").status == 200
