# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Order in which instances start: two that start at once on one GPU would measure each other's memory.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import Placed


def order_starts(placed: list[Placed], in_force: dict[str, dict[str, Any]]) -> None:
    """Set ``start_after`` of every instance, and record on each GPU which instances share it.

    Instances that share GPUs, directly or by others between them, start one after another. What stays on its GPUs keeps
    its predecessor as long as that is there, so that nothing about it changes, unless a newcomer joins two such rows:
    then one row follows the other. Newcomers start last.
    """
    chains = _chains(placed)
    home = {one.name: chains[one.name] for one in placed if _at_home(one, in_force)}
    for one in placed:
        # An instance whose model has no facts now is on the GPU already.
        home.update((name, chains[one.name]) for device in one.devices for name in device.shared if name not in chains)
        for device in one.devices:
            device.shared.append(one.name)
    last: dict[int, str] = {}
    follows: dict[str, str | None] = {}
    for name in sorted(home, key=lambda name: (*_line(name, home, in_force), name)):
        follows[name] = last.get(home[name])
        last[home[name]] = name
    for one in placed:
        if one.name not in home:
            follows[one.name] = last.get(chains[one.name])
            last[chains[one.name]] = one.name
        one.start_after = follows[one.name]


def _at_home(one: Placed, in_force: dict[str, dict[str, Any]]) -> bool:
    current = in_force.get(one.name) or {}
    return current.get("host") == one.host.name and current.get("gpus") == [device.uuid for device in one.devices]


def _line(name: str, home: dict[str, int], in_force: dict[str, dict[str, Any]]) -> tuple[str, int]:
    """Return the first instance in the previous start chain and the length of the chain, ignoring removed ones."""
    seen = [name]
    first, number = name, 0
    before = in_force[name].get("start_after")
    while before in in_force and before not in seen:
        seen.append(str(before))
        if home.get(str(before)) == home[name]:
            first, number = str(before), number + 1
        before = in_force[str(before)].get("start_after")
    return first, number


def _chains(placed: list[Placed]) -> dict[str, int]:
    """Return the number of the chain of each instance: instances that share GPUs have the same."""
    parents: dict[int, int] = {}

    def root(key: int) -> int:
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    for one in placed:
        for device in one.devices:
            parents[root(id(device))] = root(id(one.devices[0]))
    return {one.name: root(id(one.devices[0])) for one in placed}
