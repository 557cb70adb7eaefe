# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dry start: how a question becomes a command line, and what becomes of one that is not answered."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from load_file import load_file

PROGRAMS = Path(__file__).resolve().parents[4] / "roles" / "vllm" / "files" / "programs"
CARD = {"name": "Tesla T4", "capability": "7.5", "memory_mib": 15360}


@pytest.fixture
def dry_start() -> ModuleType:
    return load_file(PROGRAMS / "dry_start.py")


def test_flags_become_a_command_line(dry_start: ModuleType) -> None:
    flags = {"a-size": 2, "b": True, "c": False, "d": ["x", 1], "e": {"method": "mtp"}, "f": None}
    assert dry_start.command_line(flags) == ["--a-size=2", "--b", "--no-c", "--d", "x", "1", '--e={"method": "mtp"}']


def test_a_question_is_completed(dry_start: ModuleType, tmp_path: Path) -> None:
    asked = dry_start.completed({"model": "/srv/m", "argv": ["--x=1"], "card": CARD, "lengths": [8]}, tmp_path)
    assert asked == {
        "argv": ["--model=/srv/m", "--x=1"],
        "card": {"name": "Tesla T4", "capability": (7, 5), "memory_bytes": 15360 * 2**20, "count": 8},
        "lengths": [8],
        "kv_cache_bytes": [],
    }
    assert dry_start.completed({"model": "/srv/m"}, tmp_path)["card"] is None


def test_files_of_a_question_are_written_inside_its_folder_and_weights_take_no_space(
    dry_start: ModuleType, tmp_path: Path
) -> None:
    header = {"__metadata__": {}, "w": {"dtype": "BF16", "shape": [2**30], "data_offsets": [0, 2**31]}}
    files = {"../config.json": {"model_type": "x"}, "model.safetensors": header}
    assert dry_start.completed({"files": files}, tmp_path)["argv"] == [f"--model={tmp_path}"]
    assert (tmp_path / "config.json").read_text() == '{"model_type": "x"}'
    weights = (tmp_path / "model.safetensors").stat()
    assert weights.st_size > 2**31
    assert weights.st_blocks * 512 < 2**20


def answered(dry_start: ModuleType, monkeypatch: pytest.MonkeyPatch, judged: Any, seconds: float) -> dict[str, Any]:
    """What a question gets that is judged by a function."""
    monkeypatch.setattr(dry_start, "judged", judged)
    monkeypatch.setattr(dry_start, "limit_child", lambda: None)
    monkeypatch.setattr(dry_start, "SECONDS", seconds)
    return dict(dry_start.in_child({}))


def test_an_answer_comes_from_a_child(dry_start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answered(dry_start, monkeypatch, lambda _question, _scratch: {"accepted": True, "pid": os.getpid()}, 20)
    assert said["accepted"] is True
    assert said["pid"] != os.getpid()


def test_a_question_that_takes_too_long_is_given_up(dry_start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answered(dry_start, monkeypatch, lambda _question, _scratch: time.sleep(60), 0.2)
    assert said == {"accepted": None, "error": "no answer within 0.2 s"}


def test_a_child_that_dies_is_no_refusal(dry_start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answered(dry_start, monkeypatch, lambda _question, _scratch: os._exit(3), 20)
    assert said["accepted"] is None
    assert "without an answer" in said["error"]
