# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps by which a fleet changes, so that no model has fewer instances in service than its floor.

Instances start where memory is free for them, before others end. Those that change in place are restarted host by host,
and only while enough others of their model serve. What no step can do without breaking a floor is refused.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.plan.replicas import REPLACES
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.room import Room

START, REPLACE, TRAFFIC, STOP = "start", "replace", "traffic", "stop"


class Pending(NamedTuple):
    """One instance that is not yet as planned: it starts (no ``old``), ends (no ``new``), or changes in place."""

    old: dict[str, Any] | None
    new: dict[str, Any] | None

    @property
    def record(self) -> dict[str, Any]:
        """Return the instance that it is about."""
        return self.new or self.old or {}


class Blocked(NamedTuple):
    """A change that would leave a model with fewer instances in service than its floor."""

    instance: dict[str, Any]
    left: int
    """Instances in service while it is away."""


def place(one: dict[str, Any]) -> tuple[str, str]:
    """Return name and host of an instance. While it moves, one of its name is on two hosts."""
    return str(one["name"]), str(one["host"])


class Fleet:
    """The fleet while steps are found: what serves, what is free, and what is still to do.

    :param todo: what is not yet as planned.
    :param serving: instances that serve.
    :param keep: the floor of each model.
    :param room: free memory.
    :param widths: hosts that are changed at a time, step by step; the last number holds for all further steps.
    """

    def __init__(
        self, todo: list[Pending], serving: list[dict[str, Any]], keep: dict[str, int], room: Room, widths: list[int]
    ) -> None:
        self.todo = todo
        self.keep = keep
        self.room = room
        self.widths = widths
        self.steps: list[dict[str, Any]] = []
        self.in_service: dict[str, set[tuple[str, str]]] = {}
        self.started: list[dict[str, Any]] = []
        """Instances that run, to which gateways do not send yet."""
        for one in serving:
            self.in_service.setdefault(str(one["model"]), set()).add(place(one))

    def run(self) -> list[Blocked]:
        """Find steps until nothing is left to do, or until no step is possible; return what a floor forbids then."""
        while self._start() or self._replace() or self._traffic() or self._make_room():
            pass
        return self._blocked()

    @property
    def ending(self) -> list[dict[str, Any]]:
        """Return the instances that end last, when the gateways know all others."""
        return [one.record for one in self.todo if one.new is None]

    def _start(self) -> bool:
        """Start whatever has room beside all that runs."""
        chosen = []
        for one in [one for one in self.todo if one.old is None]:
            if self.room.fits(one.record):
                self.room.take(one.record)
                chosen.append(one)
        self.started += [one.record for one in chosen]
        return self._step(START, chosen, self._counts(chosen), "there is room beside what runs")

    def _replace(self) -> bool:
        """Restart what changes in place, on as many hosts at a time as allowed; those of a host one after another."""
        ready: dict[str, list[Pending]] = {}
        for one in [one for one in self.todo if one.old and one.new]:
            if self._spare(one) > 0 and self.room.fits(one.record, instead_of=one.old):
                ready.setdefault(str(one.record["host"]), []).append(one)
        chosen: list[Pending] = []
        away: dict[str, int] = {}
        hosts = 0
        # Hosts whose models have most to spare come first.
        for host in sorted(ready, key=lambda host: (-min(map(self._spare, ready[host])), host)):
            models = {str(one.record["model"]) for one in ready[host] if self._serves(one)}
            if hosts == self.widths[0] or any(away.get(name, 0) >= self._surplus(name) for name in models):
                continue
            hosts += 1
            away.update({name: away.get(name, 0) + 1 for name in models})
            chosen += self._together(ready[host])
        if not chosen:
            return False
        self.widths = self.widths[1:] or self.widths
        before = self._counts(chosen)
        for one in chosen:
            self._returns(one)
        return self._step(REPLACE, chosen, before, "changed in place, those of a host one after another", away)

    def _together(self, changes: list[Pending]) -> list[Pending]:
        """Return those of a host that fit in any order, one of each model that serves.

        What needs memory that another frees comes in a later step, and so does a second one of a model, because
        gateways take all of a step out at once.
        """
        chosen: list[Pending] = []
        for one in changes:
            others = {str(other.record["model"]) for other in chosen if self._serves(other)}
            if self._serves(one) and str(one.record["model"]) in others:
                continue
            if self.room.fits(one.record, instead_of=one.old):
                self.room.grow(one.old or {}, one.record)
                chosen.append(one)
        for one in chosen:
            self.room.shrink(one.old or {}, one.record)
        return chosen

    def _returns(self, changed: Pending) -> None:
        """Count an instance that was changed in place: gateways know it unless its port is another one now."""
        old, new = changed.old or {}, changed.record
        served = self.in_service.setdefault(str(new["model"]), set())
        if old.get("port") == new["port"] and place(new) not in map(place, self.started):
            served.add(place(new))
        else:
            served.discard(place(new))
            self.started.append(new)

    def _traffic(self) -> bool:
        """Let gateways send to what was started, if something waits for it, and no more to what ends in exchange.

        What is replaced by an instance beside it serves on until the end, so that both can be compared meanwhile.
        """
        models = {str(one["model"]) for one in self.started}
        waiting = [one for one in self.todo if one.old and str(one.record["model"]) in models]
        replaced = {(one["model"], one.get(REPLACES)) for one in self.started}
        beside = [one for one in waiting if (one.record["model"], one.record["name"]) in replaced and self._serves(one)]
        if not beside and not any(one.new or self._needed(one) for one in waiting):
            return False
        before = {name: self._count(name) for name in sorted(models)}
        for one in self.started:
            self.in_service.setdefault(str(one["model"]), set()).add(place(one))
        exchanged = [one for one in waiting if one.new is None and one not in beside]
        for ending in [one for one in exchanged if self._serves(one) and self._spare(one) > 0]:
            self.in_service[str(ending.record["model"])].discard(place(ending.record))
        shown, self.started = [Pending(None, one) for one in self.started], []
        self._record(TRAFFIC, shown, before, "gateways send to what was started", {})
        return True

    def _make_room(self) -> bool:
        """Stop one instance that nothing asks for any more, if its memory is needed and its model's floor allows it."""
        for one in [one for one in self.todo if one.new is None]:
            if self._needed(one) and self._spare(one) > 0:
                before = self._counts([one])
                self.in_service.get(str(one.record["model"]), set()).discard(place(one.record))
                self.room.give(one.record)
                return self._step(STOP, [one], before, "others need its memory")
        return False

    def _needed(self, ending: Pending) -> bool:
        """Return whether something waits for the memory of an instance that ends."""
        return any(
            self.room.shares(ending.record, one.record) and not self.room.fits(one.record, instead_of=one.old)
            for one in self.todo
            if one.new
        )

    def _blocked(self) -> list[Blocked]:
        """Return the changes that their model's floor forbids."""
        waits = [one for one in self.todo if one.old and (one.new or self._needed(one))]
        return [
            Blocked(one.old or {}, self._count(str(one.record["model"])) - 1) for one in waits if self._spare(one) <= 0
        ]

    def _serves(self, one: Pending) -> bool:
        return one.old is not None and place(one.old) in self.in_service.get(str(one.record["model"]), set())

    def _count(self, model: str) -> int:
        return len(self.in_service.get(model, ()))

    def _counts(self, chosen: list[Pending]) -> dict[str, int]:
        return {str(one.record["model"]): self._count(str(one.record["model"])) for one in chosen}

    def _surplus(self, model: str) -> int:
        return self._count(model) - self.keep.get(model, 0)

    def _spare(self, one: Pending) -> int:
        """Return how many instances like this may be away; one that does not serve can always be changed."""
        return self._surplus(str(one.record["model"])) if self._serves(one) else 1

    def _step(
        self, kind: str, chosen: list[Pending], before: dict[str, int], why: str, away: dict[str, int] | None = None
    ) -> bool:
        if not chosen:
            return False
        for one in chosen:
            self.todo.remove(one)
        self._record(kind, chosen, before, why, away or {})
        return True

    def _record(self, kind: str, chosen: list[Pending], before: dict[str, int], why: str, away: dict[str, int]) -> None:
        self.steps.append(
            {
                "number": len(self.steps) + 1,
                "kind": kind,
                "instances": [{"name": one.record["name"], "host": one.record["host"]} for one in chosen],
                "hosts": list(dict.fromkeys(str(one.record["host"]) for one in chosen)),
                "in_service": {
                    name: {
                        "before": count,
                        "during": min(count - away.get(name, 0), self._count(name)),
                        "after": self._count(name),
                        "floor": self.keep.get(name, 0),
                    }
                    for name, count in before.items()
                },
                "traffic": [list(key) for key in sorted(key for keys in self.in_service.values() for key in keys)],
                "why": why,
            }
        )
