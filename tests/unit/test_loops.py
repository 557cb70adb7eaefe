# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A failed item of a loop is shown whole, whatever its label: no loop has instances, which may have secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")])
# What makes names of instances.
NAMING = ("map(", "released_services")


def loops(content: Any) -> Iterator[tuple[str, str]]:
    """Yield name and loop of the tasks in a file, in depth, that show what they do."""
    for entry in content if isinstance(content, list) else []:
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("loop"), str) and not entry.get("no_log"):
            yield str(entry.get("name")), entry["loop"]
        for part in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
            yield from loops(entry.get(part))


def showing(content: Any) -> list[str]:
    """Return the names of tasks that would show an instance."""
    return [name for name, over in loops(content) if "instances" in over and not any(word in over for word in NAMING)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_loop_shows_an_instance(path: Path) -> None:
    assert showing(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_a_loop_over_instances_is_found() -> None:
    task = {"name": "Show", "loop": "{{ llm_host.instances }}", "loop_control": {"label": "{{ item.name }}"}}
    assert showing([{"block": [task]}]) == ["Show"]
    assert showing([{**task, "no_log": True}]) == []
    assert showing([{**task, "loop": "{{ llm_host.instances | map(attribute='name') }}"}]) == []
