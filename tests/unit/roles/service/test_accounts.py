# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts that the role creates are recorded, and removal takes these: its own tasks, but no account is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
NOLOGIN = "/usr/sbin/nologin"
# Variables of the role that its tasks on accounts use.
NAMES = ("__service_user", "__service_passwd", "__service_group")


def tasks(file: str, *names: str) -> list[dict[str, Any]]:
    """Return tasks of the role by name, fit to be run by anybody."""
    found = yaml.safe_load((ROOT / "roles" / "service" / "tasks" / file).read_text(encoding="utf-8"))
    chosen = {task["name"]: task for task in found if task["name"] in names}
    for task in chosen.values():
        for module in task.values():
            if isinstance(module, dict):
                module.pop("owner", None)
                module.pop("group", None)
    return [chosen[name] for name in names]


def play(folder: Path, passwd: dict[str, list[str]], *own: dict[str, Any], keep_state: bool = False) -> str:
    known = {
        "name": "Know",
        "ansible.builtin.set_fact": {"getent_passwd": passwd, "getent_group": {}, "cacheable": True},
    }
    role = yaml.safe_load((ROOT / "roles" / "service" / "vars" / "main.yml").read_text(encoding="utf-8"))
    variables = {
        **{key: value for key, value in role.items() if key.startswith(NAMES)},
        "service_state_root": str(folder),
        "service_keep_state": keep_state,
        "__service_specs": [{"user": name, "groups": []} for name in ("llm-web", "llm-old")],
    }
    plays = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [known, *own]}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
    return played("-i", "localhost,", "-c", "local", folder / "play.yml")


def test_what_is_created_is_what_removal_takes(tmp_path: Path) -> None:
    home = str(tmp_path)
    before = {
        "llm-admin": ["x", "1000", "1000", "A person", "/home/llm-admin", "/bin/bash"],
        "llm-old": ["x", "990", "990", "", home, NOLOGIN],
    }
    record = tasks("accounts.yml", "Read the accounts and groups of the host", "Record the accounts that are created")
    play(tmp_path, before, *record)
    assert (tmp_path / "created-users").read_text() == "llm-web\n"
    after = {**before, "llm-web": ["x", "991", "991", "", "/elsewhere", NOLOGIN]}
    assert "changed=0" in play(tmp_path, after, *record)
    read, remove = tasks("remove.yml", "Read which accounts the collection created", "Remove the service users")
    assert remove.pop("ansible.builtin.user") == {"name": "{{ item }}", "state": "absent"}
    removal = read, {**remove, "ansible.builtin.debug": {"msg": "takes {{ item }}"}}
    # State that is kept keeps its owners.
    assert "takes " not in play(tmp_path, after, *removal, keep_state=True)
    said = play(tmp_path, after, *removal)
    assert [line.partition("takes ")[2] for line in said.splitlines() if "takes " in line] == ["llm-old", "llm-web"]
