# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which new instances get a share of the traffic, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import canary

RULES = {"requests": 20, "errors": 0.02, "aborts": 0.2, "slower": 3.0}


def instance(name: str, host: str) -> dict[str, Any]:
    return {"name": name, "host": host, "model": name.rpartition("-")[0], "engine": "vllm"}


def change(number: int, kind: str, names: list[str], traffic: list[str]) -> dict[str, Any]:
    """A step; instances are written as name@host."""
    own = [dict(zip(("name", "host"), one.split("@"))) for one in names]
    return {"number": number, "kind": kind, "instances": own, "traffic": [one.split("@") for one in traffic]}


CHAT = [instance("chat-0", "gpu1"), instance("chat-1", "gpu2")]
BOTH = ["chat-0@gpu1", "chat-1@gpu2"]


def shared(steps: list[dict[str, Any]], number: int, seconds: Any = 6, current: Any = None) -> dict[str, Any]:
    known = [*CHAT, instance("guide-0", "gpu1")]
    return canary.step({"instances": known, "steps": steps}, number, current or known, seconds, "10")


def test_the_first_instance_that_is_replaced_gets_a_share() -> None:
    steps = [change(1, "replace", ["chat-0@gpu1"], BOTH), change(2, "replace", ["chat-1@gpu2"], BOTH)]
    found = shared(steps, 1)
    assert found["share"] == {"names": ["chat-0"], "percent": 10}
    assert found["new"] == [{"name": "chat-0", "host": "gpu1", "model": "chat", "service": "vllm-chat-0"}]
    assert [one["name"] for one in found["old"]] == ["chat-1"]
    assert found["moments"] == [3.0, 6.0]
    assert (canary.names_on(found, "gpu1"), canary.names_on(found, "gpu2")) == (["chat-0"], ["chat-1"])
    # The second one is known to be good.
    assert (shared(steps, 2)["share"], shared(steps, 2)["notes"]) == ({}, [])


@pytest.mark.parametrize(("seconds", "moments"), [(0, []), ("0", []), (1, [1.0]), (7, [2.33, 4.67, 7.0])])
def test_the_moments(seconds: Any, moments: list[float]) -> None:
    assert shared([change(1, "replace", ["chat-0@gpu1"], BOTH)], 1, seconds)["moments"] == moments


def test_what_starts_beside_others_gets_a_share_when_gateways_know_it() -> None:
    steps = [
        change(1, "start", ["chat-1@gpu2"], ["chat-0@gpu1"]),
        change(2, "traffic", ["chat-1@gpu2"], BOTH),
        change(3, "replace", ["chat-0@gpu1"], BOTH),
    ]
    assert [shared(steps, number)["share"].get("names") for number in (1, 2, 3)] == [None, ["chat-1"], None]


def test_a_single_one_is_not_judged_and_that_is_said() -> None:
    found = shared([change(1, "replace", ["guide-0@gpu1"], ["guide-0@gpu1", *BOTH])], 1)
    assert found["share"] == {}
    assert found["notes"] == ["guide: no old one serves beside guide-0 on gpu1, so real traffic does not judge it"]


def test_one_that_moves_under_its_name_is_not_judged() -> None:
    current = [*CHAT, instance("chat-1", "gpu3")]
    found = shared([change(1, "traffic", ["chat-1@gpu3"], [*BOTH, "chat-1@gpu3"])], 1, current=current)
    assert (found["share"], len(found["notes"])) == ({}, 1)


def reading(place: str, requests: int = 0, **more: Any) -> dict[str, Any]:
    name, host = place.split("@")
    counts = {"started": 1.0, "errors": 0, "aborts": 0, "failed_answers": 0, "preemptions": 0, "requests": requests}
    empty = {"first_token": None, "token": None}
    return {"instance": name, "host": host, "model": name.rpartition("-")[0], "counted": {**counts, **empty, **more}}


SHARED = shared([change(1, "replace", ["chat-0@gpu1"], BOTH)], 1)
BEGAN = [reading("chat-0@gpu1", 12), reading("chat-1@gpu2", 100)]


def judged(now: list[dict[str, Any]], before: Any = (), last: bool = True, **more: Any) -> dict[str, Any]:
    began = more.pop("began", BEGAN)
    (found,) = canary.verdicts(began, now, list(before), SHARED, RULES, last=last, **more)
    return found


def test_a_good_one() -> None:
    found = judged([reading("chat-0@gpu1", 62), reading("chat-1@gpu2", 600)])
    assert (found["verdict"], found["new"]["requests"], found["old"]["requests"]) == ("good", 50, 500)
    assert found["why"].startswith("real traffic finds nothing wrong with chat-0 (requests: new 50, 0.0 % failed")


def test_one_that_fails_is_bad_at_once() -> None:
    found = judged([reading("chat-0@gpu1", 12, failed_answers=6), reading("chat-1@gpu2", 154)], last=False)
    assert found["verdict"] == "bad"
    assert "chat-0 is not good enough for real traffic: 6 of 6 requests failed, old ones 0 of 54" in found["why"]
    assert canary.out([found]) == [{"name": "chat-0", "host": "gpu1", "weight": 0}]
    assert canary.is_open([])
    assert not canary.is_open([found])


def test_old_ones_without_traffic_are_those_before_the_rollout() -> None:
    before = [reading("chat-0@gpu1", 400, failed_answers=200), reading("chat-1@gpu2", 400, failed_answers=200)]
    now = [reading("chat-0@gpu1", 32, failed_answers=8), reading("chat-1@gpu2", 101)]
    found = judged(now, before)
    assert (found["verdict"], found["old"]["requests"]) == ("good", 1200)
    assert judged(now)["verdict"] == "bad"


def test_too_little_traffic_judges_nobody() -> None:
    found = judged([reading("chat-0@gpu1", 15), reading("chat-1@gpu2", 130)])
    assert (found["verdict"], canary.out([found])) == ("unjudged", [])
    assert "real traffic has not judged chat-0: too few requests came" in found["why"]


def test_an_engine_that_tells_nothing_is_not_waited_for() -> None:
    silent = {**reading("chat-0@gpu1"), "counted": None}
    found = judged([silent], began=[silent], last=False)
    assert found["verdict"] == "unjudged"
    assert not canary.is_open([found])


def test_one_that_started_anew_is_bad() -> None:
    found = judged([reading("chat-0@gpu1", 40, started=50.0)], last=False)
    assert (found["verdict"], "started again" in found["why"]) == ("bad", True)


def test_an_old_one_that_started_anew_is_not_counted() -> None:
    now = [reading("chat-0@gpu1", 62), reading("chat-1@gpu2", 600, started=50.0)]
    assert judged(now)["old"]["requests"] == 0


def test_one_that_does_not_answer_twice_is_bad() -> None:
    silent = [{**reading("chat-0@gpu1"), "counted": None}]
    first = judged(silent, last=False)
    assert (first["verdict"], first["silent"]) == ("open", 1)
    assert judged(silent, last=False, earlier=[first])["verdict"] == "bad"
