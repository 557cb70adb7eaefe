# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as Ansible runs it: real, in check mode, twice, and with nothing to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import engine_measurements_info
from module_runner import run_module

SAID = "CPU KV cache size: 3,840 tokens, Maximum concurrency for 3,712 tokens per request: 1.03x\n"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool = False, **params: Any) -> Any:
    args = {**params, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}
    return run_module(engine_measurements_info.main, args, monkeypatch, capsys)


@pytest.mark.parametrize("check", [False, True])
def test_a_log_of_supervisor(
    check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vllm-chat-0.log").write_text(SAID)
    params = {
        "instances": [{"name": "chat-0", "source": "demo:"}],
        "log_root": str(tmp_path),
        "packages": {"vllm": {"digest": "abc"}},
    }
    first = run(monkeypatch, capsys, check, **params)
    assert first["changed"] is False
    (entry,) = first["measured"]
    assert entry["measured"] == {"kv_cache_tokens": 3840, "max_model_len": 3712}
    (tmp_path / "vllm-chat-0.log").unlink()
    again = run(monkeypatch, capsys, check, **params, earlier=first["measured"])
    assert again["measured"] == first["measured"]


def test_neither_log_nor_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run(monkeypatch, capsys, instances=[{"name": "chat-0"}], log_root=str(tmp_path))
    assert result["measured"] == []
