# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger of a host: what was done to its engines, a line of JSON each. Pure functions over texts.

A line is ``{when, run, who, playbook, instance, model, kind, from, to, seconds, verdict, figures}``: ``when`` is UTC in
ISO 8601, ``from`` and ``to`` are ``{generation, revision, package}`` or null, ``seconds`` is the time until it was
ready.
"""

from __future__ import annotations

import datetime
import json
from typing import Any, Mapping

FILE = "ledger.jsonl"
START, REPLACE, STOP, RESTORE, HOLD, RELEASE = "start", "replace", "stop", "restore", "hold", "release"
# What the watchdog does, which writes lines of its own (roles/watchdog).
RESTART, GIVE_UP = "restart", "give up"
# What was done to the whole host; holds and releases of a host have no instance.
MAINTAIN = "maintain"
# What real traffic says in a rollout.
JUDGE = "judge"
KINDS = (START, REPLACE, STOP, RESTORE, HOLD, RELEASE, RESTART, GIVE_UP, MAINTAIN, JUDGE)
# Bytes of a line, with the line feed far less than what a pipe takes at once.
MOST_BYTES = 4000
# Characters of the verdict in a line that would be longer.
MOST_VERDICT = 1000
# Bytes that readers take from the end of the file.
TAIL_BYTES = 2**20


def now() -> str:
    """Return the present moment in UTC, ISO 8601 in seconds."""
    return stamp(datetime.datetime.now(datetime.timezone.utc))


def stamp(moment: datetime.datetime) -> str:
    """Return a moment with a time zone as UTC, ISO 8601 in seconds."""
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def entry(kind: str, what: Mapping[str, Any], run: Mapping[str, Any], when: str, **more: Any) -> dict[str, Any]:
    """Return an entry.

    :param what: the service's ``{instance, model}``.
    :param run: the run that holds the lock of the host (``run_lock.py``), empty if none does.
    :param more: ``before`` and ``after`` as ``{generation, revision, package}``, ``seconds``, ``verdict``, ``figures``.
    """
    user, machine = run.get("user") or "", run.get("control_host") or ""
    return {
        "when": when,
        "run": run.get("id") or "",
        "who": f"{user}@{machine}" if user or machine else "",
        "playbook": run.get("playbook") or "",
        "instance": what.get("instance") or "",
        "model": what.get("model") or "",
        "kind": kind,
        "from": more.get("before"),
        "to": more.get("after"),
        "seconds": more.get("seconds"),
        "verdict": more.get("verdict") or "",
        "figures": more.get("figures") or {},
    }


def line(given: Mapping[str, Any]) -> str:
    """Return an entry as one line of at most :data:`MOST_BYTES`; what is too long loses figures, then its verdict's
    end.
    """
    text = json.dumps(given)
    if len(text) > MOST_BYTES:
        text = json.dumps({**given, "figures": {}})
    if len(text) > MOST_BYTES:
        short = {key: value[:100] if isinstance(value, str) else value for key, value in given.items()}
        verdict = str(given["verdict"]).encode("ascii", "replace").decode()[:MOST_VERDICT]
        text = json.dumps({**short, "figures": {}, "verdict": verdict})
    return text


def entries(text: str) -> list[dict[str, Any]]:
    """Return the entries of a text, the oldest first. Lines that were cut short by a loss of power are left out."""
    found = []
    for one in text.splitlines():
        try:
            value = json.loads(one)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("kind") in KINDS:
            found.append(value)
    return found


def last_of(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last entry of each instance."""
    return {str(one.get("instance")): one for one in found}
