# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What engines answered: by what it is found again, how the search goes on with it, and what the plan says of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report, serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answered_layout import AnsweredLayout, corrected
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers, covers, digest, merged
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    L4,
    machine,
    model,
)

GIB = 1024**3
RELEASES = {"vllm": "0.32.0"}
SENTENCE = "Total number of attention heads must be divisible by tensor parallel size."


def planned(*facts: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """Plan one model on four cards, with what an engine answered."""
    asked = {"context": 8192, "concurrency": 4, **asked}
    models = [model("chat", **asked)]
    models[0]["facts"] = {**models[0]["facts"], "config_digest": "748f836ae4e3"}
    answers = Answers(facts, RELEASES)
    plan = serving_plan.plan(models, {"gpu1": machine(4, L4)}, answers=answers)
    changes = report.changes(plan["instances"], [])
    said = plan_asked.verdicts(models, plan["instances"], changes, answers)
    return {**plan, "changes": changes, "said": said, "models": models}


def fact(plan: dict[str, Any], **said: Any) -> dict[str, Any]:
    """An answer about the first instance of a plan."""
    (question,) = plan_asked.questions(plan["instances"], plan["said"])
    length = plan["instances"][0]["max_model_len"]
    return {**question["key"], "accepted": True, "sentence": "", "max_model_len": length, "asked_on": "gpu1", **said}


def test_nobody_was_asked_at_first() -> None:
    plan = planned()
    assert plan_asked.lines(plan["said"]) == [
        "Nobody was asked about chat-0: it is not installed there, or has not been asked yet"
    ]
    assert [question["host"] for question in plan_asked.questions(plan["instances"], plan["said"])] == ["gpu1"]


def test_an_engine_that_agrees_is_not_asked_again() -> None:
    first = planned()
    again = planned(fact(first))
    assert again["instances"] == first["instances"]
    assert plan_asked.questions(again["instances"], again["said"]) == []
    assert plan_asked.lines(again["said"]) == ["vLLM 0.32.0 starts chat-0 (asked on gpu1)"]


def test_the_search_goes_on_after_a_refusal() -> None:
    first = planned()
    refused = fact(first, accepted=False, sentence=SENTENCE)
    second = planned(refused)
    assert first["instances"][0]["tensor_parallel_size"] == 1
    assert second["instances"][0]["tensor_parallel_size"] == 2
    third = planned(refused, fact(second, accepted=False, sentence=SENTENCE))
    assert third["instances"][0]["tensor_parallel_size"] == 4


def test_what_is_refused_with_a_long_step_is_not_tried_with_a_short_one() -> None:
    said = {**fact(planned()), "max_num_batched_tokens": 8192}
    wanted = {**said, "max_num_batched_tokens": 2048}
    refused = {**said, "accepted": False, "sentence": SENTENCE}
    assert Answers([refused], RELEASES).refused(wanted, 8192) == refused
    assert Answers([refused], RELEASES).refused({**wanted, "max_num_batched_tokens": 16384}, 8192) is None
    # An answer about this very step counts more.
    assert Answers([refused, wanted], RELEASES).refused(wanted, 8192) is None


def test_what_is_refused_in_every_way_is_told_with_the_engines_sentence() -> None:
    facts: list[dict[str, Any]] = []
    while (plan := planned(*facts, args={"tensor-parallel-size": 2, "pipeline-parallel-size": 1}))["instances"]:
        facts.append(fact(plan, accepted=False, sentence=SENTENCE))
        assert len(facts) < 3
    (missing,) = plan["unplaced"]
    assert missing["reason"].startswith("vLLM 0.32.0 refuses it on 2 x NVIDIA L4 as TP 2 x PP 1: Total number of")
    assert missing["remedy"] == plan_asked.REMEDY


def test_figures_of_the_engine_replace_the_computed_ones() -> None:
    first = planned(concurrency=1)
    (one,) = first["instances"]
    block = one["memory"]["kv_cache"] // one["kv_cache_blocks"]
    said = fact(first, weights=one["memory"]["weights"] + GIB, bytes_per_block=2 * block, blocks={"8192": 512})
    assert plan_asked.judged(one, said)["differences"] == [
        f"weights of {said['weights'] / GIB:.2f} GiB on each GPU, planned are {one['memory']['weights'] / GIB:.2f}",
        f"{one['memory']['kv_cache'] // (2 * block)} blocks of KV cache, planned are {one['kv_cache_blocks']}",
    ]
    second = planned(said, concurrency=1)["instances"][0]
    assert second["memory"]["weights"] == said["weights"]
    assert second["kv_cache_blocks"] == second["memory"]["kv_cache"] // (2 * block)


def test_a_cache_that_is_too_small_is_a_refusal() -> None:
    one = planned()["instances"][0]
    needed = one["memory"]["kv_cache"] + 1
    said = {"accepted": True, "bytes_to_start": {str(one["max_model_len"]): needed}}
    told = plan_asked.judged(one, said)
    assert told["accepted"] is False
    assert f"a request of {one['max_model_len']} tokens needs a KV cache of" in told["sentence"]


def test_an_answer_of_another_release_card_or_flag_does_not_count() -> None:
    said = fact(planned())
    for other in ({"release": "0.31.0"}, {"product_name": "NVIDIA L40"}, {"flags": digest({"x": 1})}, {"config": "0"}):
        plan = planned({**said, **other})
        assert plan["said"]["chat-0"]["accepted"] is None
    assert planned(said)["said"]["chat-0"]["accepted"] is True


def test_what_could_not_be_told_is_not_asked_again_in_the_run() -> None:
    plan = planned(fact(planned(), accepted=None, sentence="no answer within 60 s"))
    assert plan_asked.lines(plan["said"]) == ["Nobody was asked about chat-0: no answer within 60 s"]
    assert plan_asked.questions(plan["instances"], plan["said"]) == []


def test_instances_that_stay_are_not_asked_about() -> None:
    plan = planned()
    stays = [{**change, "action": "="} for change in plan["changes"]]
    said = plan_asked.verdicts(plan["models"], plan["instances"], stays, Answers([], RELEASES))
    assert plan_asked.questions(plan["instances"], said) == []
    refusal = Answers([fact(plan, accepted=False, sentence=SENTENCE)], RELEASES)
    said = plan_asked.verdicts(plan["models"], plan["instances"], stays, refusal)
    assert plan_asked.problems(plan["instances"], stays, said) == []
    assert len(plan_asked.problems(plan["instances"], plan["changes"], said)) == 1


@pytest.mark.parametrize(
    ("accepted", "asked", "length", "holds"),
    [
        (True, 8192, 4096, True),
        (True, 8192, 9000, False),
        (False, 8192, 9000, True),
        (False, 8192, 4096, False),
        (True, None, None, True),
        (True, 8192, None, False),
    ],
)
def test_an_answer_covers_other_contexts(accepted: bool, asked: int | None, length: int | None, holds: bool) -> None:
    assert covers({"accepted": accepted, "max_model_len": asked}, length) is holds


def test_new_answers_replace_earlier_ones_and_those_of_another_release() -> None:
    said = {**fact(planned()), "engine": "vllm"}
    old, other = {**said, "release": "0.31.0"}, {**said, "product_name": "NVIDIA L40"}
    refused = {**said, "accepted": False}
    assert merged([refused], [said, old, other]) == [refused, other]
    assert merged([{**said, "accepted": None}], [said]) == [said]


class Computed:
    """A layout of 16 tokens a block."""

    block_size, bytes_per_block, limits_sequences = 16, 100, False

    def blocks_for(self, length: int) -> int:
        return -(-length // 16)


def test_a_layout_is_corrected_only_where_it_differs() -> None:
    computed: Any = Computed()
    assert corrected(computed, {"bytes_per_block": 100, "blocks": {"160": 10}}) is computed
    assert corrected(computed, {}) is computed
    layout = corrected(computed, {"bytes_per_block": 200, "blocks": {"160": 15}})
    assert isinstance(layout, AnsweredLayout)
    assert (layout.blocks_for(160), layout.blocks_for(320)) == (15, 30)
    assert layout.num_blocks(4000) == 20
    assert layout.longest(4000, 1000) == 192
    assert layout.fits(4000, 192)
    assert not layout.fits(4000, 193)
    assert layout.capacity(4000, 160)["kv_cache_blocks"] == 20
