# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the chat page with what the role makes of parameters, in a network of its own, under a program that uses it.

OPEN_WEBUI_BIN  where its `python` is (default: the environment that the role made on this host). Root is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "open_webui"
ROLE = ROOT / "roles" / "open_webui"
PARAMETERS = {
    "open_webui_url": "http://127.0.0.1:3000",
    "open_webui_api_base_url": "http://127.0.0.1:4000/v1",
    "open_webui_names_persons": False,
    "open_webui_default_models": "chat",
    "open_webui_embedding_model": "",
    "open_webui_admin_email": "admin@localhost",
    "open_webui_admin_name": "Administrator",
    # Less than the files that the test uploads.
    "open_webui_file_max_size": 2,
    "open_webui_user_files_max_size": 1,
}


def programs() -> Path:
    given = os.environ.get("OPEN_WEBUI_BIN")
    found = [Path(given)] if given else sorted(Path("/opt/llmfleet/venvs").glob("open-webui-*/bin"))
    if not found or not (found[-1] / "open-webui").exists():
        pytest.fail("no open-webui in OPEN_WEBUI_BIN or /opt/llmfleet/venvs: set up a chat page first", pytrace=False)
    return found[-1]


def used(folder: Path, changes: dict[str, Any], *given: str, user: str = "inside.py") -> Any:
    """What a program reports that used a page with these parameters."""
    shutil.copytree(ROLE / "files", folder / "config" / "open-webui")
    wanted = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        **PARAMETERS,
        **changes,
        "service_state_root": str(folder),
        "service_config_root": str(folder / "config"),
        "result_file": str(folder / "environment"),
        "ansible_python_interpreter": sys.executable,
    }
    inventory = folder / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"page": wanted}}}))
    playbook = ROOT / "tests" / "unit" / "roles" / "open_webui" / "environment.yml"
    ansible = Path(sys.executable).with_name("ansible-playbook")
    subprocess.run([str(ansible), "-i", str(inventory), str(playbook)], check=True, stdout=subprocess.DEVNULL)

    namespace = ["unshare", "--net", "--mount", "--propagation", "private"]
    inside = [sys.executable, str(TESTS / user), str(programs() / "python"), str(folder), *given]
    run = subprocess.run([*namespace, *inside], text=True, capture_output=True, timeout=900, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout.splitlines()[-1])
