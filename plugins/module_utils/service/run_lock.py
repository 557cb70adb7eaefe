# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Who may change a host: rules of the lock that a run holds on each of its hosts. Pure functions over dictionaries.

A lock is ``{id, playbook, user, control_host, place, pid, began, renewed, step}``; moments are UTC in ISO 8601.
``place`` tells apart where process ids mean something else on a control host of the same name, as in containers.
"""

from __future__ import annotations

import datetime
from typing import Any, Mapping, NamedTuple

FILE = "run.json"
# Seconds without a renewal after which a lock can be taken over by name.
STALE_SECONDS = 600
FREE, MINE, TAKEN_OVER, HELD = "free", "mine", "taken over", "held"
RUN = ("id", "playbook", "user", "control_host", "place", "pid")


class Verdict(NamedTuple):
    """Whether a run may take the lock, and what a person is told."""

    outcome: str
    text: str = ""


def seconds_since(moment: str, now: datetime.datetime) -> float:
    """Return the seconds from a moment to another; endless if it is none."""
    try:
        found = datetime.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return float("inf")
    return (now - found.replace(tzinfo=datetime.timezone.utc)).total_seconds()


def words(seconds: float) -> str:
    """Return a time in words."""
    if seconds == float("inf"):
        return "an unknown time"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def holder(lock: Mapping[str, Any]) -> str:
    """Return who holds a lock, from where and since when."""
    return (
        f"{lock.get('playbook') or 'a playbook'} of {lock.get('user')} on {lock.get('control_host')} "
        f"(run {lock.get('id')}, pid {lock.get('pid')}, since {lock.get('began')})"
    )


def judge(
    lock: Mapping[str, Any] | None, run: Mapping[str, Any], ended: bool, take_over: str, now: datetime.datetime
) -> Verdict:
    """Return whether a run may take the lock of a host.

    :param lock: the lock that is there; None if there is none.
    :param run: the run that wants it, with the keys of :data:`RUN`.
    :param ended: whether the control node knows that the process of the lock is gone.
    :param take_over: id of the run whose lock is to be taken over; empty for none.
    """
    if not lock:
        return Verdict(FREE)
    if lock.get("id") == run["id"]:
        return Verdict(MINE)
    who = holder(lock)
    at = f", at: {lock['step']}" if lock.get("step") else ""
    if ended:
        return Verdict(TAKEN_OVER, f"{who} has ended without releasing this host{at}; this run goes on after it")
    quiet = seconds_since(str(lock.get("renewed") or ""), now)
    if take_over == lock.get("id") and quiet >= STALE_SECONDS:
        return Verdict(TAKEN_OVER, f"{who} was not heard of for {words(quiet)}{at}; its lock was taken over by name")
    remedy = f"wait until it ends; if it is gone, add -e llm_take_over={lock.get('id')}"
    if quiet < STALE_SECONDS:
        remedy += (
            f", which is accepted in {words(max(1.0, STALE_SECONDS - quiet))}, as it was heard of {words(quiet)} ago"
        )
    if take_over and take_over != lock.get("id"):
        remedy += f" (llm_take_over names {take_over}, which does not hold it)"
    return Verdict(HELD, f"{who} changes this host{at}. Two runs at once would undo each other: {remedy}.")


def taken(run: Mapping[str, Any], step: str, now: str) -> dict[str, Any]:
    """Return the lock of a run that takes it."""
    return {**{key: run[key] for key in RUN}, "began": now, "renewed": now, "step": step}


def lost(lock: Mapping[str, Any] | None) -> str:
    """Return why a run that renews its lock must stop."""
    now = f"{holder(lock)} has it now" if lock else "it is gone"
    remedy = "It stops here; run it again when that has ended."
    return f"this run does not hold the lock of this host any more: {now}. {remedy}"
