# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks are read where Ansible runs: a path, a file of a role of the collection, and what is not known yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.llmfleet.serving.plugins.lookup import lock_problems


def look(variables: dict[str, Any], *terms: str) -> list[tuple[str, Any, str]]:
    loader = DataLoader()
    given = {"inventory_hostname": "gpu1", **variables}
    templar = Templar(loader=loader, variables=given)
    lookup = lock_problems.LookupModule(loader=loader, templar=templar)
    return [(one["host"], one["variable"], one["problem"]) for one in lookup.run(list(terms), given)]


def test_a_lock_of_the_inventory(tmp_path: Path) -> None:
    good, bare = tmp_path / "good.txt", tmp_path / "bare.txt"
    good.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    bare.write_text("six==1.17.0\n")
    variables = {"folder": str(tmp_path), "mine_requirements": trust_as_template("{{ folder }}/good.txt")}
    assert look(variables, "mine_requirements") == []
    variables["mine_requirements"] = trust_as_template("{{ folder }}/bare.txt")
    (found,) = look(variables, "mine_requirements")
    assert found[:2] == ("gpu1", "mine_requirements")
    assert "1 of 1 lines" in found[2]
    (found,) = look({"service_package": {"requirements": str(bare)}}, "service_package.requirements")
    assert found[1] == "service_package.requirements"
    (found,) = look({"mine_requirements": str(tmp_path)}, "mine_requirements")
    assert "cannot be read" in found[2]
    (found,) = look({"mine_requirements": "nowhere.txt"}, "mine_requirements")
    assert "cannot be read" in found[2]


@pytest.mark.parametrize(
    "variables",
    [
        {"mine_requirements": "vllm-cpu.txt"},
        {"mine_requirements": trust_as_template("{{ known_later }}")},
        {"mine_requirements": ""},
        {"mine_requirements": {"a": "b"}},
        {},
    ],
    ids=str,
)
def test_what_is_shipped_known_later_or_another_problem(variables: dict[str, Any]) -> None:
    assert look(variables, "mine_requirements", "mine_requirements.key.other") == []
