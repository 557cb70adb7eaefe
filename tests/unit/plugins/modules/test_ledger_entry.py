# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to a host is a line of its ledger, with who holds its lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger
from ansible_collections.llmfleet.serving.plugins.modules import ledger_entry
from module_runner import run_module


def test_an_entry_names_the_run_that_holds_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"id": "aa", "user": "ann", "control_host": "ops1", "playbook": "maintain.yml"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    given = {"kind": "hold", "verdict": "hold: a fan is replaced", "state_root": str(tmp_path)}
    assert run_module(ledger_entry.main, {**given, "_ansible_check_mode": True}, monkeypatch, capsys)["changed"]
    assert not (tmp_path / "ledger.jsonl").exists()
    assert run_module(ledger_entry.main, given, monkeypatch, capsys)["who"] == "ann@ops1"
    (entry,) = ledger.entries((tmp_path / "ledger.jsonl").read_text())
    assert entry["kind"] == "hold"
    assert entry["instance"] == ""
    assert entry["verdict"] == "hold: a fan is replaced"
    assert entry["playbook"] == "maintain.yml"
