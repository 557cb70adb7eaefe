# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI sends nothing to the outside: it runs in a network of its own, where all that leaves is written down.

OPEN_WEBUI_BIN  where `open-webui` is (default: the environment that the role made on this host). Root is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PARAMETERS = {
    "open_webui_url": "http://127.0.0.1:3000",
    "open_webui_api_base_url": "http://127.0.0.1:4000/v1",
    "open_webui_default_models": "chat",
    "open_webui_admin_email": "admin@localhost",
    "open_webui_admin_name": "Administrator",
}


def programs() -> Path:
    given = os.environ.get("OPEN_WEBUI_BIN")
    found = [Path(given)] if given else sorted(Path("/opt/llmfleet/venvs").glob("open-webui-*/bin"))
    if not found or not (found[-1] / "open-webui").exists():
        pytest.fail("no open-webui in OPEN_WEBUI_BIN or /opt/llmfleet/venvs: set up a chat page first", pytrace=False)
    return found[-1]


def test_start_login_chat_and_upload_send_nothing_outside(tmp_path: Path) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "open_webui" / "defaults" / "main.yml").read_text())
    wanted = {
        **defaults,
        **PARAMETERS,
        "service_state_root": str(tmp_path),
        "result_file": str(tmp_path / "environment"),
    }
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(
        json.dumps({"all": {"hosts": {"page": {**wanted, "ansible_python_interpreter": sys.executable}}}})
    )
    playbook = ROOT / "tests" / "unit" / "roles" / "open_webui" / "environment.yml"
    ansible = Path(sys.executable).with_name("ansible-playbook")
    subprocess.run([str(ansible), "-i", str(inventory), str(playbook)], check=True, stdout=subprocess.DEVNULL)

    namespace = ["unshare", "--net", "--mount", "--propagation", "private"]
    inside = [sys.executable, str(HERE / "inside.py"), str(programs() / "open-webui"), str(tmp_path)]
    run = subprocess.run([*namespace, *inside], text=True, capture_output=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["control"], "nothing at all was written down: this test proves nothing here"
    assert report["models"] == ["chat"]
    assert "streamed" in report["answer"]
    assert report["sent"] == []
