# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How `make test` runs its steps: in order or side by side, each with its log, until the first that fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import Watch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "run.py"
# In place of make: a step's name says what it does, and the journal says in which order.
MAKE = """#!/bin/sh
for step; do :; done
echo "start $step" >>"$JOURNAL"
echo "output of $step"
case $step in
  *fails*) echo "because of $step"; printf 'and no last line'; exit 3 ;;
  *waits*)
    i=0
    while [ "$i" -lt 400 ] && ! grep -q "end {waits_for}" "$JOURNAL"; do sleep 0.05; i=$((i + 1)); done ;;
  *lasts*)
    # As a scenario does: it cleans up when it is told to stop.
    sh -c 'trap "echo cleaned >>$JOURNAL; exit 1" TERM; sleep 60 >/dev/null 2>&1 & wait' ;;
esac
echo "end $step" >>"$JOURNAL"
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(MAKE.replace("{waits_for}", "quick"))
    make.chmod(0o755)
    return tmp_path / "journal"


def start(journal: Path, *words: str) -> subprocess.Popen[str]:
    code = (
        f"import runpy, sys; from pathlib import Path; run = runpy.run_path({str(PROGRAM)!r}); "
        f"sys.exit(run['main'](sys.argv[1:], Path({str(journal.parent / 'output')!r})))"
    )
    environment = {
        **os.environ,
        "PATH": f"{journal.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "JOURNAL": str(journal),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A job in a shell's background ignores the interrupt, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ran(process: subprocess.Popen[str]) -> tuple[int, str]:
    output = process.communicate(timeout=60)[0]
    return process.returncode, output


def summary(output: str) -> dict[str, str]:
    return dict(re.findall(r"^    (\S+) +(passed|FAILED|stopped|not run)", output.partition("==> Summary")[2], re.M))


def test_words_run_in_order(journal: Path) -> None:
    code, output = ran(start(journal, "one", "two,three"))
    assert code == 0, output
    events = [f"{what} {step}" for step in ("one", "two", "three") for what in ("start", "end")]
    assert journal.read_text().splitlines() == events
    assert summary(output) == {"one": "passed", "two": "passed", "three": "passed"}
    assert "==> [2/3] two" in output
    assert "\noutput of two\n" in output, "alone, a step's output is shown as it is"
    logs = sorted(path.name for path in (journal.parent / "output").iterdir())
    assert logs == ["1-one.log", "2-two.log", "3-three.log"]
    assert output.endswith("3 passed, 0 failed\n")


def test_lanes_run_side_by_side_and_their_lines_carry_the_step(journal: Path) -> None:
    # In order, the first would wait for the second in vain.
    code, output = ran(start(journal, "waits+quick,next", "last"))
    assert code == 0, output
    events = journal.read_text().splitlines()
    assert events.index("end quick") < events.index("end waits")
    assert events[-2:] == ["start last", "end last"]
    assert "\nwaits | output of waits\n" in output
    assert "\nquick | output of quick\n" in output
    assert (journal.parent / "output" / "1-waits.log").read_text() == "output of waits\n"


def test_the_first_failure_ends_and_is_named(journal: Path) -> None:
    code, output = ran(start(journal, "one", "fails", "never"))
    assert code == 1
    assert "never" not in journal.read_text()
    assert summary(output) == {"one": "passed", "fails": "FAILED", "never": "not run"}
    assert "fails failed: the end of" in output
    assert "again alone with: make fails" in output
    assert "    | because of fails\n    | and no last line\n" in output
    assert output.endswith("1 passed, 1 failed\n")


def test_a_failure_stops_the_other_lane_and_lets_it_clean_up(journal: Path) -> None:
    watch = Watch()
    code, output = ran(start(journal, "lasts,never+quick,fails", "never2"))
    assert code == 1
    assert watch.seconds() < 30
    assert journal.read_text().count("cleaned") == 1
    assert "never" not in journal.read_text()
    assert summary(output) == {
        "lasts": "stopped",
        "never": "not run",
        "quick": "passed",
        "fails": "FAILED",
        "never2": "not run",
    }
    assert "==> stopping lasts" in output
    assert output.endswith("1 passed, 1 failed\n")


def test_of_two_failures_at_once_one_is_named_and_none_is_lost(journal: Path) -> None:
    code, output = ran(start(journal, "fails1+fails2"))
    assert code == 1
    assert sorted(summary(output).values()) in (["FAILED", "stopped"], ["FAILED", "not run"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_reaches_the_steps(journal: Path, number: int) -> None:
    process = start(journal, "lasts+waits", "never")
    for _ in range(400):
        if journal.exists() and len(journal.read_text().splitlines()) == 2:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    if number == signal.SIGINT:
        # As a terminal does.
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    code, output = ran(process)
    assert code == 130, output
    assert "interrupted" in output
    assert "never" not in journal.read_text()
    assert "end " not in journal.read_text()


def test_silence_is_broken(journal: Path) -> None:
    code = (
        f"import runpy, sys; from pathlib import Path; run = runpy.run_path({str(PROGRAM)!r}); "
        f"run['main'].__globals__['SILENCE_SECONDS'] = 0.5; "
        f"sys.exit(run['main'](['slow'], Path({str(journal.parent / 'output')!r}), (sys.executable, '-c', "
        "'import time; time.sleep(2)')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"==> still running: slow for \d+ s", done.stdout)


def test_a_step_that_stands_twice_is_refused(journal: Path) -> None:
    code, output = ran(start(journal, "one", "two+one"))
    assert code == 1
    assert "named more than once: one" in output
    assert not journal.exists()


def test_every_step_of_make_test_is_a_target_and_every_proof_is_a_step() -> None:
    text = (ROOT / "mk" / "test.mk").read_text().replace("\\\n", " ")
    words = re.search(r"^TEST_STEPS \?= (.*)$", text, re.M)
    assert words
    steps = set(re.split(r"[\s,+]+", words[1].strip()))
    targets = set()
    for path in (ROOT / "mk").glob("*.mk"):
        targets |= set(re.findall(r"^([a-z][a-z-]*):", path.read_text(), re.M))
    own = set(re.findall(r"^([a-z][a-z-]*):.*##", text, re.M))
    assert steps <= targets
    assert own - steps == {"test", "ready", "molecule-container", "first-command", "clients", "usage-million"}
