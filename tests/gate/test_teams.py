# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Teams: their keys share limits and models, a change holds within a second, and usage says whose it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gate_process import CHAT, COMPLETIONS, Gate, Stub, in_one_minute, many, refused, said
from patience import within

Start = Callable[..., Gate]


def in_team(gate: Gate, *aliases: str, team: str = "research", **limits: object) -> list[str]:
    """Keys of a new team, once they are known."""
    gate.teams.append({"name": team, **limits})
    keys = [gate.key(alias, team=team) for alias in aliases]
    within(3, lambda: gate.get("/v1/models", keys[-1]).status == 200, "the keys are known")
    return keys


def test_requests_of_a_minute_are_those_of_all_keys_together(start: Start, stub: Stub) -> None:
    gate = start()
    first, second = in_team(gate, "first", "second", rpm=20)
    in_one_minute()
    before = stub.counts()["requests"]
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda key: many(gate, 30, said("hi"), key), (first, second)))
    assert sum(count[200] for count in counts) == 20
    assert sum(count[429] for count in counts) == 40
    assert stub.counts()["requests"] - before == 20
    answer = gate.chat("hi", first)
    assert refused(answer, "rpm") <= 60
    assert answer.json()["error"]["message"] == "The team research has had its 20 requests of this minute."
    assert gate.chat("hi").status == 200, "a key of no team"
    assert gate.metric("llmfleet_gate_requests_total", team="research", status="200") == 20
    assert gate.metric("llmfleet_gate_refusals_total", team="research", reason="rpm") == 41


def test_requests_at_once_and_tokens(start: Start) -> None:
    gate = start(models=[{"name": "chat"}])
    first, second = in_team(gate, "first", "second", max_parallel_requests=3)
    small, other = in_team(gate, "small", "other", team="few", tpm=40)
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda key: many(gate, 5, said("delay=1.2"), key), (first, second)))
    assert sum(count[200] for count in counts) == 3
    assert gate.chat("hi", second).status == 200, "the slots came back"
    in_one_minute()
    # 8 and 24 tokens each.
    assert [gate.chat("tokens=24", key).status for key in (small, other, small)] == [200, 200, 429]
    assert "The team few has had its 40 tokens" in gate.chat("hi", other).json()["error"]["message"]


def test_a_team_changes_within_a_second_and_without_a_restart(start: Start) -> None:
    gate = start()
    (key,) = in_team(gate, "member", rpm=1)
    in_one_minute(8)
    assert [gate.chat("hi", key).status for _number in range(2)] == [200, 429]
    gate.teams[0]["rpm"] = 3
    gate.write_keys()
    within(1, lambda: gate.chat("hi", key).status == 200, "the new limit holds")
    gate.teams[0]["models"] = ["guide"]
    gate.write_keys()
    within(1, lambda: gate.chat("hi", key).status == 403, "the team lost the model")
    assert [model["id"] for model in gate.get("/v1/models", key).json()["data"]] == ["guide"]
    # A file with a key of a team that there is not is no good, so what was read before stays in force.
    gate.teams.clear()
    gate.write_keys()
    why = "there is no team 'research'"
    within(2, lambda: gate.chat("hi", key).status == 403 and why in gate.printed(), "it says why")
    del gate.keys["member"]["team"]
    gate.write_keys()
    within(1, lambda: gate.chat("hi", key).status == 200, "the key is in no team")


@pytest.mark.parametrize(("own", "asked"), [([], "chat"), (["chat", "guide"], "chat"), (["chat"], "gpt-4o")])
def test_a_key_may_use_what_its_team_may(start: Start, own: list[str], asked: str) -> None:
    gate = start()
    gate.teams.append({"name": "research", "models": ["guide"]})
    key = gate.key("member", team="research", models=own)
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    answer = gate.chat("hi", key, model=asked)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (403, "model_not_allowed")
    assert error["message"] == f"The team research may not use {asked}."


def test_usage_says_team_and_tags(start: Start) -> None:
    gate = start()
    in_team(gate, "plain")
    tagged = gate.key("tagged", team="research", tags=["cost-7", "batch"])
    within(3, lambda: gate.get("/v1/models", tagged).status == 200, "the key is known")
    for key in (tagged, gate.key_of("plain"), ""):
        assert gate.chat("hi", key, stream=True).status == 200
    found = [(entry["key"], entry["team"], entry["tags"]) for entry in gate.log()]
    assert found == [("tagged", "research", ["cost-7", "batch"]), ("plain", "research", []), ("team", None, [])]
    assert gate.metric("llmfleet_gate_tokens_total", team="research", type="completion") == 32
    assert "cost-7" not in gate.get("/metrics", gate.key_of("scraper")).body.decode()


PRIORITISED = [{"name": "chat", "priorities": True}, {"name": "plain"}, {"name": "far", "translated": True}]
# Bodies by path, and whether an engine gets the field too.
BODIES: list[tuple[str, dict[str, Any], bool]] = [
    (CHAT, said("hi"), True),
    (CHAT, said("hi", stream=True), True),
    (COMPLETIONS, {"model": "chat", "prompt": "hi"}, True),
    ("/v1/embeddings", {"model": "chat", "input": "hi"}, True),
    ("/v1/score", {"model": "chat", "text_1": "a", "text_2": "b"}, True),
    ("/v1/rerank", {"model": "chat", "query": "a", "documents": ["b"]}, True),
    ("/v1/messages", said("hi", max_tokens=5), False),
    ("/v1/responses", {"model": "chat", "input": "hi"}, False),
    ("/tokenize", {"model": "chat", "prompt": "hi"}, False),
]


def sent(stub: Stub) -> tuple[str | None, Any]:
    """Header and field of the last request with which the gate says who comes first."""
    _path, headers, body = stub.last()
    return headers.get("x-vllm-priority"), json.loads(body).get("priority")


@pytest.mark.parametrize(("path", "body", "field"), BODIES)
def test_the_gate_says_who_comes_first_and_no_client(
    start: Start, stub: Stub, path: str, body: dict[str, Any], field: bool
) -> None:
    gate = start(models=PRIORITISED, extra_fields=["priority"])
    gate.teams.append({"name": "batch", "priority": 10})
    late, soon = gate.key("late", team="batch"), gate.key("soon", team="batch", priority=-5)
    within(3, lambda: gate.get("/v1/models", soon).status == 200, "the keys are known")
    mine = {"X-Vllm-Priority": "-999"}
    for key, priority in ((late, 10), (soon, -5), ("", None)):
        gate.post(path, body, key, headers=mine)
        assert sent(stub) == (priority and str(priority), priority if field else None), path
        answer = gate.post(path, {**body, "priority": -999}, key)
        assert (answer.status, b"priority is not accepted here" in answer.body) == (400, True)
    for name in ("plain", "far"):
        # Their engines do not look at it, or are somebody else's.
        gate.post(path, {**body, "model": name}, soon, headers=mine)
        assert sent(stub) == (None, None)


def test_a_priority_changes_within_a_second(start: Start, stub: Stub) -> None:
    gate = start(models=PRIORITISED)
    (key,) = in_team(gate, "member", priority=10)

    def told(priority: str | None) -> bool:
        assert gate.chat("hi", key).status == 200
        return sent(stub)[0] == priority

    assert told("10")
    gate.teams[0]["priority"] = -3
    gate.write_keys()
    within(1, lambda: told("-3"), "the team's new one")
    gate.keys["member"]["priority"] = 0
    gate.write_keys()
    within(1, lambda: told(None), "the key's own")
