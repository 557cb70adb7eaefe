# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python environments come from locks with hashes that say what their .in files ask for and name no machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = sorted([*ROOT.glob("requirements/*.in"), *ROOT.glob("roles/*/files/*.in")])
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,. -]+\])?\s*==\s*([^\s;\\]+)", re.M)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    return {canonical(name): version for name, version in PIN.findall(text)}


@pytest.mark.parametrize("source", INPUTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lock_is_of_its_source(source: Path) -> None:
    lock = source.with_suffix(".txt")
    assert lock.exists(), f"{lock} is missing: make lock"
    text = lock.read_text()
    locked = pins(text)
    for name, version in pins(source.read_text()).items():
        assert locked.get(name) == version, (
            f"{lock}: {name} is {locked.get(name)}, {source.name} asks for {version}: make lock"
        )


@pytest.mark.parametrize("source", INPUTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_line_of_a_lock_is_hashed_and_names_no_place(source: Path) -> None:
    lock = source.with_suffix(".txt")
    text = lock.read_text()
    assert "make lock" in text.splitlines()[1], f"{lock} was not written by make lock"
    requirements = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert requirements
    assert not [block.split()[0] for block in requirements if "--hash=sha256:" not in block]
    assert not re.findall(r"\S*(?:://|--(?:extra-)?index-url|--find-links)\S*", text)


def test_the_gate_is_tested_with_what_it_runs_with() -> None:
    source = ROOT / "roles" / "gate" / "files" / "gate.in"
    wanted = re.findall(r"^([a-z][a-z-]*)", source.read_text(), re.M)
    running = pins(source.with_suffix(".txt").read_text())
    tested = pins((ROOT / "requirements" / "test.txt").read_text())
    assert {name: tested.get(name) for name in wanted} == {name: running[name] for name in wanted}
