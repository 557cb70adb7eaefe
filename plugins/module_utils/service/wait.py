# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a service that was started is ready, lost, or to be looked at again: pure functions over what was seen."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic

# A process that ended this often on its way will not get there; waiting for the deadline helps nobody.
MOST_RUNS = 3
# Manager states settle a moment after the command that changed them.
SETTLES = 3.0
READY, WAIT, LOST = "ready", "wait", "lost"


class Look(NamedTuple):
    """What was seen of a service at one moment."""

    seconds: float
    """Since its start."""
    state: str
    """What its manager says, one of the four states of ``service_manager``."""
    run: str = ""
    """What tells this run of its process from the next; empty where none runs."""
    problem: str = ""
    """What its readiness URL answered that is not wanted; asked of a running process only."""


class Verdict(NamedTuple):
    """What follows from the looks so far."""

    outcome: str
    cause: str = ""


def judge(looks: Sequence[Look], deadline: float) -> Verdict:
    """Return whether the service is ready, lost with a cause, or to be waited for.

    :param looks: what was seen since its start, in order; at least one.
    :param deadline: seconds that it may take.
    """
    last = looks[-1]
    if last.state == logic.RUNNING and not last.problem:
        return Verdict(READY)
    cause = last.problem or "its process does not stay up"
    if last.state in (logic.DEAD, logic.UNKNOWN):
        cause = "its process ended and its manager gave up"
        if last.seconds - _dead_since(looks) > SETTLES:
            return Verdict(LOST, cause)
    runs = {look.run for look in looks if look.run}
    if len(runs) > MOST_RUNS:
        return Verdict(LOST, f"its process ended {len(runs) - 1} times before it was ready")
    return Verdict(LOST if last.seconds > deadline else WAIT, cause)


def _dead_since(looks: Sequence[Look]) -> float:
    """Return when the last row of looks at a dead service began."""
    since = looks[-1].seconds
    for look in reversed(looks):
        if look.state not in (logic.DEAD, logic.UNKNOWN):
            break
        since = look.seconds
    return since


def pause(seconds: float) -> float:
    """Return how long to wait before the next look: most services are ready at once, engines take minutes."""
    return 0.2 if seconds < 5 else 1.0
