# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What scanners may ignore is explained in docs/security.md; secrets are found where they count."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import scanner_findings
from load_file import load_file

ROOT = Path(__file__).resolve().parents[2]
SCANNED = ("plugins/**/*.py", "roles/*/files/**/*.py", "scripts/**/*.py", "tests/bench/**/*.py")
# Put together here, so that this file has none itself.
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
PASSWORD = "k3v9" + "Zq7wXp2LmT8d"
DIGITS = hashlib.sha256(b"canary").hexdigest()[:48]


@pytest.fixture(scope="module")
def find_secrets() -> ModuleType:
    return load_file(ROOT / "tests" / "lint" / "find_secrets.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def test_every_finding_of_bandit_that_is_ignored_is_named_and_explained() -> None:
    named: set[str] = set()
    for path in sorted(path for pattern in SCANNED for path in ROOT.glob(pattern)):
        for comment in re.findall(r"# nosec(.*)", path.read_text()):
            ids = re.findall(r"B\d{3}", comment)
            assert ids, f"{path}: `# nosec` without an id ignores everything"
            named.update(ids)
    assert named == scanner_findings.explained("bandit")
    assert "[tool.bandit" not in (ROOT / "pyproject.toml").read_text(), "ignore a finding where it is, by its id"


def test_every_value_that_may_stand_in_a_file_is_explained(find_secrets: ModuleType) -> None:
    assert set(find_secrets.ALLOWED) == scanner_findings.explained("detect-secrets")


def test_nothing_of_gixy_is_ignored() -> None:
    assert scanner_findings.explained("gixy-ng") == set()
    assert not [path for path in (ROOT / "roles/nginx").rglob("*.j2") if "gixy:" in path.read_text()]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("group_vars/all.yml", f"token: {TOKEN}", "GitHub Token"),
        ("tests/data/answer.json", f'{{"token": "{TOKEN}"}}', "GitHub Token"),
        ("docs/page.md", f"password = '{PASSWORD}'", "Secret Keyword"),
        ("docs/page.md", f"password = '{PASSWORD}'  # pragma: allowlist secret", "Secret Keyword"),
        ("roles/x/defaults/main.yml", f"x_url: https://me:{PASSWORD}@host.test", "Basic Auth Credentials"),
        ("scripts/key.pem", "-----BEGIN " + "PRIVATE KEY-----", "Private Key"),
        ("plugins/x.py", f'KEY = "{DIGITS}"', "Hex High Entropy String"),
    ],
)
def test_a_secret_is_found_and_not_shown(
    find_secrets: ModuleType, folder: Path, capsys: Any, name: str, content: str, kind: str
) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"# one\n{content}\n")
    assert find_secrets.main(folder) == 1
    said = capsys.readouterr().out
    assert f"{name}:2: {kind}: " in said
    assert TOKEN not in said
    assert PASSWORD not in said


def test_made_up_values_of_tests_revisions_and_what_git_ignores_are_none(
    find_secrets: ModuleType, folder: Path
) -> None:
    for name, content in {
        "tests/unit/test_x.py": f"password = '{PASSWORD}'",
        "group_vars/all.yml": f'revision: "{"b5c939de8f" * 4}"',
        "roles/x/files/x.txt": f"x==1 --hash=sha256:{'b5c939de' * 8}\npassword = '{PASSWORD}'",
        ".llm_secrets.yml": f"password: {PASSWORD}",
        ".gitignore": ".llm_secrets.yml",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content + "\n")
    assert find_secrets.main(folder) == 0
