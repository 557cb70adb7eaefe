# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as Ansible runs it: real, in check mode, twice, and where something is in the way."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import service_directories
from module_runner import run_module

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(check: bool, *directories: dict[str, str]) -> dict[str, Any]:
        given = {"directories": list(directories), "_ansible_check_mode": check, "_ansible_diff": True}
        return run_module(service_directories.main, given, monkeypatch, capsys)

    return call


def test_made_once_then_left_alone(run: Any, tmp_path: Path) -> None:
    one = {"path": str(tmp_path / "a"), "mode": "0750", **ME}
    two = {"path": str(tmp_path / "a" / "b" / "c"), "mode": "0700", **ME}
    would = run(True, one, two)
    assert (would["changed"], would["paths"]) == (True, [one["path"], two["path"]])
    assert not (tmp_path / "a").exists()
    assert f"{one['path']}: absent" in would["diff"]["before"]
    assert run(False, one, two)["changed"] is True
    assert [oct((tmp_path / name).stat().st_mode & 0o7777) for name in ("a", "a/b/c")] == ["0o750", "0o700"]
    again = run(False, one, two)
    assert (again["changed"], again["paths"], again["diff"]["after"]) == (False, [], "")


def test_a_mode_is_put_right_and_a_missing_user_is_no_matter_in_check_mode(run: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    put = run(False, {"path": str(tmp_path), "mode": "0755", **ME})
    assert put["changed"]
    assert tmp_path.stat().st_mode & 0o7777 == 0o755
    would = run(
        True, {"path": str(tmp_path / "new"), "mode": "0755", "owner": "llm-nobody-yet", "group": "llm-nobody-yet"}
    )
    assert would["paths"] == [str(tmp_path / "new")]


def test_what_is_handed_over_later_keeps_its_owner_and_gets_its_mode(run: Any, tmp_path: Path) -> None:
    state = {"path": str(tmp_path / "state"), "owner": "nobody-yet", "group": "nobody-yet", "mode": "0750"}
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state").chmod(0o700)
    assert run(True, state)["diff"]["after"] == f"{tmp_path}/state: nobody-yet:nobody-yet 0750\n"
    assert run(False, {**state, "handed_over": True})["paths"] == [state["path"]]
    assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o750
    assert run(False, {**state, "handed_over": True})["changed"] is False
    new = {**state, **ME, "path": str(tmp_path / "new"), "handed_over": True}
    assert run(False, new)["diff"]["before"] == f"{tmp_path}/new: absent\n"


def test_a_file_in_the_way_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    refused = run(False, {"path": str(tmp_path / "x"), "mode": "0755", **ME})
    assert refused["failed"]
    assert refused["msg"].partition(": ")[2].startswith(f'directories.path is "{tmp_path}/x": it is not a directory')
