# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The usage log: whole lines in files of a bounded number and size, and never into anything else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from gate_log import UsageLog


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_appends_and_begins_the_next_file_when_one_is_full(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    log = UsageLog(str(path), 50, 3)
    for number in range(40):
        log.write({"number": number, "x": "y"})
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["usage.jsonl", "usage.jsonl.1", "usage.jsonl.2"]
    assert all(file.stat().st_size <= 50 for file in files)
    newest = [entry["number"] for file in reversed(files) for entry in lines(file)]
    assert newest == list(range(40))[-len(newest) :]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_line_that_is_longer_than_a_file_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    log = UsageLog(str(path), 10, 2)
    for number in range(3):
        log.write({"number": number, "x": "y" * 50})
    log.close()
    assert [entry["number"] for entry in lines(path)] == [2]
    assert [entry["number"] for entry in lines(tmp_path / "usage.jsonl.1")] == [1]


def test_one_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    log = UsageLog(str(path), 30, 1)
    for number in range(9):
        log.write({"number": number})
    path.unlink()
    log.write({"number": 9})
    log.write({"number": 10})
    log.write({"number": 11})
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["usage.jsonl"]
    assert lines(path)[-1] == {"number": 11}


def test_it_goes_on_with_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    for number in range(2):
        log = UsageLog(str(path), 1000, 2)
        log.write({"number": number})
        log.close()
    assert [entry["number"] for entry in lines(path)] == [0, 1]


def test_other_settings_hold_from_then_on(tmp_path: Path) -> None:
    log = UsageLog(str(tmp_path / "a"), 1000, 2)
    log.write({"number": 0})
    log.configure(str(tmp_path / "b"), 1000, 2)
    log.write({"number": 1})
    with pytest.raises(OSError, match="No such file"):
        log.configure(str(tmp_path / "none" / "c"), 1000, 2)
    log.write({"number": 2})
    log.close()
    assert lines(tmp_path / "a") == [{"number": 0}]
    assert lines(tmp_path / "b") == [{"number": 1}, {"number": 2}]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage.jsonl"
    log = UsageLog(str(path), 1000, 2)
    log.write({"number": 0})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
    with pytest.raises(OSError, match="No space left"):
        log.write({"number": 1})
    monkeypatch.undo()
    log.write({"number": 2})
    log.close()
    assert lines(path) == [{"number": 0}, {"number": 2}]


def test_after_a_failed_turn_it_never_writes_into_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage.jsonl"
    log = UsageLog(str(path), 20, 3)
    log.write({"number": 0})

    def refuse(_source: str, _target: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        log.write({"number": 1})
    # A connection of somebody that gets the lowest free number.
    other = tmp_path / "other"
    with other.open("wb"):
        with pytest.raises(PermissionError):
            log.write({"number": 2})
        monkeypatch.undo()
        log.write({"number": 3})
    log.close()
    assert other.read_bytes() == b""
    assert lines(path) == [{"number": 3}]
    assert lines(tmp_path / "usage.jsonl.1") == [{"number": 0}]
