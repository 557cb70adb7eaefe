# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty answers of the matrix, others each day: engine and arithmetic agree."""

from __future__ import annotations

import datetime
import fnmatch
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.vllm import matrix  # noqa: E402

QUESTIONS = 20
# A busy machine asks fewer.
SECONDS = 150
# The demo's model is made on the machine, and other tests start it; those of the others have the configuration of a
# sibling.
SIBLINGS = {
    "demo:": "*",
    "Qwen/Qwen3-Next-*-Thinking*": "Qwen/Qwen3-Next-*",
    "mistralai/Magistral-*": "mistralai/Mistral-Small-*",
    "mistralai/Ministral-3-*-Reasoning-*": "mistralai/Ministral-3-*",
}


def test_every_entry_of_the_catalogue_has_a_model() -> None:
    catalogue = yaml.safe_load((ROOT / "group_vars" / "all" / "llm_catalog.yml").read_text())["llm_catalog"]
    assert [name for name in catalogue if not fnmatch.filter(matrix.MODELS, SIBLINGS.get(name, name))] == []
    assert all(entry.get("weight_bytes") or entry.get("parameters") for entry in matrix.MODELS.values())


def test_a_beginning_of_the_matrix_is_a_sample_that_the_seed_decides() -> None:
    found = matrix.cases("Qwen/*", "*H100*")
    first = matrix.shuffled(found, "2026-01-01")
    assert first == matrix.shuffled(found, "2026-01-01") != matrix.shuffled(found, "2026-01-02")
    assert sorted(case.name for case in first) == sorted({case.name for case in found})


def test_engine_and_arithmetic_agree_in_what_is_drawn_today(capsys: pytest.CaptureFixture[str]) -> None:
    if not matrix.PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    drawn = matrix.shuffled(matrix.cases(), today)[:QUESTIONS]
    with capsys.disabled():
        print(f"\n{QUESTIONS} questions of {len(matrix.cases())}, drawn by the date: make dry-matrix SEED={today}")
        count, different, silent = matrix.compare(drawn, SECONDS)
    assert different == []
    assert count > len(silent), silent
