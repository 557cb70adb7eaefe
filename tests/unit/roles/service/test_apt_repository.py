# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""There is one way to add an apt repository; it reads one that a run which was cut short has added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROLES = Path(__file__).resolve().parents[4] / "roles"
TASKS: list[dict[str, Any]] = yaml.safe_load((ROLES / "service" / "tasks" / "apt_repository.yml").read_text())


@pytest.mark.parametrize(
    ("sources", "lists", "read"),
    [
        ({"exists": True, "mtime": 20.5}, {"exists": True, "mtime": 20.4}, True),
        ({"exists": True, "mtime": 20.5}, {"exists": True, "mtime": 20.5}, True),
        ({"exists": True, "mtime": 20.5}, {"exists": True, "mtime": 21.0}, False),
        ({"exists": True, "mtime": 20.5}, {"exists": False}, True),
    ],
    ids=["cut short", "at once", "read since", "never read"],
)
def test_when_a_repository_is_read(sources: dict[str, Any], lists: dict[str, Any], read: bool) -> None:
    conditions = TASKS[-1]["when"]
    times = {"results": [{"stat": sources}, {"stat": lists}]}
    evaluate = Environment().compile_expression
    told = [evaluate(text)(__service_apt_times=times, ansible_check_mode=False) for text in conditions]
    assert all(told) is read


def test_removal_takes_what_was_added() -> None:
    """Whatever a role adds, the same role removes: the file of the repository and its key."""
    adders = [path for path in ROLES.glob("*/tasks/*.yml") if "tasks_from: apt_repository.yml" in path.read_text()]
    assert {path.parts[-3] for path in adders} == {"container_engine", "nvidia_container_toolkit", "nvidia_driver"}
    for path in adders:
        role = path.parents[1]
        text = "".join(each.read_text() for each in [*role.glob("tasks/*.yml"), *role.glob("vars/*.yml")])
        name = {"container_engine": "docker"}.get(role.name, role.name.replace("_", "-"))
        assert f"name: {name}\n" in text
        assert f"/etc/apt/sources.list.d/llmfleet-{name}.sources" in text
        assert f"/etc/apt/keyrings/llmfleet-{name}.asc" in text


def test_no_role_adds_a_repository_of_its_own() -> None:
    own = [
        str(path.relative_to(ROLES))
        for path in ROLES.rglob("*.yml")
        for task in yaml.safe_load_all(path.read_text())
        if path.parent.name == "tasks"
        and any(name in str(task) for name in ("'ansible.builtin.apt_repository'", "deb822_repository", "Types: deb"))
    ]
    assert own == []
