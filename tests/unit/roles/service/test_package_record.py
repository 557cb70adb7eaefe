# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles record packages in one place, and what each takes out at removal: their own tasks, but nothing is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
ROLES = ROOT / "roles"
ENGINE = "container_engine"
TOOLKIT = "nvidia_container_toolkit"


def load(role: str, path: str) -> Any:
    return yaml.safe_load((ROLES / role / path).read_text(encoding="utf-8"))


def task(role: str, file: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in load(role, f"tasks/{file}") if one["name"] == name]
    return dict(found)


def play(folder: Path, variables: dict[str, Any], *tasks: dict[str, Any]) -> str:
    plays = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": list(tasks)}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
    return played("-i", "localhost,", "-c", "local", folder / "play.yml")


def test_a_container_engine_that_stays_is_taken_out_and_the_rest_goes(tmp_path: Path) -> None:
    record = tmp_path / "installed-packages"
    record.write_text("docker.io containerd runc\nnginx docker-cli\n")
    variables = {
        **{name: value for name, value in load(ENGINE, "vars/main.yml").items() if name.endswith(("parts", "record"))},
        **{
            name: value
            for name, value in load(TOOLKIT, "vars/main.yml").items()
            if name.endswith(("ours", "recorded", "_installed", "toolkit_missing"))
        },
        "service_state_root": str(tmp_path),
        "__container_engine_family": "debian",
        "__nvidia_container_toolkit_missing": ["libnvidia-container1", "nvidia-container-toolkit-base"],
    }
    facts = {"container_engine_facts": {"packages": {"docker.io": "26", "docker-cli": "26"}}}
    read = "Read which packages the collection installed"
    own = "Read which packages of the {} were installed with dnf"
    said = play(
        tmp_path,
        variables,
        {"name": "Know", "ansible.builtin.set_fact": {**facts, "cacheable": True}},
        task(TOOLKIT, "install_debian.yml", "Record the installed packages"),
        task(TOOLKIT, "remove.yml", read),
        task(TOOLKIT, "remove.yml", own.format("toolkit")),
        {"name": "Say", "ansible.builtin.debug": {"msg": "ours: {{ __nvidia_container_toolkit_ours | join(' ') }}"}},
        task(ENGINE, "remove.yml", read),
        task(ENGINE, "remove.yml", own.format("container engine")),
        task(ENGINE, "remove.yml", "Compute whether the collection installed the container engine"),
        task(ENGINE, "keep_engine.yml", "Exclude the container engine from removal"),
        {"name": "Say", "ansible.builtin.debug": {"msg": "installed: {{ __container_engine_installed }}"}},
    )
    assert "ours: libnvidia-container1 nvidia-container-toolkit-base" in said
    assert "installed: True" in said
    assert record.read_text().split() == ["nginx", "libnvidia-container1", "nvidia-container-toolkit-base"]
