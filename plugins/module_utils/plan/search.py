# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Search for the GPUs of each replica, so that every model gets what it requests on as few GPUs as possible.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple, Tuple

from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import (
    Division,
    GpuHost,
    Placed,
    Sizer,
    width,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import Shape, context_bytes

Score = Tuple[int, bool, int, int]
"""Replicas of the model on the host, whether the GPUs are of several NVLink islands, GPUs opened, bytes left over."""


class Place(NamedTuple):
    """GPUs of a host on which a model can run. Lower values are better, in the order of the fields."""

    crosses: bool
    """Whether the GPUs are of several NVLink islands."""
    opened: int
    """GPUs on which nothing ran before."""
    waste: int
    """Bytes that are left over on them."""
    positions: tuple[int, ...]
    """The GPUs, as places among the devices of the host."""
    kv: int
    """Bytes of KV cache with which the wishes are met."""
    shape: Shape


def find(host: GpuHost, model: dict[str, Any], division: Division, sizer: Sizer, avoid: set[str]) -> Place | None:
    """Return the best place for a divided model on a host, or null.

    GPUs of one instance are of one kind; those within one NVLink island come before those of several.

    :param avoid: uuids that are out of the question.
    """
    best: Place | None = None
    count = width(division)
    position = {id(device): number for number, device in enumerate(host.devices)}
    for kind, example in host.kinds.items():
        least = sizer.least(model, example, division)
        if least is None:
            continue
        context = context_bytes(model, example.total)
        devices = [
            device
            for device in host.devices
            if device.kind == kind
            and device.free >= least + context
            and not (device.sliced and count > 1)
            and device.uuid not in avoid
        ]
        if len(devices) < count:
            continue
        for kv, shape in sizer.shapes(model, example, division):
            need = shape.budget(kv) + context
            group = _group([device for device in devices if device.free >= need], count)
            if group is None:
                continue
            place = Place(
                count > 1 and len({device.island for device in group}) > 1,
                sum(1 for device in group if not device.taken),
                sum(device.free - need for device in group),
                tuple(position[id(device)] for device in group),
                kv,
                shape,
            )
            if best is None or place[:3] < best[:3]:
                best = place
            break
    return best


def _group(devices: list[Device], count: int) -> list[Device] | None:
    """Return so many devices: used ones first, then the tightest, inside one island if there is one that large."""
    if len(devices) < count:
        return None
    ordered = sorted(devices, key=lambda d: (not d.taken, d.free, d.index, d.uuid))
    if count == 1:
        return ordered[:1]
    by_island: dict[int, list[Device]] = {}
    for device in ordered:
        by_island.setdefault(device.island, []).append(device)
    large = [group for group in by_island.values() if len(group) >= count]
    if large:
        ordered = min(
            large, key=lambda group: (sum(1 for d in group[:count] if not d.taken), len(group), group[0].index)
        )
    return sorted(ordered[:count], key=lambda d: d.index)


Entry = Tuple[Score, int, int, Place]
"""How good a host is, its place among the hosts, its state when that was found, and the GPUs."""


class Placer:
    """Places replicas one after another; equivalent hosts are examined once.

    Replicas of one model come in a row: only the hosts that got one change in between.
    """

    def __init__(self, hosts: list[GpuHost], sizer: Sizer) -> None:
        self.hosts = hosts
        self.sizer = sizer
        self._alike: dict[tuple[str, Division, tuple[Any, ...]], Place | None] = {}
        self._model = ""
        self._ranked: dict[Division, list[Entry]] = {}

    def best(self, model: dict[str, Any], avoid: dict[str, set[str]]) -> Placed | None:
        """Return the best place for another replica of a model, or null.

        Fewest GPUs for the instance, then the host with fewest replicas of the model, NVLink before PCIe, fewest GPUs
        opened, least waste.

        :param avoid: uuids by host on which a replica of the model runs: a second one there would share its fate.
        """
        if model["name"] != self._model:
            self._model, self._ranked = model["name"], {}
        for division in self.sizer.divisions(model):
            found = self._first(model, division, avoid)
            if found:
                host, place = self.hosts[found[1]], found[3]
                placed = Placed(model, -1, host, [host.devices[number] for number in place.positions], place.shape)
                placed.kv = placed.kv_least = place.kv
                return placed
        return None

    def _first(self, model: dict[str, Any], division: Division, avoid: dict[str, set[str]]) -> Entry | None:
        if division not in self._ranked:
            entries = [
                self._entry(number, model, division, avoid)
                for number, host in enumerate(self.hosts)
                if (not model["hosts"] or host.name in model["hosts"]) and len(host.devices) >= width(division)
            ]
            self._ranked[division] = [entry for entry in entries if entry]
            heapq.heapify(self._ranked[division])
        ranked = self._ranked[division]
        while ranked:
            first = ranked[0]
            if first[2] == self.hosts[first[1]].version:
                return first
            heapq.heappop(ranked)
            again = self._entry(first[1], model, division, avoid)
            if again:
                heapq.heappush(ranked, again)
        return None

    def _entry(
        self, number: int, model: dict[str, Any], division: Division, avoid: dict[str, set[str]]
    ) -> Entry | None:
        host = self.hosts[number]
        taken = avoid.get(host.name)
        if taken:
            place = find(host, model, division, self.sizer, taken)
        else:
            key = (model["name"], division, host.state)
            if key not in self._alike:
                self._alike[key] = find(host, model, division, self.sizer, set())
            place = self._alike[key]
        if place is None:
            return None
        score = (host.models.get(model["name"], 0), *place[:3])
        return score, number, host.version, place
