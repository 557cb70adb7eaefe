# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide whether a started service is ready, failed, or still starting: pure functions over observations."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state

# A process that ended this often during its start will not become ready, so waiting longer is useless.
MOST_RUNS = 3
# The manager reports the new state only a moment after the command.
SETTLES = 3.0
READY, WAIT, LOST = "ready", "wait", "lost"


class Look(NamedTuple):
    """The observed state of a service at one moment."""

    seconds: float
    """Since its start."""
    state: str
    """The state in its manager, one of the four states of ``service/state.py``."""
    run: str = ""
    """The identity of the current run of its process; empty if none runs."""
    problem: str = ""
    """The unexpected answer of its readiness check; it is checked only while a process runs."""


class Verdict(NamedTuple):
    """The conclusion from the observations so far."""

    outcome: str
    cause: str = ""


def judge(looks: Sequence[Look], deadline: float) -> Verdict:
    """Return whether the service is ready, failed with a cause, or still starting.

    :param looks: what was seen since its start, in order; at least one.
    :param deadline: seconds that it may take.
    """
    last = looks[-1]
    if last.state == service_state.RUNNING and not last.problem:
        return Verdict(READY)
    cause = last.problem or "its process does not stay up"
    if last.state in (service_state.DEAD, service_state.UNKNOWN):
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
        if look.state not in (service_state.DEAD, service_state.UNKNOWN):
            break
        since = look.seconds
    return since


def pause(seconds: float) -> float:
    """Return the seconds until the next check: most services are ready at once, engines need minutes."""
    return 0.2 if seconds < 5 else 1.0
