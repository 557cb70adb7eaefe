# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role would write on a host that it has never seen: settings that the program can use, and the key nowhere
else.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_playbook import played
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "watchdog" / "files"
KEY = "sk-engine-0123456789"


def test_the_program_reads_the_settings_that_the_role_writes(tmp_path: Path) -> None:
    roots = {f"service_{name}_root": f"{tmp_path}/{name}" for name in ("config", "state", "log")}
    variables: dict[str, Any] = {
        **roots,
        "service_root": f"{tmp_path}/opt",
        "service_manager": "supervisor",
        "watchdog_record": f"{tmp_path}/record",
        "watchdog_engine_key": KEY,
        "watchdog_modes": {"chat": "chat"},
        "watchdog_prompts": {"chat": [{"prompt": "The capital of France?", "expect": "Paris"}]},
        "watchdog_metrics_dir": f"{tmp_path}/metrics",
        "watchdog_interval": "30",
    }
    role = {"name": "llmfleet.serving.watchdog", "rolespec_validate": False}
    task = {"name": "Run the watchdog", "ansible.builtin.import_role": role}
    play = {"name": "Watch", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([{**play, "vars": variables}]))
    said = played("-i", "localhost,", "--check", "--diff", path)
    assert re.search(r"changed=3 .* failed=0", said), said[-1500:]
    assert KEY not in said
    added = "\n".join(line[1:] for line in said.splitlines() if line.startswith("+"))
    found = re.search(r"^\{\n.*?^\}$", added, re.M | re.S)
    assert found, added[-3000:]
    settings = json.loads(found[0])
    assert settings["rules"]["gap_seconds"] == 210
    assert settings["rules"]["pauses"] == [60, 300, 900]
    assert settings["prompts"] == variables["watchdog_prompts"]
    assert f"command=/usr/bin/python3 -B {tmp_path}/opt/watchdog.py {tmp_path}/config/watchdog.json 30" in added
    # The program finds what it needs in them: a host without a record has nothing to look at.
    for name in ("watchdog_rules", "watchdog_http"):
        load_file(FILES / f"{name}.py")
    (tmp_path / "state").mkdir()
    watchdog = load_file(FILES / "watchdog.py")
    watchdog.Watchdog(settings).look()
    used = set(re.findall(r'rules\["(\w+)"\]', "".join(path.read_text() for path in FILES.glob("*.py"))))
    assert used == set(settings["rules"])
