# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of tests are sharp on a quiet machine, wait on a busy one, and end on any."""

from __future__ import annotations

import time
from pathlib import Path

import patience
import pytest


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose clock and counters a test sets."""
    monkeypatch.setattr(patience, "PRESSURE", tmp_path / "pressure")
    monkeypatch.setattr(patience, "STAT", tmp_path / "stat")
    return tmp_path


def state(machine: Path, monkeypatch: pytest.MonkeyPatch, now: float, waited: float = 0.0, taken: int = 0) -> None:
    """Set the clock, the seconds in which programs waited, and the ticks that the host took."""
    monkeypatch.setattr(time, "monotonic", lambda: now)
    total = f"total={int(waited * 1e6)}"
    (machine / "pressure").write_text(f"some avg10=1.00 avg60=1.00 avg300=1.00 {total}\nfull avg10=0.00 total=99\n")
    (machine / "stat").write_text(f"cpu  1 2 3 4 5 6 7 {taken} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")


@pytest.mark.parametrize(
    ("waited", "ticks", "seconds"),
    [(0.0, 0, 10.0), (4.0, 0, 6.0), (0.0, 200, 8.0), (4.0, 200, 4.0), (10.0, 0, 1.0), (90.0, 0, 1.0)],
)
def test_seconds_in_which_programs_waited_do_not_count(
    machine: Path, monkeypatch: pytest.MonkeyPatch, waited: float, ticks: int, seconds: float
) -> None:
    monkeypatch.setattr(patience.os, "sysconf", lambda _name: 100)
    state(machine, monkeypatch, 1000.0, 50.0, 5000)
    watch = patience.Watch()
    state(machine, monkeypatch, 1010.0, 50.0 + waited, 5000 + ticks)
    assert watch.seconds() == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "some", "some total=x"])
def test_without_counters_all_seconds_count(machine: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    if text:
        (machine / "pressure").write_text(text)
    assert patience.lost() == 0
    watch = patience.Watch()
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert watch.seconds() == 2


def test_what_never_becomes_true_fails() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.01 s: it is there"):
        patience.within(0.01, lambda: False, "it is there", 0.001)
    patience.within(0, lambda: True, "it is there")


def test_this_machine_counts() -> None:
    first = patience.lost()
    assert patience.lost() >= first >= 0
