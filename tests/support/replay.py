# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This machine as a host of a fleet, with a stand-in for nvidia-smi that replays recorded output: no GPU is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests/unit/plugins/module_utils/data/nvidia_smi"
RECORDS = Path("/etc/ansible/facts.d")
UUID = "GPU-00000000-0000-0000-0000-000000000000"
ONE_H100 = f"""#!/bin/sh
case "$1" in
  -q) cat {RECORDED}/h100.xml ;;
  -L) echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: {UUID})' ;;
  topo) printf '\\tGPU0\\nGPU0\\t X \\n' ;;
  *) echo '0, {UUID}, 9.0' ;;
esac
"""


def program(path: Path, text: str) -> None:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def checkpoint(folder: Path, config: dict[str, Any], size: int) -> None:
    """Write a model of a size in bytes: its header is real, its weights are a hole in the file."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def alone() -> list[str]:
    """What hides from a command that this very machine is a fleet's host already (make demo), if it is one."""
    if not any(RECORDS.glob("llmfleet*")):
        return []
    return ["unshare", "--mount", "--", "sh", "-c", f'mount -t tmpfs none {RECORDS} && exec "$@"', "sh"]


def play(inventory: Path, playbook: str | Path, programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook with programs of the test before those of the machine."""
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook]
    return subprocess.run(
        [*alone(), *command, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
