# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How flags are judged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

KNOWN = ["--max-num-seqs", "--max-model-len", "--compilation-config", "--enable-prefix-caching"]


class ValidationError(ValueError):
    """Shaped like pydantic's."""

    def errors(self) -> list[dict[str, Any]]:
        return [{"loc": ("mode",), "msg": "Value error, too long"}]


def test_flags_are_read_back_with_their_values(check_flags: ModuleType) -> None:
    argv = ["--model=/a=b", "--served-model-name", "chat", "x", "--enforce-eager"]
    assert check_flags.given(argv) == {
        "--model": "/a=b",
        "--served-model-name": "chat x",
        "--enforce-eager": "",
    }


@pytest.mark.parametrize(
    "flag", ["--max-num-seqs", "--max_num_seqs", "--compilation-config.mode", "--compilation-config.x+"]
)
def test_a_known_flag_passes_in_every_spelling(check_flags: ModuleType, flag: str) -> None:
    assert check_flags.unknown({flag: "1"}, KNOWN) == ""


def test_an_unknown_flag_is_named_with_its_value_and_the_nearest_known(check_flags: ModuleType) -> None:
    text = check_flags.unknown({"--max-num-seq": "16"}, KNOWN)
    assert text == '.args.max-num-seq is "16": this vLLM has no such flag; did you mean max-num-seqs.'
    assert "leave it out" in check_flags.unknown({"--zzzz": ""}, KNOWN)


def test_a_reason_is_one_sentence_with_flag_value_and_remedy(check_flags: ModuleType) -> None:
    argv = ["--max-num-seqs=many"]
    error = check_flags.FlagError("argument --max-num-seqs: invalid int value:\n 'many'")
    assert check_flags.reason(error, argv) == (
        '.args.max-num-seqs is "many": this vLLM refuses it: '
        "argument --max-num-seqs: invalid int value: 'many'; change args, context or source."
    )
    assert ": mode: too long; change" in check_flags.reason(ValidationError("x"), argv)
    assert ": no such parser; change" in check_flags.reason(KeyError("no such parser"), argv)
    assert ": RuntimeError; change" in check_flags.reason(RuntimeError(), argv)
    assert check_flags.reason(check_flags.UnknownFlagError("said"), argv) == "said"


def test_a_stamp_replaces_the_one_before(check_flags: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        check_flags.leave_stamp(tmp_path / "checked" / name)
    assert [path.name for path in (tmp_path / "checked").iterdir()] == ["b"]


def test_the_request_comes_and_goes_on_by_standard_input(
    check_flags: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A command line is visible to every user."""
    secrets = {"TOOL_TOKEN": "canary-0123"}
    request = {"host": "gpu1", "stamp": str(tmp_path / "checked" / "s"), "commands": [[["python"], {}, secrets]]}
    seen = {}

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        seen.update(how, command=command)
        return subprocess.CompletedProcess(command, 0, "noise\n[]", "")

    monkeypatch.setattr(check_flags.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["check_flags.py"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
    check_flags.main()
    assert "canary-0123" in seen["input"]
    assert "canary-0123" not in str(seen["command"]) + str(seen["env"])
    assert (tmp_path / "checked" / "s").exists()
    monkeypatch.setattr(sys, "argv", ["check_flags.py", "--child"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(seen["input"]))
    monkeypatch.setattr(check_flags, "check", lambda given: [given["host"]])
    check_flags.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == ["gpu1"]


def test_a_message_shows_no_value_of_a_secret(check_flags: ModuleType) -> None:
    secrets = {"A": "canary-01", "B": "canary-0123", "C": "1", "D": 123456}
    assert check_flags.without(secrets, "canary-0123 1 canary-01 123456") == "*** 1 *** ***"
