# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands in the README and docs/ do what they promise. They run against this machine's demo."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import markdown_commands
import pytest

GROUPS = markdown_commands.groups()
DEADLINE = 1200
PREAMBLE = """
git() {
  if [ "${1:-}" = clone ]; then ln -sfn "$CHECKOUT" "$(basename "$2" .git)"; else command git "$@"; fi
}
"""


@pytest.mark.parametrize("key", GROUPS, ids=lambda key: f"{key[0].name}:{key[1]}")
def test_commands_succeed(key: tuple[Path, str], tmp_path: Path) -> None:
    script = PREAMBLE + "".join(f"echo '# {block.where}'\n{block.text}" for block in GROUPS[key])
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path if "git clone" in script.removeprefix(PREAMBLE) else markdown_commands.ROOT,
        # What an outer make hands on would change what an inner one does.
        env={
            **{name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
            "CHECKOUT": str(markdown_commands.ROOT),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode} of\n{script}\nafter\n{result.stdout[-6000:]}"
