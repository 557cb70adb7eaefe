# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a change of a fleet changes: the worked example, from its recorded facts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.tests.unit.plugins.plugin_utils.whatif.test_answers import FLEET, answer

HOSTS = ["gpu1", "gpu2", "gpu3"]
MODELS: list[dict[str, Any]] = [
    {"name": "chat", "source": "hf://openai/gpt-oss-120b", "replicas": 2, "context": 32768, "concurrency": 8},
    {"name": "small", "source": "hf://meta-llama/Llama-3.1-8B-Instruct", "hosts": ["gpu2"], "context": 8192},
]


def changed(**given: Any) -> tuple[dict[str, Any], str]:
    asked = {"inference": HOSTS, "gateways": ["gateway1"], "remembered": FLEET, "models": MODELS, **given}
    return answer(**asked)


def test_a_host_that_is_added_moves_nothing() -> None:
    found, text = changed(add_hosts="8 x H200")
    assert {one["action"] for one in found["changes"]} == {"="}
    assert "No instance would start, restart or stop." in text
    assert text.startswith("If 8 x H200 is added:")


def test_a_host_that_is_lost_takes_its_instances_along() -> None:
    found, text = changed(remove_hosts="gpu2")
    assert found["models"]["small"]["after"] is None
    (lost,) = found["unplaced"]
    assert (lost["model"], lost["reason"]) == ("small", "all hosts on which it may run are lost (gpu2)")
    assert "- small-0 on gpu2: it has no place any more" in text
    assert "No longer fits:\n! small-0: " in text


def test_instances_of_a_lost_host_move_where_they_may() -> None:
    models = [MODELS[0], {**MODELS[1], "hosts": ["gpu1", "gpu2"]}]
    before, _text = changed(change_model="chat", models=models)
    place = next(one["host"] for one in before["before"]["instances"] if one["model"] == "small")
    found, text = changed(remove_hosts=[place], models=models)
    assert found["unplaced"] == []
    moved = next(one for one in found["changes"] if one["name"] == "small-0")
    assert (moved["action"], moved["why"]) == ("~", "it moves")
    assert "host: " in text


def test_another_context_restarts_the_instances_of_that_model_alone() -> None:
    found, text = changed(change_model="chat", context=65536)
    actions = {one["name"]: one["action"] for one in found["changes"]}
    assert actions == {"chat-0": "~", "chat-1": "~", "small-0": "="}
    assert found["models"]["chat"]["after"]["context"] == 65536
    assert "max_model_len: 32768 -> 65536" in text


def test_another_model_takes_the_place() -> None:
    found, text = changed(change_model="chat", model="Qwen/Qwen3-32B-FP8")
    assert "source hf://Qwen/Qwen3-32B-FP8" in text
    assert {one["source"] for one in found["after"]["instances"] if one["model"] == "chat"} == {
        "hf://Qwen/Qwen3-32B-FP8"
    }


def test_a_further_model_is_added_with_a_host() -> None:
    found, text = changed(change_model="more", model="Qwen/Qwen3-14B", add_hosts="2 x (L40S)", users=4)
    assert found["models"]["more"]["before"] is None
    assert found["models"]["more"]["after"]["replicas"] == 1
    assert "2 x (1 x L40S) is added, and model more is added" in text


def test_what_no_longer_fits_is_told_with_the_plans_remedy() -> None:
    found, text = changed(change_model="chat", users=100000)
    assert {one["model"] for one in found["unplaced"]} == {"chat"}
    assert "! chat-0: " in text


@pytest.mark.parametrize(
    ("given", "variable", "text"),
    [
        ({"remove_hosts": "gpu9"}, "remove_hosts", "did you mean gpu"),
        ({"change_model": "chatt"}, "change_model", "did you mean chat"),
        ({"add_hosts": "8 x H300"}, "add_hosts", "no card is known as H300"),
        ({"add_hosts": "L4", "remembered": {}}, "llm_fleet_file", "run site.yml once"),
    ],
)
def test_wrong_changes(given: dict[str, Any], variable: str, text: str) -> None:
    with pytest.raises(ProblemsError, match=text) as caught:
        changed(**given)
    assert caught.value.problems[0].variable == variable


def test_no_host_is_left() -> None:
    found, text = changed(remove_hosts="gpu1,gpu2,gpu3")
    assert found["after"]["instances"] == []
    assert "No longer fits:" in text
