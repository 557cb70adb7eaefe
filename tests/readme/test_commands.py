# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands in the README and docs/ do what they promise. They run against this machine's demo.

Those of docs/clients run in an empty directory, in a shell that has the variables of demo-env, as their index says.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import markdown_commands
import pytest

GROUPS = markdown_commands.groups()
DEADLINE = 1200
CLIENTS = markdown_commands.ROOT / "docs" / "clients"
DEMO_ENV = 'eval "$(make -s -C "$CHECKOUT" demo-env)"\n'
PREAMBLE = """
git() {
  if [ "${1:-}" = clone ]; then ln -sfn "$CHECKOUT" "$(basename "$2" .git)"; else command git "$@"; fi
}
"""


@pytest.mark.parametrize("key", GROUPS, ids=lambda key: f"{key[0].name}:{key[1]}")
def test_commands_succeed(key: tuple[Path, str], tmp_path: Path) -> None:
    is_client = key[0].is_relative_to(CLIENTS)
    commands = "".join(f"echo '# {block.where}'\n{block.text}" for block in GROUPS[key])
    script = PREAMBLE + (DEMO_ENV if is_client else "") + commands
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path if is_client or "git clone" in commands else markdown_commands.ROOT,
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
