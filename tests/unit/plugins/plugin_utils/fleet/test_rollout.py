# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rollouts: what they may change, the way back, rollbacks, and models that are held."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes, rollout

MODELS = ["chat", "guide"]


def instance(name: str, host: str, **more: Any) -> dict[str, Any]:
    model = name.rpartition("-")[0]
    return {"name": name, "model": model, "host": host, "engine": "vllm", "port": 8100, **more}


def step(number: int, kind: str, *places: tuple[str, str], traffic: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "number": number,
        "kind": kind,
        "instances": [{"name": name, "host": host} for name, host in places],
        "hosts": [host for _name, host in places],
        "in_service": {},
        "traffic": [list(place) for place in traffic],
        "why": "",
    }


OLD = [instance("chat-0", "a", revision="1"), instance("chat-1", "b", revision="1")]
BOTH = [("chat-0", "a"), ("chat-1", "b")]
# One replica is added on a third host, then the two that run are changed one after another.
PLAN = {
    "instances": [
        instance("chat-0", "a", revision="2"),
        instance("chat-1", "b", revision="2"),
        instance("chat-2", "c", revision="2"),
    ],
    "steps": [
        step(1, "start", ("chat-2", "c"), traffic=BOTH),
        step(2, "traffic", ("chat-2", "c"), traffic=[*BOTH, ("chat-2", "c")]),
        step(3, "replace", ("chat-0", "a"), traffic=[*BOTH, ("chat-2", "c")]),
        step(4, "replace", ("chat-1", "b"), traffic=[*BOTH, ("chat-2", "c")]),
    ],
    "ending": [],
}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", "model is not given: name what to roll out with -e model=chat"),
        (None, "model is not given"),
        ("chta", "did you mean chat"),
        ("chat,zzz", "llm_models has chat, guide"),
    ],
)
def test_names_that_are_wrong_are_told(asked: Any, words: str) -> None:
    (said,) = rollout.name_problems(asked, MODELS, "roll out")
    assert words in said


@pytest.mark.parametrize("asked", ["chat", " chat , guide", "all", ["guide"]])
def test_names_that_are_right(asked: Any) -> None:
    assert rollout.name_problems(asked, MODELS, "roll out") == []


def test_a_rollout_changes_no_model_that_it_does_not_name() -> None:
    planned = {
        "plan": {"instances": [instance("chat-0", "a"), instance("guide-0", "a")]},
        "changes": [
            {"name": "chat-0", "action": "~"},
            {"name": "guide-0", "action": "~"},
            {"name": "gone-0", "action": "-"},
        ],
    }
    said = rollout.rollout_problems(planned, "chat", MODELS)
    assert [one.partition(" (")[0] for one in said] == [
        "the inventory changes guide too",
        "the inventory changes gone too",
    ]
    assert "-e model=chat,gone,guide" in said[0]
    assert rollout.rollout_problems({**planned, "changes": planned["changes"][:1]}, "chat", MODELS) == []


def test_the_way_back_is_the_reverse_of_what_was_begun() -> None:
    back = rollout.undo_plan(PLAN, 3, OLD)
    assert [(one["undoes"], one["instances"][0]["name"]) for one in back["steps"]] == [(3, "chat-0"), (1, "chat-2")]
    # What is restored is at its old address again, and gateways send to nobody whom the rollout had added at the end.
    assert back["steps"][0]["traffic"] == [["chat-0", "a"], ["chat-1", "b"], ["chat-2", "c"]]
    assert back["steps"][1]["traffic"] == [["chat-0", "a"], ["chat-1", "b"]]
    assert {one["name"]: one["revision"] for one in back["instances"]} == {"chat-0": "1", "chat-1": "1", "chat-2": "2"}
    # The others serve while one is restored.
    assert changes.drained(back, 1, OLD) == ["chat"]


def test_a_host_restores_what_was_replaced_and_stops_what_was_started() -> None:
    replaced = rollout.going_back(PLAN, 3, "a", OLD[:1], "it fails")
    assert replaced["restored"] == [{"service": "vllm-chat-0", "hold": True, "why": "it fails"}]
    assert [one["revision"] for one in replaced["mine"]["untouched"]] == ["1"]
    assert replaced["mine"]["kept"] == ["vllm-chat-0"]
    started = rollout.going_back(PLAN, 1, "c", [], "it fails")
    assert started["restored"] == []
    assert (started["mine"]["kept"], started["mine"]["engines"], started["mine"]["planned"]) == ([], ["vllm"], [])


def test_the_report_tells_what_was_seen_and_undone() -> None:
    said = rollout.rollout_report([{"host": "a", "step": 3, "why": "it answers 500"}], PLAN["steps"], ["chat"])
    assert "step 3, chat-0 on a: it answers 500" in said
    assert said.index("chat-0 on a was restored") < said.index("chat-2 on c was stopped again")
    assert "chat-1" not in said
    assert "-e llm_resume=chat" in said


def resolved(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "chat", "replicas": 2, "min_in_service": None, **more}]


def test_a_rollback_takes_one_instance_back_at_a_time() -> None:
    machines = {"a": {"serving": ["chat-0"]}, "b": {"serving": ["chat-1"]}}
    back = rollout.rollback_plan(OLD, machines, resolved(), ["chat"], [])
    assert [one["instances"][0]["name"] for one in back["steps"]] == ["chat-0", "chat-1"]
    assert back["problems"] == []
    assert changes.drained(back, 1, OLD) == ["chat"]


def test_a_rollback_below_the_floor_is_refused_with_the_arithmetic() -> None:
    machines = {"a": {"serving": ["chat-0"]}}
    back = rollout.rollback_plan(OLD[:1], machines, resolved(replicas=1), ["chat"], [])
    (said,) = back["problems"]
    assert said.startswith("a: taking chat-0 out leaves 0 of 1 in service, and min_in_service is 1")
    assert rollout.rollback_plan(OLD[:1], machines, resolved(replicas=1), ["chat"], ["chat"])["problems"] == []
    # One that does not serve can always be taken back.
    assert rollout.rollback_plan(OLD[:1], {"a": {"serving": []}}, resolved(), ["chat"], [])["problems"] == []


HELD = {"a": {"held": {"chat-0": {"model": "chat", "who": "eva@desk", "since": "2026-11-27", "why": "it failed"}}}}


def test_what_is_held_is_told_with_who_and_why() -> None:
    (said,) = holds.lines(holds.held(HELD, []))
    assert said.startswith("chat is held by eva@desk since 2026-11-27 (it failed): chat-0 stay as they are")
    assert holds.held(HELD, ["chat"]) == holds.held(HELD, ["all"]) == {}


def test_instances_of_a_held_model_are_planned_as_they_are_in_force() -> None:
    planned = [instance("chat-0", "a", revision="2", address="h:1"), instance("chat-2", "a"), instance("guide-0", "a")]
    found = holds.kept(planned, {"chat"}, {"chat-0": OLD[0]})
    assert [(one["name"], one.get("revision"), one.get("address")) for one in found] == [
        ("chat-0", "1", "h:1"),
        ("guide-0", None, None),
    ]


def test_a_host_leaves_a_held_instance_alone() -> None:
    plan = {"instances": [OLD[0], instance("guide-0", "a")], "steps": [], "held": {"chat-0": {"host": "a"}}}
    mine = changes.engine_step_on(plan, 0, "a", [OLD[0]])
    assert (mine["names"], mine["kept"]) == (["guide-0"], ["vllm-chat-0"])
    assert mine["untouched"] == [OLD[0]]


@pytest.mark.parametrize(
    ("resumed", "services"), [("chat", ["vllm-chat-0"]), (["all"], ["vllm-chat-0"]), ("guide", []), ("", []), ([], [])]
)
def test_a_model_is_released_by_name(resumed: Any, services: list[str]) -> None:
    held = {"chat-0": {"model": "chat"}}
    assert rollout.released_services([*OLD, instance("guide-0", "a")], held, resumed) == services
