# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""There is one way to write the key of a repository, and it compares what a server gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import run_playbook
from openpgp_key import ARMORED, FINGERPRINT

ROOT = Path(__file__).resolve().parents[4]
# Modules that would fetch something, or have a package manager fetch a key, without a comparison.
FETCHING = ("ansible.builtin.get_url", "ansible.builtin.apt_key", "ansible.builtin.uri")


def run(folder: Path, key: str, *fingerprints: str) -> subprocess.CompletedProcess[str]:
    given = {"key": key, "path": str(folder / "key.asc"), "title": "a repository", "variable": "own_fingerprints"}
    task = {
        "ansible.builtin.include_role": {"name": "llmfleet.serving.service", "tasks_from": "repository_key.yml"},
        "vars": {"service_repository_key": {**given, "fingerprints": list(fingerprints)}},
    }
    play = {"hosts": "here", "connection": "local", "gather_facts": False, "tasks": [task]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    interpreter = f"ansible_python_interpreter={sys.executable}"
    return run_playbook("-i", "here,", folder / "play.yml", "-e", interpreter, COLUMNS="1000")


@pytest.mark.skipif(os.getuid() != 0, reason="the key belongs to root")
def test_a_key_of_a_server_is_compared_and_a_text_is_taken(tmp_path: Path) -> None:
    (tmp_path / "served").write_text(ARMORED)
    refused = run(tmp_path, f"file://{tmp_path}/served", "0" * 40)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "here: own_fingerprints is" in said
    assert f"has {FINGERPRINT}, so it was not written" in said
    assert not (tmp_path / "key.asc").exists()
    assert run(tmp_path, f"file://{tmp_path}/served", FINGERPRINT).returncode == 0
    assert (tmp_path / "key.asc").read_text() == ARMORED
    (tmp_path / "key.asc").unlink()
    text = run(tmp_path, ARMORED)
    assert text.returncode == 0, text.stdout
    assert (tmp_path / "key.asc").read_text() == ARMORED


def tasks(value: Any) -> list[dict[str, Any]]:
    found = []
    for task in value or []:
        found += [task, *(inner for key in ("block", "rescue", "always") for inner in tasks(task.get(key)))]
    return found


def test_no_role_fetches_what_root_trusts_without_a_comparison() -> None:
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]:
        for task in tasks(yaml.safe_load(path.read_text())):
            assert not [name for name in FETCHING if name in task], f"{path}: {task['name']}"
            assert "ansible.builtin.rpm_key" not in task or task["ansible.builtin.rpm_key"].get("fingerprint")
            repository = task.get("ansible.builtin.yum_repository")
            assert not repository or repository["gpgkey"].startswith("file://"), f"{path}: {task['name']}"
            assert not repository or repository["gpgcheck"] or repository["repo_gpgcheck"]
