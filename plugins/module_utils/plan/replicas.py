# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and names of a model's replicas.

An instance that runs beside another one until it takes its place says so: its record has ``replaces``, the other's
name, as long as it is in force. The other one has ``leaves`` while its replacement is planned.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Mapping

REPLACES, LEAVES = "replaces", "leaves"


def name(model: Mapping[str, Any], number: int) -> str:
    """Return the name of a replica's instance."""
    return f"{model['name']}-{number}"


def numbers(model: Mapping[str, Any], in_force: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """Return the numbers of a model's replicas in ascending order: those that run, then the lowest free ones.

    A number is a name and not a position, so replica 1 may stay while 0 goes. If more run than are asked for, those on
    hosts where the model may run stay first, and of these the lowest. One that another replaces does not stay, and its
    number is not free.

    :param in_force: instances in force by name.
    """
    allowed = set(model.get("hosts") or [])
    replaced = _replaced(model, in_force)

    def order(number: int) -> tuple[bool, int]:
        elsewhere = bool(allowed) and in_force[name(model, number)].get("host") not in allowed
        return elsewhere, number

    count = int(model["replicas"])
    stays = [number for number in _running(model, in_force) if name(model, number) not in replaced]
    chosen = sorted(stays, key=order)[:count]
    free = (n for n in itertools.count() if n not in chosen and name(model, n) not in replaced)
    return sorted([*chosen, *(next(free) for _missing in range(count - len(chosen)))])


def marked(instances: list[dict[str, Any]], in_force: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return planned instances, those that replace another one with its name."""
    leaving: dict[str, list[str]] = {}
    for other, record in sorted(in_force.items(), reverse=True):
        if record.get(LEAVES):
            leaving.setdefault(str(record["model"]), []).append(other)
    found = []
    for one in instances:
        old = in_force.get(str(one["name"]))
        others = leaving.get(str(one["model"]))
        if old and old.get(REPLACES):
            found.append({**one, REPLACES: old[REPLACES]})
        elif not old and others:
            why = f"runs beside {others[-1]} until it takes its place"
            found.append({**one, REPLACES: others.pop(), "reasons": [*one["reasons"], why]})
        else:
            found.append(one)
    return found


def leaving_hosts(model: Mapping[str, Any], in_force: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the hosts of a model's instances whose replacement is planned."""
    own = [one for one in in_force.values() if one.get("model") == model["name"]]
    return {str(one.get("host")) for one in own if one.get(LEAVES)}


def _replaced(model: Mapping[str, Any], in_force: Mapping[str, Mapping[str, Any]]) -> set[str]:
    own = {one: record for one, record in in_force.items() if record.get("model") == model["name"]}
    leaving = {one for one, record in own.items() if record.get(LEAVES)}
    return leaving | {str(record[REPLACES]) for record in own.values() if record.get(REPLACES)}


def _running(model: Mapping[str, Any], in_force: Mapping[str, Any]) -> Iterator[int]:
    prefix = name(model, 0)[:-1]
    for one in in_force:
        number = one[len(prefix) :]
        # A number is written in one way alone: model-01 is no replica.
        if one.startswith(prefix) and number.isascii() and number.isdigit() and str(int(number)) == number:
            yield int(number)
