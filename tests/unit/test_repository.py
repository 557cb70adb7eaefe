# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GitHub reads: workflows with few rights that run what exists, and forms. actionlint checks the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(path for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml") if path.stem != "config")
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
TARGETS = {
    target
    for path in (ROOT / "Makefile", *(ROOT / "mk").glob("*.mk"))
    for target in re.findall(r"^([a-z][a-z-]*):", path.read_text(), re.M)
}


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def matrices(name: str) -> set[str]:
    """Every value of a dimension of the matrices."""
    found: set[str] = set()
    for path in WORKFLOWS:
        for job in load(path)["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            found |= set(matrix.get(name, [])) | {row[name] for row in matrix.get("include", []) if name in row}
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_no_more(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, f"{name}: more rights need a reason, and a change of this test"
        assert job["timeout-minutes"] <= 90
    assert "pull_request_target" not in path.read_text(), "it would run a stranger's code with our rights"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert not [line for line in uses if not PINNED.match(line)]


def test_workflows_run_targets_that_exist() -> None:
    asked = matrices("target")
    for path in WORKFLOWS:
        asked |= set(re.findall(r"run: make ([a-z-]+)", path.read_text()))
    assert {"lint", "unit", "docs-check", "molecule"} <= asked
    assert not asked - TARGETS


def test_sanity_runs_with_every_core() -> None:
    locked = {path.stem for path in ROOT.glob("requirements/core-*.in")}
    assert matrices("core") == locked | {"control", "core-devel"}
    steps = (ROOT / "mk" / "test.mk").read_text()
    assert {name for name in locked if f".venv/{name}" in steps} == locked


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_one_that_github_accepts(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    identities = [field["id"] for field in fields]
    assert len(identities) == len(set(identities))
    for field in form["body"]:
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert field["type"] in ("markdown", "textarea", "input", "checkboxes", "dropdown")
        assert field["attributes"].get("value" if field["type"] == "markdown" else "label")
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_nothing_of_github_is_packed() -> None:
    assert ".git*" in load(ROOT / "galaxy.yml")["build_ignore"]
