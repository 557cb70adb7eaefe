# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
RUNNER = """
import json, sys
from ansible.module_utils import basic
try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    patch_module_args = None
from ansible_collections.llmfleet.serving.plugins.modules import apt_removable_info
args = json.loads(sys.argv[1])
if patch_module_args:
    with patch_module_args(args["ANSIBLE_MODULE_ARGS"]):
        apt_removable_info.main()
basic._ANSIBLE_ARGS = sys.argv[1].encode()
apt_removable_info.main()
"""


def run(folder: Path, names: list[str], check: bool) -> dict[str, Any]:
    """Run the module as Ansible does, in a process of its own, with a dpkg and an apt-get that are none."""
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    wanted = {"names": names, "_ansible_check_mode": check, "_ansible_remote_tmp": str(folder)}
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LOG": str(folder / "log"),
        "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
    }
    argv = [sys.executable, "-c", RUNNER, json.dumps({"ANSIBLE_MODULE_ARGS": wanted})]
    result = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert result.stdout, result.stderr
    return dict(json.loads(result.stdout))


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
