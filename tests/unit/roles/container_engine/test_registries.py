# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's tasks about registries, for real in a folder: what they write, and that nothing they print is secret."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_playbook import run_playbook

ROOT = Path(__file__).resolve().parents[4]
PASSWORD = "hidden-registry-password"
AUTH = base64.b64encode(f"bench:{PASSWORD}".encode()).decode()
REGISTRIES = [
    {"host": "registry.example.com:5000", "username": "bench", "password": PASSWORD, "ca": "CERTIFICATE"},
    {"host": "other.example.com", "username": "bench", "password": PASSWORD},
]


def play(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    tasks = f"{ROOT}/roles/container_engine/tasks/registries.yml"
    variables = {
        "container_engine_registries": REGISTRIES,
        "service_state_root": str(folder),
        "__container_engine_certs": str(folder / "certs.d"),
        "__container_engine_client": str(folder / "client" / "config.json"),
        "ansible_python_interpreter": sys.executable,
    }
    book = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.import_tasks": tasks}]}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    (folder / "variables.json").write_text(json.dumps(variables))
    given = ["-i", "localhost,", "-c", "local", "-e", f"@{folder}/variables.json", *arguments]
    return run_playbook(*given, folder / "play.yml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("the role makes files of root: run as root")
    return tmp_path


def test_logins_and_cas_are_written_once_and_printed_never(folder: Path) -> None:
    first = play(folder, "-vvv", "--diff")
    assert first.returncode == 0, first.stdout + first.stderr
    assert (folder / "certs.d/registry.example.com:5000/ca.crt").read_text() == "CERTIFICATE\n"
    assert [path.name for path in (folder / "certs.d").iterdir()] == ["registry.example.com:5000"]
    client = folder / "client" / "config.json"
    assert set(json.loads(client.read_text())["auths"]) == {entry["host"] for entry in REGISTRIES}
    assert client.stat().st_mode & 0o777 == 0o600
    second = play(folder, "-vvv", "--diff")
    assert "changed=0" in second.stdout
    for said in (first, second):
        assert PASSWORD not in said.stdout + said.stderr
        assert AUTH not in said.stdout + said.stderr


def test_a_failure_prints_no_password(folder: Path) -> None:
    (folder / "certs.d").write_text("no directory")
    failed = play(folder, "-vvv")
    assert failed.returncode != 0
    assert "registry.example.com:5000" in failed.stdout
    assert PASSWORD not in failed.stdout + failed.stderr
