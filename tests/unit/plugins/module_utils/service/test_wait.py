# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service.state import (
    DEAD,
    RUNNING,
    STARTING,
    UNKNOWN,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.service.wait import (
    LOST,
    READY,
    WAIT,
    Look,
    Verdict,
    judge,
    pause,
)

GAVE_UP = "its process ended and its manager gave up"
BUSY = "http://127.0.0.1:1/health answers 503"


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([Look(0, RUNNING, "7")], Verdict(READY)),
        ([Look(0, RUNNING, "7", BUSY)], Verdict(WAIT, BUSY)),
        ([Look(0, RUNNING, "7", BUSY), Look(1, RUNNING, "7")], Verdict(READY)),
        # A manager may say "dead" for a moment after it was told to start something.
        ([Look(0, DEAD)], Verdict(WAIT, GAVE_UP)),
        ([Look(0, DEAD), Look(3, DEAD)], Verdict(WAIT, GAVE_UP)),
        ([Look(0, DEAD), Look(3.1, UNKNOWN)], Verdict(LOST, GAVE_UP)),
        # What came up in between starts the row anew.
        ([Look(0, DEAD), Look(2, RUNNING, "7", BUSY), Look(4, DEAD)], Verdict(WAIT, GAVE_UP)),
        ([Look(0, STARTING)], Verdict(WAIT, "its process does not stay up")),
        # Ready at last counts, however often it ended before and however late it is.
        ([Look(n, STARTING, str(n)) for n in range(9)] + [Look(60, RUNNING, "9")], Verdict(READY)),
        ([Look(n, STARTING, str(n)) for n in range(3)], Verdict(WAIT, "its process does not stay up")),
        (
            [Look(n, RUNNING, str(n), BUSY) for n in range(4)],
            Verdict(LOST, "its process ended 3 times before it was ready"),
        ),
        # Between two runs there is no process, which is no run of its own.
        ([Look(n, STARTING, "7" if n % 2 else "") for n in range(9)], Verdict(WAIT, "its process does not stay up")),
        ([Look(10, RUNNING, "7", BUSY)], Verdict(WAIT, BUSY)),
        ([Look(10.1, RUNNING, "7", BUSY)], Verdict(LOST, BUSY)),
        ([Look(10.1, STARTING)], Verdict(LOST, "its process does not stay up")),
    ],
)
def test_ready_lost_or_to_be_waited_for(looks: list[Look], verdict: Verdict) -> None:
    assert judge(looks, 10) == verdict


def test_a_slow_service_is_asked_less_often() -> None:
    assert pause(0) < pause(60) <= 1
