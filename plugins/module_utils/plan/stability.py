# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide which instances stay, shrink or move: the smallest change that satisfies the request.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import replicas
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import (
    GpuHost,
    Kind,
    Placed,
    Sizer,
    width,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.in_force import home, keep, resize, restore
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.search import Placer
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.start_order import order_starts

# Number of instances that are tried, one at a time, as the one to move, the smallest first. Large fleets try fewer,
# because each attempt places all instances.
MOST_MOVES = 16
PLACED_IN_ATTEMPTS = 1000


class Attempt:
    """One attempt: the placed replicas, and those without a place."""

    def __init__(self, placed: list[Placed], missing: list[tuple[dict[str, Any], int]]) -> None:
        self.placed = placed
        self.missing = missing

    @property
    def names(self) -> list[str]:
        """Return the names of the instances without a place."""
        return [f"{model['name']}-{replica}" for model, replica in self.missing]


def settle(
    models: list[tuple[int, dict[str, Any]]],
    hosts: list[GpuHost],
    frozen_hosts: set[str],
    in_force: dict[str, dict[str, Any]],
    sizer: Sizer,
) -> tuple[list[Placed], list[dict[str, Any]], list[tuple[dict[str, Any], int]]]:
    """Place every replica; return the placed ones, those on hosts that were not reached, and those without a place.

    Four attempts, each of which disturbs more: everything stays as large as it is; what shares a GPU with newcomers is
    made as small as its request allows; one running instance moves away, or those of one host do; everything is placed
    anew. The first that leaves nobody out is taken, else the one that leaves out fewest.
    """
    frozen, wanted = [], []
    for rank, model in models:
        for replica in replicas.numbers(model, in_force):
            current = in_force.get(f"{model['name']}-{replica}")
            where = current.get("host") if current else None
            if current and where in frozen_hosts and (not model["hosts"] or where in model["hosts"]):
                frozen.append(current)
            else:
                wanted.append((rank, model, replica))
    attempt = first = _attempt(wanted, hosts, in_force, sizer, set(), shrink=False)
    if _could_fit(first.missing, hosts, sizer):
        lost = {name for name in first.names if name in in_force}
        for changes in _changes(wanted, first.missing, in_force):
            other = _attempt(wanted, hosts, in_force, sizer, changes, shrink=True)
            # A running instance is not stopped for a new one.
            if len(other.missing) < len(attempt.missing) and {n for n in other.names if n in in_force} <= lost:
                attempt = other
            if not attempt.missing:
                break
    # The devices contain the last attempt, so the best one is applied to them again.
    _clear(hosts)
    for one in attempt.placed:
        one.host.take(one)
    order_starts(attempt.placed, in_force)
    return attempt.placed, frozen, attempt.missing


def _could_fit(missing: list[tuple[dict[str, Any], int]], hosts: list[GpuHost], sizer: Sizer) -> bool:
    """Check whether any replica without a place would fit if nothing else ran."""
    if not missing:
        return False
    _clear(hosts)
    placer = Placer(hosts, sizer)
    models = {model["name"]: model for model, _replica in missing}
    return any(placer.best(model, {}) for model in models.values())


def _changes(
    wanted: list[tuple[int, dict[str, Any], int]],
    missing: list[tuple[dict[str, Any], int]],
    in_force: dict[str, dict[str, Any]],
) -> list[set[str]]:
    """Return which instances may move, attempt by attempt: none, one of the small ones, all of a host, all.

    Only those count that are on hosts where one of the missing may run.
    """
    allowed = [set(model["hosts"]) for model, _replica in missing]
    names = [f"{model['name']}-{replica}" for _rank, model, replica in wanted]
    running = [
        name
        for name in names
        if name in in_force and any(not hosts or in_force[name].get("host") in hosts for hosts in allowed)
    ]
    size = {name: plan_growth.held(in_force[name]) for name in running}
    attempts = max(1, min(MOST_MOVES, PLACED_IN_ATTEMPTS // max(1, len(names))))
    alone = [{name} for name in sorted(running, key=lambda name: (size[name], name))[:attempts]]
    together: dict[str, set[str]] = {}
    for name in running:
        together.setdefault(str(in_force[name].get("host")), set()).add(name)
    by_host = sorted(together.values(), key=lambda on_host: (sum(size[name] for name in on_host), sorted(on_host)))
    several = [on_host for on_host in by_host[:attempts] if len(on_host) > 1]
    return [set(), *alone, *several, set(running)] if running else []


def _clear(hosts: list[GpuHost]) -> None:
    for host in hosts:
        host.models = {}
        host.version += 1
        for device in host.devices:
            device.taken = device.spread = 0


def _attempt(
    wanted: list[tuple[int, dict[str, Any], int]],
    hosts: list[GpuHost],
    in_force: dict[str, dict[str, Any]],
    sizer: Sizer,
    movable: set[str],
    shrink: bool,
) -> Attempt:
    """Place everything once: staying instances first, then new ones, the largest and most constrained first."""
    _clear(hosts)
    by_name = {host.name: host for host in hosts}
    placed: list[Placed] = []
    waiting: list[tuple[int, dict[str, Any], int]] = []
    resized: list[tuple[int, dict[str, Any], int]] = []
    for rank, model, replica in wanted:
        name = f"{model['name']}-{replica}"
        current = in_force.get(name)
        stays = None if name in movable or shrink else keep(model, replica, current, by_name, sizer)
        if stays:
            stays.host.take(stays)
            placed.append(stays)
        elif current and name not in movable:
            resized.append((rank, model, replica))
        else:
            waiting.append((rank, model, replica))
    for rank, model, replica in resized:
        again = resize(model, replica, in_force[f"{model['name']}-{replica}"], by_name, sizer)
        if again:
            again.host.take(again)
            placed.append(again)
        else:
            waiting.append((rank, model, replica))
    homeless = {f"{model['name']}-{replica}" for _rank, model, replica in waiting} & set(in_force) - movable
    missing = _newcomers(waiting, hosts, in_force, sizer, placed, homeless)
    if shrink:
        restore(placed, in_force, sizer)
    placed.sort(key=lambda one: one.kept is None)
    return Attempt(placed, missing)


def _newcomers(
    waiting: list[tuple[int, dict[str, Any], int]],
    hosts: list[GpuHost],
    in_force: dict[str, dict[str, Any]],
    sizer: Sizer,
    placed: list[Placed],
    homeless: set[str],
) -> list[tuple[dict[str, Any], int]]:
    """Place replicas without a place and return those that do not fit: earlier running ones first, then the most
    constrained.
    """
    placer = Placer(hosts, sizer)
    avoid: dict[str, dict[str, set[str]]] = {}
    for one in placed:
        taken = avoid.setdefault(one.model["name"], {}).setdefault(one.host.name, set())
        taken.update(device.uuid for device in one.devices)
    kinds = {kind: device for host in hosts for kind, device in host.kinds.items()}
    names = {model["name"]: model for _rank, model, _replica in waiting}
    size = {name: _size(model, kinds, sizer) for name, model in names.items()}
    missing: list[tuple[dict[str, Any], int]] = []
    full: set[str] = set()

    def urgency(item: tuple[int, dict[str, Any], int]) -> tuple[Any, ...]:
        rank, model, replica = item
        ran = f"{model['name']}-{replica}" in homeless
        return not ran, len(model["hosts"]) or len(hosts), -size[model["name"]], rank, replica

    by_name = {host.name: host for host in hosts}
    for _rank, model, replica in sorted(waiting, key=urgency):
        own = avoid.setdefault(model["name"], {})
        found = None if model["name"] in full else placer.best(model, own)
        if found is None:
            full.add(model["name"])
            missing.append((model, replica))
            continue
        chosen = Placed(model, replica, found.host, found.devices, found.shape)
        chosen.kv = chosen.kv_least = found.kv_least
        current = in_force.get(chosen.name)
        if current and current.get("gpus") != [device.uuid for device in chosen.devices]:
            cause = (
                "it does not fit there any more" if home(model, current, by_name) else "its GPUs are not there for it"
            )
            chosen.why.append(f"moved from {current.get('host')}: {cause}")
        chosen.host.take(chosen)
        own.setdefault(found.host.name, set()).update(device.uuid for device in found.devices)
        placed.append(chosen)
    return missing


def _size(model: dict[str, Any], kinds: dict[Kind, Device], sizer: Sizer) -> int:
    """Return the bytes of an instance on all its GPUs together, for the smallest number of GPUs."""
    for division in sizer.divisions(model):
        needs = []
        for kind, device in kinds.items():
            least = sizer.least(model, device, division)
            if least is not None and least + context_bytes(model, device.total) <= kind[1]:
                needs.append(least)
        if needs:
            return min(needs) * width(division)
    return 0
