# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that a newer version of the collection set up is refused before anything is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import run_playbook

ROOT = Path(__file__).resolve().parents[4]
OWN = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
# Name of a host: what its record says.
RECORDS: dict[str, Any] = {
    "bare": None,
    "before-versions": {"secrets_id": "0123"},
    "same": {"version": OWN},
    "newer": {"version": "99.0.0"},
}


def play(folder: Path, records: dict[str, Any], tasks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    local = {name: {"llmfleet": record} if record is not None else {} for name, record in records.items()}
    hosts = {name: {**common, "record": local[name]} for name in records}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    facts = {
        "ansible.builtin.set_fact": {
            "ansible_local": "{{ record }}",
            "default_ipv4": {"address": "10.0.0.1"},
            "cacheable": True,
        }
    }
    content = {"hosts": "all", "gather_facts": False, "roles": ["llmfleet.serving.fleet_defaults"]}
    (folder / "play.json").write_text(json.dumps([{**content, "post_tasks": [facts, *tasks]}]))
    return run_playbook("-i", folder / "hosts.json", folder / "play.json")


def problems_of(playbook: str) -> str:
    """The expression of the problems that a playbook's check refuses."""
    plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
    tasks = [task for each in plays for task in each.get("tasks", [])]
    (check,) = [task for task in tasks if "llmfleet.serving.host_requirements_info" in task]
    expression: str = check["llmfleet.serving.host_requirements_info"]["problems"]
    return expression.replace("{{ ", "{{ (").replace(" }}", ") | to_json }}")


CHECKS = [(playbook, downgrade) for playbook in ("check_inventory.yml", "preflight.yml") for downgrade in (False, True)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the problems of every check, by playbook, whether a downgrade is allowed, and host."""
    folder = tmp_path_factory.mktemp("version")
    given = {"llm_catalog": {}, "llm_image_problems": [], "llm_models": [{"name": "chat", "source": "demo:"}]}
    tasks: list[dict[str, Any]] = [{"ansible.builtin.set_fact": given}]
    for playbook, downgrade in CHECKS:
        to = f"{folder}/{playbook}-{downgrade}/{{{{ inventory_hostname }}}}"
        told = {"content": problems_of(playbook), "dest": to}
        tasks.append({"write_here": told, "vars": {"__llm_plan_problems": [], "llm_downgrade": downgrade}})
    done = play(folder, RECORDS, tasks)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(("playbook", "downgrade"), CHECKS)
def test_it_is_among_the_problems_of_every_check(found: Path, playbook: str, downgrade: bool) -> None:
    refused = [] if downgrade else ["newer"]
    for host in RECORDS:
        problems = json.loads((found / f"{playbook}-{downgrade}" / host).read_text())
        assert [problem["host"] for problem in problems] == refused, "every host stops, not the one alone"


def test_the_plan_says_it_too(tmp_path: Path) -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "plan.yml").read_text())
    name = "Refuse a fleet that a newer version set up"
    (stop,) = [task for each in plays for task in each.get("tasks", []) if task["name"] == name]
    given = {"llm_catalog": {}, "llm_models": [{"name": "chat", "source": "demo:"}]}
    done = play(tmp_path, RECORDS, [{"ansible.builtin.set_fact": given}, stop])
    assert done.returncode != 0
    assert "version 99.0.0 set up this host" in " ".join(done.stdout.split())


def test_hosts_remember_the_version(tmp_path: Path) -> None:
    given = {"ansible.builtin.set_fact": {"llm_secrets_id": "0123"}}
    answer = {"write_here": {"content": "{{ service_fleet_fact | to_json }}", "dest": f"{tmp_path}/mark"}}
    done = play(tmp_path, {"bare": None}, [given, answer])
    assert done.returncode == 0, done.stdout + done.stderr
    mark = json.loads((tmp_path / "mark").read_text())
    assert (mark["version"], mark["secrets_id"]) == (OWN, "0123")
