# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the instances in force to those of a plan: what serves, what has to change, in which steps, and what is refused.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.room import Room
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import Blocked, Fleet, Pending, place
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem


def floors(models: list[dict[str, Any]], serving: list[dict[str, Any]], downtime: Iterable[str] = ()) -> dict[str, int]:
    """Return how many instances of each model stay in service: ``min_in_service``, else all but one, at least one.

    :param serving: instances that serve now. More than these cannot be kept.
    :param downtime: models that may be away during this run; ``all``.
    """
    away = set(downtime)
    found = {}
    for model in models:
        name, asked = model["name"], model["min_in_service"]
        least = max(1, model["replicas"] - 1) if asked is None else asked
        running = sum(1 for one in serving if one["model"] == name)
        found[name] = 0 if away & {name, "all"} else min(least, running)
    return found


def pending(instances: list[dict[str, Any]], current: list[dict[str, Any]], same: Iterable[str]) -> list[Pending]:
    """Return what has to start, to change in place and to end.

    An instance that moves to another host starts there and ends here; on its own host its service has one name, so it
    is changed in place, whatever GPUs it gets.

    :param same: names of instances that stay as they are.
    """
    before = {place(one): one for one in current}
    kept = set(same)
    found = []
    for one in instances:
        old = before.pop(place(one), None)
        if one["name"] not in kept:
            found.append(Pending(old, one))
    return found + [Pending(old, None) for old in before.values()]


def widths(serial: Any, hosts: int) -> list[int]:
    """Return how many hosts are changed at a time, step by step, from ``serial``: a number, a share, or a list."""
    found = []
    for one in serial if isinstance(serial, (list, tuple)) else [serial]:
        share = str(one).strip().rstrip("%")
        number = int(float(share) * hosts / 100) if str(one).strip().endswith("%") else int(float(share))
        found.append(max(1, number))
    return found or [1]


def find(
    plan: dict[str, Any],
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    current: list[dict[str, Any]],
    changes: list[dict[str, Any]],
    downtime: Iterable[str] = (),
    serial: Any = 1,
    reached: list[str] | None = None,
) -> dict[str, Any]:
    """Return ``{steps, ending, blocked, held_back, unreached}``: what is done in which order, what ends at last, what
    cannot be done and the names of its instances, and the hosts whose instances are not changed.

    :param plan: the plan, with ``instances`` and ``hosts``.
    :param models: resolved models.
    :param hosts: facts of hosts, which may name the instances that serve (``serving``); without it all in force do.
    :param current: instances in force.
    :param changes: what happens to each instance of the plan.
    :param downtime: models that may be away; ``all``.
    :param serial: hosts to change at a time: a number, a share such as ``25%``, or a list of these.
    :param reached: hosts of this run; without it all. Instances of others are not changed.
    """
    # A run that was cut short left an instance on both hosts of its move. Gateways may not know the new one yet.
    twice = {name for name, count in Counter(one["name"] for one in current).items() if count > 1}
    arrived = {place(one) for one in plan["instances"] if one["name"] in twice}
    serving = [one for one in current if in_service(one, hosts) and place(one) not in arrived]
    keep = floors(models, serving, downtime)
    same = [change["name"] for change in changes if change["action"] == "="]
    room = Room(plan["hosts"], holds.others(hosts), current)
    todo = [
        one for one in pending(plan["instances"], current, same) if reached is None or one.record.get("host") in reached
    ]
    fleet = Fleet(todo, serving, keep, room, widths(serial, len(hosts)))
    fleet.started += [one for one in current if place(one) in arrived]
    blocked = fleet.run()
    return {
        "steps": fleet.steps,
        "unreached": [] if reached is None else sorted(set(hosts) - set(reached)),
        "ending": [{"name": one["name"], "host": one["host"]} for one in fleet.ending],
        "blocked": [_problem(one, keep, room)._asdict() for one in blocked],
        "held_back": [str(one.instance["name"]) for one in blocked],
    }


def in_service(one: dict[str, Any], hosts: dict[str, dict[str, Any]]) -> bool:
    """Return whether an instance serves, as far as its host tells; without it, all in force do, but on a held host."""
    facts = hosts.get(str(one.get("host"))) or {}
    serving = facts.get("serving")
    return not facts.get("hold") and (serving is None or one["name"] in serving)


def _problem(blocked: Blocked, keep: dict[str, int], room: Room) -> Problem:
    one = blocked.instance
    model = str(one["model"])
    text = f"taking {one['name']} out leaves {blocked.left} of {blocked.left + 1} in service"
    remedy = (
        f"raise replicas of {model} in a run before this one, lower its min_in_service, or let it be away once "
        f"with -e llm_allow_downtime={model}"
    )
    beside = room.beside(one)
    problem = f"{text}; {beside}" if beside else text
    return Problem(f"llm_models[{model}].min_in_service", keep[model], problem, remedy, str(one["host"]))
