# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of a rank by arithmetic, against what vLLM 0.32 answered: the catalogue, with each card and TP of the table.

The table's figures have buffers (cached rotary positions) in them, which the arithmetic counts beside weights.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.engine import Vllm
from ansible_collections.llmfleet.serving.tests.vllm import table

ENTRIES: list[dict[str, Any]] = json.loads(table.TABLE.read_text())["entries"]
CARDS = {card.capability: table.device_of(card.name) for card in cards.CARDS}
TOLERANCE = 0.02
# vLLM quantises an encoder that the checkpoint names otherwise than its own class does, and holds less of it.
WIDER = {"mistralai/Ministral-3-8B-Instruct-2512": 0.04}


def test_the_table_has_the_whole_catalogue() -> None:
    assert {name for entry in ENTRIES for name in entry["models"]} <= set(table.CONFIGS)
    assert len(ENTRIES) > 90


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["models"][0] for entry in ENTRIES])
def test_weights_of_a_rank_are_those_of_the_engine(entry: dict[str, Any]) -> None:
    model = table.model_of(entry["models"][0])
    facts, different = model["facts"], []
    for row in entry["rows"]:
        for asked in row["asked"] if row["said"]["accepted"] else ():
            capability, ranks, dtype, _kv, _step = asked.split("/")
            held = Vllm().rank_weight_bytes(facts, model["args"], CARDS[capability], dtype, (int(ranks), 1, 1))
            share = (held + facts["buffer_bytes"]) / row["said"]["weights"] - 1
            if abs(share) > WIDER.get(entry["models"][0], TOLERANCE):
                different.append(f"{asked}: {share:+.1%}")
    assert different == []
