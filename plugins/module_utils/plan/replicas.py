# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and names of a model's replicas.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping


def name(model: Mapping[str, Any], number: int) -> str:
    """Return the name of a replica's instance."""
    return f"{model['name']}-{number}"


def numbers(model: Mapping[str, Any], in_force: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """Return the numbers of a model's replicas in ascending order: those that run, then the lowest free ones.

    A number is a name and not a position, so replica 1 may stay while 0 goes. If more run than are asked for, those on
    hosts where the model may run stay first, and of these the lowest.

    :param in_force: instances in force by name.
    """
    allowed = set(model.get("hosts") or [])

    def order(number: int) -> tuple[bool, int]:
        elsewhere = bool(allowed) and in_force[name(model, number)].get("host") not in allowed
        return elsewhere, number

    count = int(model["replicas"])
    chosen = sorted(_running(model, in_force), key=order)[:count]
    free = (number for number in range(count + len(chosen)) if number not in chosen)
    return sorted([*chosen, *(next(free) for _missing in range(count - len(chosen)))])


def _running(model: Mapping[str, Any], in_force: Mapping[str, Any]) -> Iterator[int]:
    prefix = name(model, 0)[:-1]
    for one in in_force:
        number = one[len(prefix) :]
        # A number is written in one way alone: model-01 is no replica.
        if one.startswith(prefix) and number.isascii() and number.isdigit() and str(int(number)) == number:
            yield int(number)
