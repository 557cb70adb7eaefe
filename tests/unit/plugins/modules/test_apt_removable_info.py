# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from module_runner import run_apart

# What dpkg and apt-get say of a system in which "site" needs "nginx", and "gone" was removed by somebody else.
PROGRAMS = {
    "dpkg-query": """\
printf 'ii  nginx\\nii  prometheus\\nrc  left\\nun  gone\\n'
echo 'dpkg-query: no packages found matching never' >&2
exit 1
""",
    "apt-get": """\
echo "$LC_ALL $*" >> "$LOG"
for word; do
  case $word in
    nginx) printf 'Purg site [1] []\\nPurg nginx [1]\\n' ;;
    prometheus | left) printf 'Purg %s [1]\\n' "$word" ;;
  esac
done
""",
}


def run(folder: Path, names: list[str], check: bool) -> dict[str, Any]:
    """Run the module as Ansible does, in a process of its own, with a dpkg and an apt-get that are none."""
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(folder / "log")}
    return run_apart("apt_removable_info", {"names": names, "_ansible_check_mode": check}, environment)


@pytest.mark.parametrize("check", [True, False])
def test_what_others_need_is_told_and_the_rest_can_go(tmp_path: Path, check: bool) -> None:
    found = run(tmp_path, ["nginx", "prometheus", "left", "gone", "never"], check)
    assert found["changed"] is False
    assert found["removable"] == ["prometheus", "left"]
    assert found["kept"] == {"nginx": ["site"]}
    calls = (tmp_path / "log").read_text().splitlines()
    assert calls
    assert all(call.startswith("C --simulate ") and " purge " in call for call in calls), calls


def test_nothing_was_installed(tmp_path: Path) -> None:
    found = run(tmp_path, [], True)
    assert (found["removable"], found["kept"]) == ([], {})
    assert not (tmp_path / "log").exists()
