# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of the first command removes its machine however it ends, and refuses what it does not know."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import Watch

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tests" / "bench" / "first_command.sh"
# A container engine that has every image; what runs in its containers fails, or never ends.
DOCKER = """#!/bin/sh
echo "$*" >>"{calls}"
case "$1 $2" in
  "exec --interactive") cat >/dev/null ;;
  "exec llmfleet-first-"*) {in_host} ;;
esac
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls.log"


@pytest.fixture
def start(tmp_path: Path, calls: Path) -> Start:
    """Start the program with stand-ins for what it calls; its own files go to a folder of the test."""
    programs, temporary = tmp_path / "programs", tmp_path / "temporary"
    programs.mkdir()
    temporary.mkdir()
    for name, text in {"debootstrap": "#!/bin/sh\nexit 1\n", "python3": "#!/bin/sh\necho export A=1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(*arguments: str, in_host: str = "exit 1") -> subprocess.Popen[str]:
        (programs / "docker").write_text(DOCKER.format(calls=calls, in_host=in_host))
        (programs / "docker").chmod(0o755)
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=heed_signals,
        )

    return run


def heed_signals() -> None:
    """A shell in the background ignores interrupts, and nohup hang-ups, which all its children would inherit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def of_the_machine(calls: Path) -> list[str]:
    """The calls that start and remove the machine, by their first word."""
    lines = calls.read_text().splitlines()
    return [line.split()[0] for line in lines if "llmfleet-first-" in line and line.split()[0] in {"run", "rm"}]


def test_a_step_that_fails_is_reported_and_the_machine_removed(start: Start, calls: Path, tmp_path: Path) -> None:
    process = start("ubuntu2404", in_host="echo 'no route'; exit 1")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1, output
    assert "first: ubuntu2404: machine FAILED" in output
    assert "no route" in output
    assert of_the_machine(calls) == ["rm", "run", "rm"]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_removes_the_machine_at_once(
    start: Start, calls: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    waiting = tmp_path / "waiting"
    process = start("debian13", in_host=f"touch {waiting}; exec sleep 60")
    deadline = time.monotonic() + 60
    while not waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    watch = Watch()
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert watch.seconds() < 20
    assert "first: removing llmfleet-first-debian13" in output
    assert of_the_machine(calls) == ["rm", "run", "rm"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_machine_that_is_wanted_stays(start: Start, calls: Path) -> None:
    output = start("--keep", "debian13").communicate(timeout=60)[0]
    assert "machine FAILED" in output
    assert of_the_machine(calls) == ["rm", "run"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("debian11",), "no distribution 'debian11' on the bench"),
        (("--to", "verify", "debian13"), "--to is 'verify': use one of plan demo again clean"),
        (("--to",), "--to is ''"),
        (("--fast",), "no distribution '--fast' on the bench"),
    ],
)
def test_what_it_does_not_know_is_refused(start: Start, calls: Path, arguments: tuple[str, ...], said: str) -> None:
    process = start(*arguments)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2, output
    assert said in output
    assert not calls.exists()
