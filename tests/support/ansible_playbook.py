# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ansible-playbook as tests do: from the checkout, with the checkout's configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BESIDE = Path(sys.executable).with_name("ansible-playbook")
PROGRAM = str(BESIDE if BESIDE.exists() else shutil.which("ansible-playbook"))

SETTINGS = {
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    # write_here, with which plays tell what they have made.
    "ANSIBLE_ACTION_PLUGINS": str(ROOT / "tests" / "support" / "action"),
}


def run_playbook(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook and return what it did, whether it succeeded or not.

    :param environment: variables that it has besides those of this process.
    """
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, **SETTINGS, **environment},
        capture_output=True,
        text=True,
        check=False,
        # It only bounds a run that hangs; a machine may be busy with other steps.
        timeout=900,
    )


def played(*arguments: str | Path, **environment: str) -> str:
    """Run ansible-playbook, which must succeed, and return what it printed."""
    done = run_playbook(*arguments, **environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout
