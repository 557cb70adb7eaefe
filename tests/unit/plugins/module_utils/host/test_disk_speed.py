# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weights of real files, read past the cache and within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import disk_speed


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    sizes = {"small": 10, "large": 3 * 2**20}
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"x" * size)
    measured = disk_speed.measure_disk({name: str(tmp_path / name) for name in [*sizes, "none"]})
    assert (measured["sizes"], measured["read"]) == ({**sizes, "none": 0}, 3 * 2**20)
    assert measured["seconds"] > 0
    assert disk_speed.measure_disk({}) == {"sizes": {}, "read": 0, "seconds": 0.0}


def test_reading_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "BLOCK", 2**20)
    monkeypatch.setattr(disk_speed, "READ_BYTES", 2 * 2**20)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 5 * 2**20)
    assert disk_speed.read_rate(str(path))[0] == 2 * 2**20
    monkeypatch.setattr(disk_speed, "MOST_FILES", 0)
    assert disk_speed.weight_files(str(tmp_path)) == {}


def test_a_file_system_that_knows_no_direct_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    real = os.open

    def refuse(name: str, flags: int, *rest: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real(name, flags, *rest)

    monkeypatch.setattr(disk_speed.os, "open", refuse)
    assert disk_speed.read_rate(str(path))[0] == 1000
