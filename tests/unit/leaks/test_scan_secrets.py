# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import json
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "leaks" / "scan_secrets.py"
KEY = "sk-canary-0123456789abcdef"
PASSWORD = "canary/with+strange=characters&more"
# Everything that a shell, systemd, JSON or Python would quote.
QUOTED = """it's "a" $HOME 100% `id` c:\\new"""
SECRETS = f"""\
# a header
id: 11111111-1111-4111-8111-111111111111
secrets:
  key: "{KEY}"
  password: '{PASSWORD}'
  quoted: {json.dumps(QUOTED)}
  single: 'an apostrophe''s own canary'
  short: abc
"""

Scan = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    secrets = tmp_path / ".llm_secrets.yml"
    secrets.write_text(SECRETS)

    def run(*arguments: object, secrets_file: object = secrets, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), str(secrets_file), *map(str, arguments)]
        result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        for value in (KEY, PASSWORD, QUOTED):
            assert value not in result.stdout + result.stderr
        return result

    return run


def test_nothing_found(scan: Scan, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("all is well\n")
    (tmp_path / "empty.log").touch()
    result = scan(tmp_path)
    assert result.returncode == 0, result.stdout
    # The file of the secrets itself lies below the path, and is no leak.
    assert result.stdout == "4 secrets, 2 files, 0 processes: no hits\n"


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        (f"one\ntwo {KEY}\n", "run.log:2 holds key"),
        ("password=canary%2Fwith%2Bstrange%3Dcharacters%26more", "run.log:1 holds password"),
        (f"{PASSWORD}\n{KEY}", "run.log:2 holds key\n"),
        (f"password={QUOTED}", "run.log:1 holds quoted"),
        (f"password={shlex.quote(QUOTED)}", "run.log:1 holds quoted"),
        (json.dumps({"msg": f"password={shlex.quote(QUOTED)}"}), "run.log:1 holds quoted"),
        (repr({"password": QUOTED}), "run.log:1 holds quoted"),
        ("an apostrophe's own canary", "run.log:1 holds single"),
    ],
)
def test_a_secret_in_a_log(scan: Scan, tmp_path: Path, text: str, hit: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.log").write_text(text)
    result = scan(tmp_path / "logs")
    assert result.returncode == 1
    assert hit in result.stdout


def test_a_secret_in_a_rotated_log_and_in_a_name(scan: Scan, tmp_path: Path) -> None:
    (tmp_path / "run.log.1.gz").write_bytes(gzip.compress(KEY.encode()))
    (tmp_path / f"{KEY}.txt").touch()
    result = scan(tmp_path)
    assert "run.log.1.gz:1 holds key" in result.stdout
    assert "<key>.txt has a secret in its name" in result.stdout


def test_environments_and_weights_are_left_out(scan: Scan, tmp_path: Path) -> None:
    for name in ("venvs/x.py", "model/model.safetensors"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(KEY)
    assert scan(tmp_path).returncode == 0


def test_a_host_its_processes_and_its_places(tmp_path: Path) -> None:
    """With places of the test's own: make leaks searches those of the demo, which this machine may have."""
    closed, shared = tmp_path / "closed", tmp_path / "shared"
    for folder in (closed, shared):
        folder.mkdir()
        folder.chmod(0o755)
        for name, mode in (("open", 0o644), ("own", 0o600)):
            (folder / name).write_text(KEY)
            (folder / name).chmod(mode)
    code = (
        f"import runpy, sys; main = runpy.run_path({str(SCRIPT)!r})['main']; "
        f"main.__globals__.update(CLOSED=[{str(closed)!r}], SHARED=[{str(shared)!r}]); sys.exit(main(['-', '--host']))"
    )
    with subprocess.Popen([sys.executable, "-c", "input()", KEY], stdin=subprocess.PIPE) as process:
        try:
            done = subprocess.run(
                [sys.executable, "-c", code], input=SECRETS, capture_output=True, text=True, check=False
            )
        finally:
            process.communicate(b"\n")
    assert done.returncode == 1, done.stderr
    assert KEY not in done.stdout + done.stderr
    *hits, _sum = done.stdout.splitlines()
    (told,) = [hit for hit in hits if hit.startswith(f"process {process.pid} (")]
    assert told.endswith("its command line holds key")
    files = {f"{path}:1 holds key" for path in (closed / "open", closed / "own", shared / "open")}
    assert {hit for hit in hits if hit.startswith(str(tmp_path))} == files


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["--host"], "id: x\nsecrets: {}\n", "holds no secret"),
        ([], SECRETS, "give --host or a PATH"),
        (["/does/not/exist"], SECRETS, "nothing to search: /does/not/exist"),
    ],
)
def test_a_search_that_could_find_nothing_is_an_error(scan: Scan, arguments: list[str], text: str, words: str) -> None:
    result = scan(*arguments, secrets_file="-", text=text)
    assert result.returncode == 2
    assert words in result.stderr


def test_files_that_others_cannot_reach_are_no_leak(tmp_path: Path) -> None:
    readable_by_others = runpy.run_path(str(SCRIPT))["readable_by_others"]
    top = tmp_path / "etc"
    (top / "app").mkdir(parents=True)
    path = top / "app" / "config"
    path.write_text("x")
    for folder_mode, mode, open_to_all in ((0o755, 0o644, True), (0o755, 0o640, False), (0o750, 0o644, False)):
        (top / "app").chmod(folder_mode)
        path.chmod(mode)
        assert readable_by_others(path, top) is open_to_all


def test_without_secrets_nothing_is_found() -> None:
    """The bench searches the logs of scenarios that have none, too."""
    scanner = runpy.run_path(str(SCRIPT))["Scan"]({})
    assert list(scanner.found_in(b"any\nlog\n")) == []
    assert scanner.hide("any log") == "any log"
