# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Persons: the chat page says for whom a request is, and nobody else can."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from gate_process import CHAT, COMPLETIONS, Gate, Stub, said
from patience import within

Start = Callable[..., Gate]
ID = "5e1f6b1c-0a9e-4b65-9e0b-3a4d1f5f6a77"
HEADERS = {
    "X-OpenWebUI-User-Id": ID,
    "X-OpenWebUI-User-Email": "ann@example.org",
    "X-OpenWebUI-User-Name": "Ann",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "a2b4",
    "X-OpenWebUI-User-Jwt": "x.y.z",
}


def page(gate: Gate, person: str = "id") -> str:
    """A key that names persons, once it is known."""
    key = gate.key(f"page-{person}", person=person)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    return key


@pytest.mark.parametrize(("person", "named"), [("id", ID), ("email", "ann@example.org")])
@pytest.mark.parametrize("stream", [False, True])
def test_the_page_says_for_whom_a_request_is(start: Start, person: str, named: str, stream: bool) -> None:
    gate = start()
    key = page(gate, person)
    assert gate.post(CHAT, said("hi", stream=stream), key, HEADERS).status == 200
    assert gate.post(CHAT, said("hi"), key).status == 200
    assert [entry["person"] for entry in gate.log()] == [named, None]


def test_nobody_else_does(start: Start, stub: Stub) -> None:
    gate = start()
    page(gate)
    for path, body in ((CHAT, said("hi")), (COMPLETIONS, {"model": "chat", "prompt": "hi"})):
        assert gate.post(path, body, "", HEADERS).status == 200
    # Two keys in one request are refused, so the page's rights cannot be had beside another key.
    answer = gate.post(CHAT, said("hi"), "", {**HEADERS, "x-api-key": gate.key_of("page-id")})
    assert answer.status == 400
    assert [entry["person"] for entry in gate.log()] == [None, None]


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_what_is_behind_hears_nothing_of_persons(start: Start, stub: Stub, path: str) -> None:
    gate = start()
    assert gate.post(path, said("hi", max_tokens=5), page(gate), HEADERS).status == 200
    _path, headers, body = stub.last()
    assert not [name for name in headers if "openwebui" in name]
    text = repr(headers) + body.decode()
    assert not [word for word in (ID, "ann@", "Ann", "a2b4") if word in text]


def test_whatever_the_header_holds_the_name_is_short_and_plain(start: Start) -> None:
    gate = start()
    key = page(gate, "email")
    chance = random.Random(12)
    letters = [chr(code) for code in range(0x20, 0x100) if code != 0x7F]
    given = ["".join(chance.choices(letters, k=chance.randint(1, 300))) for _number in range(60)]
    given += ["=HYPERLINK(1)@x.org", "a" * 4000, "ann@example.org'; DROP TABLE minutes; --"]
    for text in given:
        assert gate.post(CHAT, said("hi"), key, {"X-OpenWebUI-User-Email": text}).status == 200
    names = [entry["person"] for entry in gate.log()]
    assert len(names) == len(given)
    assert [name for name in names if name and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]{0,127}", name)] == []
    before = gate.metric("llmfleet_gate_requests_total")
    assert before == len(given)
    metrics = gate.get("/metrics", gate.key_of("scraper")).body.decode()
    assert "sha256:" not in metrics
    assert len([line for line in metrics.splitlines() if line.startswith("llmfleet_gate_requests_total")]) == 1
