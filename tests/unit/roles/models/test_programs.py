# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of a repository are fetched, and what the demo model is to learn."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

ANSWERS = json.loads(
    (Path(__file__).resolve().parents[4] / "roles/models/files/programs/demo_answers.json").read_text()
)


def test_weights_are_fetched_once(hub_snapshot: ModuleType) -> None:
    files = {"config.json": 1, "model.safetensors": 9, "pytorch_model.bin": 9, "original/x.pth": 9, "a.gguf": 9}
    assert set(hub_snapshot.wanted(files, ["original/*", "*.gguf"])) == {"config.json", "model.safetensors"}
    del files["model.safetensors"]
    assert "pytorch_model.bin" in hub_snapshot.wanted(files, ["original/*", "*.gguf"])


def test_what_does_not_fit_is_not_begun(
    hub_snapshot: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10 * 2**30, 0, 10 * 2**30))
    hub_snapshot.check_space({"a": 8 * 2**30}, str(tmp_path))
    with pytest.raises(SystemExit, match=r"11\.0 GiB .* 10\.0 GiB are free.*llm_models_root"):
        hub_snapshot.check_space({"a": 10 * 2**30}, str(tmp_path))


def test_no_question_has_two_answers() -> None:
    asked = [ask for intent in ANSWERS["answers"] for ask in intent.get("ask", []) + intent.get("about", [])]
    asked += ANSWERS["repeat"]["ask"]
    assert len(asked) == len(set(asked))
    assert all(ask == ask.lower() for ask in asked)


def test_answers_part_with_their_first_words() -> None:
    """Two that begin alike are hard to learn apart: the first words decide which it is."""
    answers = [intent["answer"] for intent in ANSWERS["answers"]] + [ANSWERS["unknown"]]
    beginnings = [" ".join(answer.split()[:2]) for answer in answers]
    assert len(beginnings) == len(set(beginnings))


def test_the_demo_can_show_a_stream_and_an_endless_repetition() -> None:
    assert max(len(intent["answer"].split()) for intent in ANSWERS["answers"]) > 100
    assert ANSWERS["repeat"]["token"].strip()
