# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic against answers of the dry start of vLLM 0.32 that were recorded: the catalogue's models on 13 cards.

tests/vllm/matrix_answers.json holds what `make dry-matrix` heard: refusals, dtypes, blocks and bytes of the KV cache,
weights of a rank; tests/vllm/matrix_models.json the configurations.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import PINNED
from ansible_collections.llmfleet.serving.tests.vllm import matrix

ANSWERS: list[dict[str, Any]] = json.loads(matrix.RECORD.with_name("matrix_answers.json").read_text())
CASES = {case.name: case for case in matrix.cases()}


def test_every_model_and_every_card_has_answers_of_the_pinned_release() -> None:
    assert PINNED == (0, 32)
    asked = [CASES[said["id"]] for said in ANSWERS]
    assert {case.model for case in asked} == set(matrix.MODELS)
    assert {case.card for case in asked} == set(matrix.CARDS)


@pytest.mark.parametrize("said", ANSWERS, ids=[said["id"] for said in ANSWERS])
def test_the_arithmetic_answers_as_the_engine_did(said: dict[str, Any]) -> None:
    assert matrix.differences(CASES[said["id"]], said) == []


def test_a_difference_is_told_with_both_values() -> None:
    said = next(one for one in ANSWERS if one["accepted"] and one["requests"])
    case, stage = CASES[said["id"]], said["stages"][0]
    heavier = {**stage, "weights_bytes": stage["weights_bytes"] * 1.03}
    other = {**said, "dtype": "float32", "bytes_per_block": [1], "stages": [heavier]}
    assert [text.partition(":")[0] for text in matrix.differences(case, other)] == [
        "dtype",
        "bytes_per_block",
        "weights",
    ]
    (refused,) = matrix.differences(case, {"accepted": False, "refusal": "It is too large."})
    assert refused == "arithmetic: accepted; engine: It is too large."
