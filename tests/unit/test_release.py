# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""scripts/release.sh writes the notes and the version of a release, in a copy of the checkout, or refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git knows or would take, as a repository of its own."""
    copy = tmp_path_factory.mktemp("release") / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if name.startswith(("tests/", "molecule/", "docs/")) or not os.path.lexists(ROOT / name):
            continue
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    fragments = copy / "changelogs" / "fragments"
    fragments.mkdir(exist_ok=True)
    for path in fragments.glob("*.yml"):
        path.unlink()
    (fragments / "1-mends.yml").write_text("bugfixes:\n  - service - it no longer does what it did.\n")
    subprocess.run(["git", "init", "--quiet", str(copy)], check=True)
    return copy


def release(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/release.sh", *arguments],
        cwd=checkout,
        env={**os.environ, "TEST_BIN": str(BIN)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_release(checkout: Path) -> None:
    before = (checkout / "galaxy.yml").read_text()
    for version, what in {"v9.9.0": "no semantic version", "": "no semantic version", "9.9.0": "0 fragments"}.items():
        refused = release(checkout, version)
        assert refused.returncode == 1, refused.stdout
        assert what in refused.stdout
    assert (checkout / "galaxy.yml").read_text() == before

    (checkout / "changelogs" / "fragments" / "9.9.0.yml").write_text("release_summary: The ninth.\n")
    done = release(checkout, "9.9.0", "2030-01-02")
    assert done.returncode == 0, done.stdout
    notes = (checkout / "CHANGELOG.rst").read_text()
    assert "v9.9.0" in notes
    assert "The ninth." in notes
    assert "it no longer does what it did" in notes
    assert yaml.safe_load((checkout / "galaxy.yml").read_text())["version"] == "9.9.0"
    environment = yaml.safe_load((checkout / "execution-environment.yml").read_text())
    assert environment["version"] == 3
    assert environment["dependencies"]["galaxy"]["collections"] == [{"name": "llmfleet.serving", "version": "9.9.0"}]
    assert not list((checkout / "changelogs" / "fragments").glob("*.yml"))

    for program in (["antsibull-changelog", "lint"], ["yamllint", "--strict", "changelogs", "galaxy.yml"]):
        subprocess.run([str(BIN / program[0]), *program[1:]], cwd=checkout, check=True)
    again = release(checkout, "9.9.0")
    assert again.returncode == 1
    assert "in changelogs/changelog.yaml already" in again.stdout
