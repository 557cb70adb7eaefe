# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Python newer releases of ansible-core get, and which release may fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bash(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "bash", *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The script in a checkout without a cache, where nothing can be downloaded."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    shutil.copy(ROOT / "scripts" / "newer_python.sh", folder)
    for name, body in {"bootstrap.sh": "exit 0", "foreign_packages.sh": "echo no archive >&2; exit 1"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


def wanted(folder: Path, version: str) -> str:
    path = folder / "core.in"
    path.write_text(f"# lock: --universal --python-version {version}\nansible-core\n")
    return str(path)


def test_a_python_that_is_new_enough_is_used_as_it_is(scripts: Path) -> None:
    done = bash('"$@"', str(scripts / "newer_python.sh"), wanted(scripts, "3.8"), PYTHON=sys.executable)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


def test_without_one_it_fails_and_prints_no_path(scripts: Path) -> None:
    done = bash('"$@"', str(scripts / "newer_python.sh"), wanted(scripts, "3.99"), PYTHON=sys.executable)
    assert done.returncode != 0
    assert not done.stdout
    assert "no archive" in done.stderr


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements/core-*.in")), ids=lambda path: path.stem)
def test_every_core_says_which_python_it_needs_and_is_its_release(path: Path) -> None:
    assert re.match(r"# lock: .*--python-version 3\.1\d\n", path.read_text())
    release = path.stem.removeprefix("core-")
    assert re.search(rf"^ansible-core==({re.escape(release)}\.\S+)", path.with_suffix(".txt").read_text(), re.M)


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("2.22.0rc1", True), ("2.22.0b2", True), ("2.23.0.dev0", True), ("2.22.0", False), ("2.21.5", False)],
)
def test_a_pre_release_alone_may_fail(version: str, allowed: bool) -> None:
    done = bash('. tests/support/core_version.sh; allowed_to_fail "$@"', version, "compat")
    assert (done.returncode == 0) is allowed
    assert bool(done.stdout) is allowed, "what is allowed is said"
