# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of which answers, and what the store is told; tests/gate/test_answer_cache.py has a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gate_answers import BROKEN, INDEX, KEPT_PATHS, SAMPLED, Answers, Question, closed, opened, question
from gate_settings import Model
from gate_store import Reply, StoreError

MODEL = Model("chat", answer_seconds=60, answer_version="v1")
COLD: dict[str, Any] = {"model": "chat", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}


def asked(**changed: Any) -> Question | None:
    given = {
        "path": "/v1/chat/completions",
        "body": COLD,
        "model": MODEL,
        "tenant": ("team", "red"),
        "shown": (False, False, None),
        "directives": "",
        "most": 100,
    }
    return question(**{**given, **changed})


def test_the_order_of_fields_does_not_count() -> None:
    first, second = asked(), asked(body=dict(reversed(COLD.items())))
    assert first
    assert second
    assert (first.name, first.secret) == (second.name, second.secret)
    assert first.name != first.secret.hex()


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/v1/completions"},
        {"body": {**COLD, "stop": "x"}},
        {"body": {**COLD, "messages": [{"role": "user", "content": "hi "}]}},
        {"model": Model("chat", answer_seconds=60, answer_version="v2")},
        {"tenant": ("key", "red")},
        {"tenant": ("team", "blue")},
        {"shown": (True, False, None)},
    ],
)
def test_whatever_decides_on_the_answer_makes_another_name(changed: dict[str, Any]) -> None:
    first, second = asked(), asked(**changed)
    assert first
    assert second
    assert first.name != second.name
    assert first.secret != second.secret


@pytest.mark.parametrize("temperature", [0.1, 1, None, "0", [0]])
def test_sampled_answers_are_kept_only_where_the_model_says_so(temperature: object) -> None:
    body = {**COLD, "temperature": temperature}
    for path in SAMPLED:
        assert asked(path=path, body=body) is None
        assert asked(path=path, body=body, model=Model("chat", answer_seconds=60, answer_sampled=True))
    for path in KEPT_PATHS - SAMPLED:
        assert asked(path=path, body=body)
    assert asked(path="/v1/responses") is None
    assert asked(model=Model("chat")) is None


@pytest.mark.parametrize(
    ("directives", "expected"),
    [("", True), ("max-age=0", True), ("no-cache", False), ("Private, NO-CACHE", False), ("no-store", None)],
)
def test_clients_say_whether_an_answer_may_be_old(directives: str, expected: bool | None) -> None:
    found = asked(directives=directives)
    assert (found.asks if found else None) == expected


def test_an_answer_opens_with_the_same_request_alone() -> None:
    first, second = asked(), asked(tenant=("team", "blue"))
    assert first
    assert second
    text = closed(first, "application/json", b"body\nof two lines")
    kept = opened(first, text)
    assert kept
    assert (kept.kind, kept.body) == ("application/json", b"body\nof two lines")
    assert 0 <= kept.age < 60
    assert opened(second, text) is None
    assert [opened(first, other) for other in (text[:-8], "", "x", "AAAA", text[8:])] == [None] * 5


def test_what_is_too_large_takes_no_memory() -> None:
    found = asked(most=10)
    assert found
    for _number in range(3):
        found.add(b"12345")
    assert (found.keeps, found.parts) == (False, [])
    found.add(b"1")
    assert not found.keeps
    assert not found.parts


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (b'data: {"error": {"message": "x"}}', True),
        (b'{"choices":[{"finish_reason":"abort"}]}', True),
        (b"event: error\ndata: {}", True),
        (b'{"choices":[{"finish_reason":"stop","message":{"content":"\\"error\\": {"}}]}', False),
    ],
)
def test_answers_that_did_not_come_to_their_end_are_known(body: bytes, broken: bool) -> None:
    assert bool(BROKEN.search(body)) == broken


class Store:
    """Takes commands as gate_shared.Shared does."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.told = list(replies), list[tuple[str, ...]]()

    def send(self, words: tuple[str, ...], take: Callable[[Reply], None]) -> None:
        self.told.append(words)
        take(self.replies.pop(0) if self.replies else "ok")


def answers(store: Store) -> Answers:
    kept = Answers(store)  # type: ignore[arg-type]
    kept.configure(5000, 100)
    assert kept.most_answer == 100
    return kept


def test_an_answer_that_was_kept_is_found() -> None:
    first = asked()
    assert first
    first.add(b"one ")
    first.add(b"two")
    store = Store()
    answers(store).keep(first, "application/json; charset=utf-8")
    (said,) = store.told
    assert said[3:8] == (INDEX, "keep", first.name, "60", "5000")
    found = asyncio.run(answers(Store(said[8])).find(first))
    assert found
    assert (found.kind, found.body) == ("application/json; charset=utf-8", b"one two")


@pytest.mark.parametrize("reply", ["", None, StoreError("OOM"), "no entry of ours"])
def test_without_an_entry_nothing_is_found(reply: Reply) -> None:
    first = asked()
    assert first
    store = Store(reply)
    assert asyncio.run(answers(store).find(first)) is None
    assert [words[3:] for words in store.told] == [(INDEX, "find", first.name)]


def test_a_store_without_the_script_gets_it() -> None:
    first = asked()
    assert first
    store = Store(StoreError("NOSCRIPT No matching script."))
    assert asyncio.run(answers(store).find(first)) is None
    assert store.told[1][:2] == ("SCRIPT", "LOAD")


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/html", b"{}"), ("application/json; é", b"{}"), ("application/json", b'{"error": {}}')],
)
def test_what_is_no_whole_answer_is_not_kept(kind: str, body: bytes) -> None:
    first, store = asked(), Store()
    assert first
    first.add(body)
    answers(store).keep(first, kind)
    assert store.told == []
