# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are there, missing, unreadable, no text, no JSON, and none at all; and that readers only read."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import files

ROOT = Path(__file__).resolve().parents[5]
READERS = [
    *ROOT.glob("plugins/module_utils/host/[!u]*.py"),
    *(path for path in ROOT.glob("plugins/modules/*.py") if "attributes.reads" in path.read_text(encoding="utf-8")),
]


def test_texts(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"gr\xc3\xbcn \xff")
    assert files.read_text(str(path)) == "grün \N{REPLACEMENT CHARACTER}"
    assert files.read_text(str(path), 3) == "grü"
    assert [files.read_text(str(each)) for each in (tmp_path, tmp_path / "none", path / "below")] == [""] * 3


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1]}', {"a": [1]}), ("[]", []), ("{", None), ("", None), ("null", None)]
)
def test_json(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "x").write_text(text)
    assert files.read_json(str(tmp_path / "x")) == value
    assert files.read_json(str(tmp_path / "none")) is None


def test_regular_files(tmp_path: Path) -> None:
    path, pipe = tmp_path / "x", tmp_path / "pipe"
    path.write_bytes(b"12345")
    os.mkfifo(pipe)
    found = files.open_regular(str(path))
    assert found
    with found[0] as handle:
        assert (handle.read(), found[1]) == (b"12345", 5)
    assert files.open_regular(str(tmp_path / "none")) is None
    assert files.open_regular(str(path / "below")) is None
    for other in (pipe, tmp_path):
        with pytest.raises(files.IrregularError):
            files.open_regular(str(other))
    assert files.names(str(tmp_path)) == ["pipe", "x"]


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.stem)
def test_what_reads_does_not_write(path: Path) -> None:
    calls = [call for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(call, ast.Call)]
    modes = [
        [
            getattr(each, "value", None)
            for each in (*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode"))
        ]
        for call in calls
        if getattr(call.func, "id", "") == "open"
    ]
    assert [mode for mode in modes if mode not in ([], ["r"], ["rb"])] == []
