# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Budgets that two gates hold together, in the distribution's Valkey or Redis.

The stub counts 8 tokens for a prompt and as many for an answer as it is asked for: a token costs 0.001 of a prompt, and
0.01 of an answer, so `tokens=24` costs 0.248.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from gate_process import HOST, Answer, Gate, said
from gate_script import SCRIPT
from limit_store import LimitStore, shared_out, up
from patience import within

Start = Callable[..., Gate]
MODELS = [
    {"name": "chat", "cost": {"input_per_token": "0.001", "output_per_token": "0.01"}},
    {"name": "guide"},
]
WORDS = "tokens=24"
COST = 248_000_000


@pytest.fixture
def pair(start: Start, store: LimitStore) -> Callable[..., list[Gate]]:
    """Start two gates that share the store and have the same keys and teams."""

    def begin(
        keys: dict[str, dict[str, Any]], teams: list[dict[str, Any]] | None = None, **settings: Any
    ) -> list[Gate]:
        given = {"models": MODELS, **settings}
        gates = [start(stopped=True, store_url_file=str(store.url_file), **given) for _number in range(2)]
        for gate in gates:
            gate.teams = teams or []
            for alias, fields in keys.items():
                gate.key(alias, **fields)
            gate.start()
            within(5, lambda gate=gate: up(gate), "the gate has joined")
        return gates

    return begin


def budget(amount: float, per: str = "month") -> dict[str, Any]:
    return {"amount": amount, "per": per}


def spent(store: LimitStore, name: str, per: str = "month") -> int:
    """What the store has counted in the present period, in units."""
    today = datetime.now(timezone.utc).date()
    first = {"day": today, "week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}[per]
    with socket.create_connection((HOST, store.port), 5) as connection:
        connection.sendall(f"AUTH admin x\r\nHGET llmfleet:spent:{per}:{first} {name}\r\n".encode())
        stream = connection.makefile("r")
        assert stream.readline() == "+OK\n"
        return int(stream.readline()) if stream.readline().strip() != "$-1" else 0


def refused(answer: Answer) -> str:
    assert (answer.status, answer.json()["error"]["code"]) == (429, "budget_exceeded"), answer
    assert answer.json()["error"]["type"] == "rate_limit_error"
    return str(answer.json()["error"]["message"])


def test_two_gates_have_one_budget(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair(
        {"small": {"team": "red"}, "other": {"team": "red"}, "alone": {}}, [{"name": "red", "budget": budget(1)}]
    )
    small, other = gates[0].key_of("small"), gates[0].key_of("other")
    # The fifth request finds 0.992 spent, and the sixth 1.24.
    answers = [gates[number % 2].chat(WORDS, (small, other)[number % 2]) for number in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert refused(answers[5]) == "The team red has spent 1.24 of its budget of 1 for this month."
    now = datetime.now(timezone.utc)
    end = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    assert abs(int(answers[5].headers["retry-after"]) - (end - now).total_seconds()) < 10
    # What costs nothing goes on, and who has no budget.
    assert gates[0].chat(WORDS, small, model="guide").status == 200
    assert gates[0].chat(WORDS, gates[0].key_of("alone")).status == 200
    assert spent(store, "team/red") == 5 * COST
    for gate in gates:
        within(
            4, lambda gate=gate: gate.metric("llmfleet_gate_budget_spent", team="red", per="month") == 1.24, "all know"
        )
        assert gate.metric("llmfleet_gate_budget_amount", team="red") == 1
    # A larger amount is in force within a second, and so is another period, for which the same was spent.
    for gate in gates:
        gate.teams = [{"name": "red", "budget": budget(1.3)}]
        gate.write_keys()
    within(2, lambda: gates[0].chat(WORDS, small).status == 200, "there is more")
    for gate in gates:
        gate.teams = [{"name": "red", "budget": budget(1.4, "day")}]
        gate.write_keys()
    time.sleep(1.1)
    assert refused(gates[1].chat(WORDS, small)) == "The team red has spent 1.488 of its budget of 1.4 for this day."


def test_a_budget_is_exceeded_by_what_is_in_flight_at_most(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"budget": budget(3, "week")}})
    at_once = 6
    passed = sum(shared_out(gates, at_once, f"{WORDS} delay=0.05", "own")[200] for _round in range(5))
    assert 3 * 10**9 <= passed * COST < 3 * 10**9 + at_once * COST
    within(2, lambda: spent(store, "key/own", "week") == passed * COST, "all is booked")


def test_streams_that_are_left_and_other_kinds_of_requests_cost(
    pair: Callable[..., list[Gate]], store: LimitStore
) -> None:
    gates = pair({"own": {"budget": budget(1000, "day")}}, models=[{**MODELS[0], "budget": budget(500)}])
    key = gates[0].key_of("own")
    with gates[0].open(said("tokens=1000 rate=100", stream=True), key):
        within(3, lambda: gates[0].in_flight() == 1, "the stream runs")
        time.sleep(0.2)
    within(3, lambda: spent(store, "key/own", "day") > 0, "it is booked")
    line = gates[0].log()[-1]
    assert line["status"] == 499
    assert spent(store, "key/own", "day") == spent(store, "model/chat") == round(float(line["cost"]) * 10**9)
    before = spent(store, "key/own", "day")
    assert gates[1].post("/v1/embeddings", {"model": "chat", "input": "a"}, key).status == 200
    cost = round(float(gates[1].log()[-1]["cost"]) * 10**9)
    assert cost > 0
    within(2, lambda: spent(store, "key/own", "day") == before + cost, "embeddings are booked")


def test_what_a_killed_gate_has_spent_stays(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"budget": budget(0.9)}})
    key = gates[0].key_of("own")
    assert [gates[0].chat(WORDS, key).status for _number in range(3)] == [200] * 3
    # The store is told right after an answer, and nobody waits for it.
    within(2, lambda: spent(store, "key/own") == 3 * COST, "all is booked")
    gates[0].end()
    # The store writes its file once a second.
    time.sleep(1.1)
    store.end()
    store.start()
    within(5, lambda: up(gates[1]), "the other one goes on")
    gates[0].start()
    within(5, lambda: up(gates[0]), "it has joined")
    assert gates[0].chat(WORDS, key).status == 200
    assert [refused(gate.chat(WORDS, key)) for gate in gates]
    assert store.says("TTL", f"llmfleet:spent:month:{date.today().replace(day=1)}") > "0"


def test_gates_restore_what_the_store_has_lost(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"budget": budget(1)}, "rich": {"budget": budget(1000)}})
    key, rich = gates[0].key_of("own"), gates[0].key_of("rich")
    assert shared_out(gates, 2, WORDS, "own") == {200: 2}
    assert gates[0].chat(WORDS, rich).status == 200
    # Both know all after the next word to the store.
    for gate in gates:
        within(4, lambda gate=gate: gate.metric("llmfleet_gate_budget_spent", key="own") == 0.496, "all is known")
        within(4, lambda gate=gate: gate.metric("llmfleet_gate_budget_spent", key="rich") == 0.248, "all is known")
    assert store.says("FLUSHALL") == "OK"
    assert [gate.chat(WORDS, key).status for gate in (*gates, gates[0])] == [200] * 3
    assert [refused(gate.chat(WORDS, key)) for gate in gates]
    assert spent(store, "key/own") == 5 * COST
    assert spent(store, "key/rich") == COST


def test_budgets_hold_while_the_store_is_away(pair: Callable[..., list[Gate]], store: LimitStore) -> None:
    gates = pair({"own": {"budget": budget(1)}})
    key = gates[0].key_of("own")
    assert [gates[0].chat(WORDS, key).status for _number in range(2)] == [200] * 2
    within(4, lambda: gates[1].metric("llmfleet_gate_budget_spent", key="own") == 0.496, "the other one knows")
    store.stop()
    within(2, lambda: not up(gates[0]) and not up(gates[1]), "the store is away")
    assert [gates[1].chat(WORDS, key).status for _number in range(4)] == [200] * 3 + [429]
    assert [gates[0].chat(WORDS, key).status for _number in range(2)] == [200] * 2
    store.start()
    within(5, lambda: all(map(up, gates)), "both are back")
    within(3, lambda: spent(store, "key/own") == 7 * COST, "what both admitted is counted")
    assert [refused(gate.chat(WORDS, key)) for gate in gates]


def test_the_script_knows_the_calendar(store: LimitStore) -> None:
    begin, end = SCRIPT.index("local function date"), SCRIPT.index("local kinds")
    days = 80_000
    each = f"local all = {{}} for day = 0, {days} do all[#all + 1] = date(day) end return table.concat(all)"
    script = SCRIPT[begin:end] + each
    with socket.create_connection((HOST, store.port), 10) as connection:
        words = [b"EVAL", script.encode(), b"0"]
        data = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        connection.sendall(b"AUTH admin x\r\n*3\r\n" + data)
        stream = connection.makefile("rb")
        assert stream.readline() == b"+OK\r\n"
        told = stream.read(int(stream.readline()[1:])).decode()
    first = date(1970, 1, 1)
    assert told == "".join((first + timedelta(days=day)).isoformat() for day in range(days + 1))
