# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs and functions that answer, fail and hang: real ones."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import programs
from patience import Watch


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SECONDS_TO_DIE", 0.5)


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("cat; echo not-shown >&2", ("given", "")),
        ("cat; echo why >&2; exit 3", ("given\nwhy\n", "ended with status 3")),
        ('echo "$COLOUR $LC_ALL"', ("blue C\n", "")),
    ],
)
def test_what_a_program_says(script: str, answer: tuple[str, str]) -> None:
    assert programs.run_program(["/bin/sh", "-c", script], 10, "given", {"COLOUR": "blue"}) == answer


def test_a_program_that_is_not_there() -> None:
    said, ending = programs.run_program(["/nonexistent/program"], 1)
    assert said == ""
    assert ending.startswith("cannot be started ([Errno 2]")


def test_a_program_that_hangs_is_asked_to_end_and_then_killed() -> None:
    watch = Watch()
    script = "trap 'echo asked' TERM; echo waiting; while :; do sleep 0.1; done"
    said, ending = programs.run_program(["/bin/sh", "-c", script], 0.5)
    assert watch.seconds() < 5
    assert ending == "did not end within 0.5 s"
    assert said.split()[:2] == ["waiting", "asked"]


def test_a_program_that_no_signal_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    kill, spared = os.killpg, []
    monkeypatch.setattr(programs.os, "killpg", lambda pid, _signal: spared.append(pid))
    said, ending = programs.run_program(["/bin/sleep", "30"], 0.2, "given")
    assert (said.strip(), ending) == ("", "did not end within 0.2 s")
    kill(spared[0], 9)
    os.waitpid(spared[0], 0)


def test_a_function_in_a_process_of_its_own() -> None:
    assert programs.run_in_child(lambda: {"pid": os.getpid()}, 10)["pid"] != os.getpid()
    assert programs.run_in_child(lambda: 1 // 0, 10) is None
    watch = Watch()
    assert programs.run_in_child(lambda: time.sleep(600), 0.2) is None
    assert watch.seconds() < 5
