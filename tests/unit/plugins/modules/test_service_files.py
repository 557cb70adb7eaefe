# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as Ansible runs it, and the lookup that renders what it writes."""

from __future__ import annotations

import getpass
import grp
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import service_files
from ansible_playbook import played
from module_runner import run_module

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(check: bool, *files: dict[str, str]) -> dict[str, Any]:
        given = {"host": "h", "files": list(files), "_ansible_check_mode": check, "_ansible_diff": True}
        return run_module(service_files.main, given, monkeypatch, capsys)

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_written_once_then_left_alone(run: Any, tmp_path: Path) -> None:
    one = {"dest": str(tmp_path / "one"), "content": "1\n", "mode": "0600", **ME}
    two = {"dest": str(tmp_path / "two"), "content": "zwei ü\n", "mode": "0644", **ME}
    would = run(True, one, two)
    assert (would["changed"], would["paths"]) == (True, [one["dest"], two["dest"]])
    assert names(tmp_path) == []
    assert run(False, one, two)["paths"] == [one["dest"], two["dest"]]
    assert names(tmp_path) == ["one", "two"]
    assert [(tmp_path / name).read_text() for name in names(tmp_path)] == ["1\n", "zwei ü\n"]
    assert [oct((tmp_path / name).stat().st_mode & 0o7777) for name in names(tmp_path)] == ["0o600", "0o644"]
    number = (tmp_path / "one").stat().st_ino
    again = run(False, one, two)
    assert (again["changed"], again["paths"], again["diff"]) == (False, [], [])
    assert (tmp_path / "one").stat().st_ino == number


def test_a_difference_is_shown_with_its_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old\n")
    (tmp_path / "one").chmod(0o600)
    shown = run(False, {"dest": str(tmp_path / "one"), "content": "new\n", "mode": "0600", **ME})["diff"]
    assert [(one["before"], one["after"], one["before_header"]) for one in shown] == [
        ("old\n", "new\n", str(tmp_path / "one"))
    ]


def test_a_mode_alone_is_put_right(run: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("same\n")
    (tmp_path / "one").chmod(0o644)
    done = run(False, {"dest": str(tmp_path / "one"), "content": "same\n", "mode": "0600", **ME})
    assert (done["changed"], (tmp_path / "one").stat().st_mode & 0o7777) == (True, 0o600)
    assert [one["after"].endswith("0600\n") for one in done["diff"]] == [True]


def test_what_is_refused_leaves_the_old_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("good\n")
    wanted = {"dest": str(tmp_path / "one"), "content": "bad\n", "mode": "0600", **ME, "validate": "grep good %s"}
    said = run(False, wanted)
    assert said["failed"] is True
    assert said["msg"].startswith(f"h: {tmp_path}/one: its new text is refused by `grep good %s`")
    assert (tmp_path / "one").read_text() == "good\n"
    assert names(tmp_path) == ["one"]
    assert run(False, {**wanted, "content": "good too\n"})["changed"] is True


def test_a_link_is_replaced_and_what_it_leads_to_stays(run: Any, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other's\n")
    (tmp_path / "one").symlink_to("other")
    assert run(False, {"dest": str(tmp_path / "one"), "content": "ours\n", "mode": "0600", **ME})["changed"] is True
    assert (tmp_path / "other").read_text() == "other's\n"
    assert not (tmp_path / "one").is_symlink()


def test_a_directory_in_its_place_is_refused(run: Any, tmp_path: Path) -> None:
    said = run(True, {"dest": str(tmp_path), "content": "", "mode": "0600", **ME})
    assert said["failed"] is True
    assert "it is a directory" in said["msg"]
    assert "move it away" in said["msg"]


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Write files from templates
      llmfleet.serving.service_files:
        files: "{{ query('llmfleet.serving.rendered_files', *files) }}"
      diff: true
"""


def test_templates_are_rendered_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "one.j2").write_text(
        "#jinja2: trim_blocks: True, lstrip_blocks: True\n# {{ ansible_managed }}\n"
        "  {% if true %}\n{{ item.word }} {{ other }}\n  {% endif %}\n\n"
    )
    (tmp_path / "two.j2").write_text("{{ item.list | to_json }}\n")
    common = {"mode": "0600", **ME}
    files = [
        {"src": str(tmp_path / "one.j2"), "dest": str(tmp_path / "one"), "word": "it's", **common},
        {"src": str(tmp_path / "two.j2"), "dest": str(tmp_path / "two"), "list": [1, "2"], **common},
    ]
    (tmp_path / "play.yml").write_text(PLAY)
    given = {"files": files, "other": "and more", "ansible_python_interpreter": sys.executable}
    (tmp_path / "given.json").write_text(json.dumps(given))
    arguments = ["-i", "localhost,", "-c", "local", "-e", f"@{tmp_path}/given.json", tmp_path / "play.yml"]
    shown = played(*arguments)
    assert "+it's and more" in shown
    assert f"+++ after: {tmp_path}/one" in shown
    assert (tmp_path / "one").read_text() == "# Ansible managed\nit's and more\n\n"
    assert (tmp_path / "two").read_text() == '[1, "2"]\n'
    assert "changed=0" in played(*arguments)
