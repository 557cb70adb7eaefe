# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock is taken only if every line of it says exactly what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import lock

ROOT = Path(__file__).resolve().parents[5]
HASH = f"--hash=sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("", []),
        ("# Nothing is needed.\n", []),
        (f"six==1.17.0 {HASH}\n", []),
        (f"six==1.17.0 \\\n    {HASH} \\\n    --hash=sha512:{'b' * 128}\n    # via mine\n", []),
        (f"six==1.17.0 \\\r\n    {HASH}\r\n", []),
        (f"--index-url https://mirror/simple\nsix==1.17.0 ; python_version < '4' {HASH}\n", []),
        (f"torch @ https://mirror/torch.whl#sha256=abc {HASH}\n", []),
        ("six==1.17.0\n", ["six"]),
        (f"six==1.17.0  # {HASH}\n", ["six"]),
        ("six==1.17.0 --hash=sha256:abc\n", ["six"]),
        (f"six==1.17.0 --hash=md5:{'a' * 64}\n", ["six"]),
        (f"one[extra]==1 \\\n    {HASH}\ntwo>=2\nthree @ https://mirror/three.whl\n", ["two", "three"]),
        ("-r other.txt\n", ["-r"]),
        ("--requirement=other.txt\n-e ./mine\n-c bounds.txt\n", ["--requirement", "-e", "-c"]),
    ],
)
def test_what_has_no_hash(text: str, bare: list[str]) -> None:
    assert lock.without_hash(text) == bare
    assert (lock.problem("vllm_requirements", "/a.txt", text) is None) == (bare == [])


def test_the_problem_names_variable_file_packages_and_remedy() -> None:
    found = lock.problem("vllm_requirements", "/a.txt", "\n".join(f"p{n}==1" for n in range(7)), "gpu1")
    assert found is not None
    assert found.sentence() == (
        'gpu1: vllm_requirements is "/a.txt": 7 of 7 lines of this lock have no hash (p0, p1, p2, p3, p4, ...), '
        "so anything could be installed; write it with 'uv pip compile --generate-hashes', or with 'make lock' "
        "from a .in file."
    )
    missing = lock.problem("vllm_requirements", "/a.txt", None, "gpu1")
    assert missing is not None
    assert missing.problem == "this file cannot be read on the control node"


@pytest.mark.parametrize("path", [*ROOT.glob("requirements/*.txt"), *ROOT.glob("roles/*/files/*.txt")], ids=str)
def test_own_locks_are_taken(path: Path) -> None:
    assert lock.requirements(path.read_text())
    assert lock.problem("", str(path), path.read_text()) is None


def test_whatever_installs_asks_for_hashes() -> None:
    """No role and no script of the collection calls pip, or uv in its place, without that it compares hashes."""
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("scripts/*"), *ROOT.glob("tests/bench/**/*.sh")]:
        for line in path.read_text().splitlines() if path.is_file() else []:
            if " pip sync " in line or " pip install " in line:
                assert "--require-hashes" in line, f"{path.name}: {line.strip()}"
