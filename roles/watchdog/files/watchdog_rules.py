# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the watchdog concludes from what it sees: pure functions over readings and over what it remembers.

Moments are seconds since 1970. What is remembered of a service is a dictionary that JSON can hold:

``pid``, ``ready``      its process, and whether that has ever answered its health path
``since``               when it last showed a sign of life
``signs``               the values of its progress metrics at the last reading; null if it has none
``restarts``            when the watchdog restarted it, within the last day
``gave_up``             whether it stands still and may not be restarted any more for now
``counts``              restarts by their reason since the watchdog was installed
``asked``, ``wrong``    when its semantic probe was last sent, and how many wrong answers came in a row
``cured``, ``failing``  whether it was restarted for wrong answers, and whether that did not help
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Any, Dict, Mapping, NamedTuple, Sequence

HOUR, DAY = 3600.0, 86400.0
STILL, WRONG = "still", "wrong"
RESTART, WAIT, GIVE_UP = "restart", "wait", "give up"
RUN_STALE_SECONDS = 600
"""Seconds without a renewal after which the lock of a run is one that nobody holds any more, as for other runs."""
# A sample of Prometheus' text format: name, labels, value; a time may follow.
SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?\s+(\S+)")

Memory = Dict[str, Any]


class Seen(NamedTuple):
    """One reading of an engine."""

    running: bool
    """Whether its manager says that it runs."""
    pid: str = ""
    began: float = 0.0
    """When its process began."""
    healthy: bool = False
    """Whether its health path answered with 200 in time."""
    metrics: str | None = None
    """Text of its metrics; null if they did not come in time."""


def fresh() -> Memory:
    """Return what is remembered of a service that was never seen."""
    return {"pid": "", "ready": False, "since": 0.0, "signs": None, "restarts": [], "gave_up": False, "counts": {}}


def values(text: str | None, names: Sequence[str]) -> list[float] | None:
    """Return the values of metrics, each summed over its labels; null if there are no names, or one is missing."""
    found: dict[str, float] = {}
    for line in (text or "").splitlines():
        sample = SAMPLE.match(line)
        if sample and sample[1] in names:
            try:
                value = float(sample[2])
            except ValueError:
                continue
            found[sample[1]] = found.get(sample[1], 0.0) + (value if math.isfinite(value) else 0.0)
    return [found[name] for name in names] if names and len(found) == len(set(names)) else None


def alive(memory: Memory, seen: Seen, interface: Mapping[str, Any]) -> bool:
    """Return whether a reading shows that an engine lives: it answers, and if it has requests, a value has changed.

    An engine that does not tell its requests or its progress is alive as long as it answers.
    """
    if not seen.healthy or seen.metrics is None:
        return False
    requests = values(seen.metrics, list((interface.get("busy_metrics") or {}).values()))
    signs = values(seen.metrics, interface.get("progress_metrics") or [])
    return not requests or not any(requests) or signs is None or signs != memory["signs"]


def observe(memory: Memory, seen: Seen, interface: Mapping[str, Any], rules: Mapping[str, Any], now: float) -> bool:
    """Note a reading; return whether the engine has to prove by an answer that it lives.

    :param interface: what the record says of its engine: ``busy_metrics`` and ``progress_metrics``.
    :param rules: ``stall_seconds`` and ``start_seconds``.
    """
    if not seen.running or not seen.pid:
        memory["pid"] = ""
        return False
    if memory["pid"] != seen.pid:
        memory.update(pid=seen.pid, ready=False, since=now, signs=None)
    memory["ready"] = memory["ready"] or seen.healthy
    if not memory["ready"]:
        # What was told to end may need a while for it, and the process of its next start is younger.
        return bool(now - max([seen.began, *memory["restarts"][-1:]]) > rules["start_seconds"])
    if alive(memory, seen, interface):
        lives(memory, now)
    memory["signs"] = values(seen.metrics, interface.get("progress_metrics") or [])
    return bool(now - memory["since"] >= rules["stall_seconds"])


def lives(memory: Memory, now: float) -> None:
    """Note a sign of life."""
    memory.update(since=now, gave_up=False)


def forget_times(memory: Memory, now: float) -> None:
    """Begin to watch anew: the watchdog did not look for a while, or was told not to."""
    memory["since"] = now
    memory["restarts"] = [moment for moment in memory["restarts"] if moment <= now]


def permission(restarts: Sequence[float], rules: Mapping[str, Any], now: float) -> str:
    """Return whether a service may be restarted now: :data:`RESTART`, :data:`WAIT`, or :data:`GIVE_UP` for the hour.

    :param restarts: when the watchdog restarted it, in order.
    :param rules: ``pauses``: seconds after the first, second, ... restart of a row, the last one for all further; and
        ``per_hour``: restarts in an hour at most.
    """
    if sum(now - moment < HOUR for moment in restarts) >= rules["per_hour"]:
        return GIVE_UP
    row, following = 0, now
    for moment in reversed(restarts):
        if following - moment > HOUR:
            break
        row, following = row + 1, moment
    pauses = rules["pauses"]
    if row and pauses and now - restarts[-1] < pauses[min(row, len(pauses)) - 1]:
        return WAIT
    return RESTART


def restarted(memory: Memory, reason: str, now: float) -> None:
    """Note that the watchdog restarts a service."""
    memory["restarts"] = [moment for moment in memory["restarts"] if now - moment < DAY] + [now]
    memory["counts"][reason] = memory["counts"].get(reason, 0) + 1
    memory.update(pid="", ready=False, since=now, gave_up=False)


def is_due(memory: Memory, rules: Mapping[str, Any], now: float) -> bool:
    """Return whether the semantic probe of an engine that lives is due.

    :param rules: ``prompt_interval``, 0 for never.
    """
    lively = memory["pid"] and memory["ready"] and memory["since"] == now
    return bool(lively and 0 < rules["prompt_interval"] <= now - memory.get("asked", 0.0))


def judge_answer(memory: Memory, right: bool, rules: Mapping[str, Any], now: float) -> str:
    """Note an answer to the semantic probe; return :data:`RESTART`, :data:`GIVE_UP`, or nothing.

    An engine is restarted for wrong answers once; if that does not help, its files are wrong, and it is left to people.

    :param rules: ``prompt_failures``: wrong answers in a row that count, and those of :func:`permission`.
    """
    if right:
        memory.update(wrong=0, cured=False, failing=False)
        return ""
    memory["wrong"] = memory.get("wrong", 0) + 1
    if memory["wrong"] < rules["prompt_failures"] or memory.get("failing"):
        return ""
    if not memory.get("cured"):
        allowed = permission(memory["restarts"], rules, now)
        if allowed == RESTART:
            memory.update(wrong=0, cured=True)
            return RESTART
        return ""
    memory["failing"] = True
    return GIVE_UP


def holds(lock: Any, now: float) -> bool:
    """Return whether a run that is alive holds the lock of the host.

    :param lock: what the file of the lock has; null if there is none.
    """
    renewed = str(lock.get("renewed") or "") if isinstance(lock, dict) else ""
    try:
        moment = datetime.datetime.strptime(renewed, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return False
    return now - moment.timestamp() < RUN_STALE_SECONDS


def exposition(rows: Sequence[Mapping[str, Any]], now: float, paused: bool) -> str:
    """Return the metrics of the watchdog in Prometheus' text format.

    :param rows: ``{labels, memory}`` of each service; labels are ``model``, ``replica`` and ``service``.
    """
    lines = [
        "# HELP llmfleet_watchdog_last_run_timestamp_seconds When the watchdog last looked at the engines.",
        "# TYPE llmfleet_watchdog_last_run_timestamp_seconds gauge",
        f"llmfleet_watchdog_last_run_timestamp_seconds {now:.0f}",
        "# HELP llmfleet_watchdog_paused Whether it does nothing, because a run changes the host.",
        "# TYPE llmfleet_watchdog_paused gauge",
        f"llmfleet_watchdog_paused {int(paused)}",
    ]
    help_texts = {
        "restarts_total": ("counter", "Restarts of an engine that stood still or gave wrong answers."),
        "gave_up": ("gauge", "Whether an engine stands still and was restarted too often to be restarted again."),
        "wrong_answers": ("gauge", "Wrong answers in a row to the semantic probe."),
        "semantic_probe_failing": ("gauge", "Whether wrong answers went on after a restart."),
    }
    for name, (kind, said) in help_texts.items():
        lines += [f"# HELP llmfleet_watchdog_{name} {said}", f"# TYPE llmfleet_watchdog_{name} {kind}"]
        for row in rows:
            labels, memory = dict(row["labels"]), row["memory"]
            if name == "restarts_total":
                lines += [
                    sample(name, {**labels, "reason": reason}, memory["counts"].get(reason, 0))
                    for reason in (STILL, WRONG)
                ]
                continue
            key = {"gave_up": "gave_up", "wrong_answers": "wrong", "semantic_probe_failing": "failing"}[name]
            lines.append(sample(name, labels, int(memory.get(key) or 0)))
    return "\n".join(lines) + "\n"


def sample(name: str, labels: Mapping[str, Any], value: int) -> str:
    """Return a sample."""
    shown = ",".join(f'{key}="{escaped(str(text))}"' for key, text in labels.items())
    return f"llmfleet_watchdog_{name}{{{shown}}} {value}"


def escaped(text: str) -> str:
    """Return the value of a label as the format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
