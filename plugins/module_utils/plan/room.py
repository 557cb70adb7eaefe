# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory that is free while instances start and end: of each GPU, and of each host without GPUs.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.cpu_shares import SERVICES_MIB
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import GIB, MIB
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes

Place = tuple[str, str]
# The place of engines that run on processors: the memory of their host.
MEMORY = "memory"


class Room:
    """Free bytes by host and GPU (its uuid), or by host and ``memory``.

    :param report: ``hosts`` of a plan: the GPUs of each host, with bytes.
    :param hosts: the facts of hosts that the plan was made from.
    :param current: instances in force, which hold what they were given.
    """

    def __init__(self, report: dict[str, Any], hosts: dict[str, dict[str, Any]], current: list[dict[str, Any]]) -> None:
        self.total: dict[Place, int] = {}
        self.free: dict[Place, int] = {}
        self.label: dict[Place, str] = {}
        for host, facts in report.items():
            for gpu in facts["gpus"]:
                place = (host, str(gpu["uuid"]))
                self.total[place] = int(gpu["total"])
                # What nobody else holds, without the margins: these are for estimates, not for instances.
                self.free[place] = int(gpu["planned"]) + int(gpu["headroom"])
                self.label[place] = f"GPU {gpu['index']}"
        for host, facts in hosts.items():
            if (facts.get("device") or "cpu") == "cpu":
                memory = int((facts.get("cpu") or {}).get("memory_mib") or 0) - SERVICES_MIB
                self.free[(host, MEMORY)] = memory * MIB
                self.label[(host, MEMORY)] = "memory"
        for one in current:
            self.take(one)

    def needs(self, record: dict[str, Any]) -> dict[Place, int]:
        """Return the bytes that an instance takes of each place. A place of which nothing is known is left out."""
        host = str(record.get("host"))
        if record.get("device") != "cuda":
            place, memory = (host, MEMORY), record.get("memory") or {}
            engine = registry.of(record).cpu_least_mib * MIB
            held = sum(int(memory.get(part) or 0) for part in ("weights", "kv_cache"))
            return {place: engine + held} if place in self.free else {}
        places = [(host, str(uuid)) for uuid in record.get("gpus") or []]
        return {
            place: plan_growth.held(record) + context_bytes(record, self.total[place])
            for place in places
            if place in self.free
        }

    def fits(self, record: dict[str, Any], instead_of: dict[str, Any] | None = None) -> bool:
        """Return whether an instance has room now, or once another has ended; one that grows nowhere always has."""
        freed = self.needs(instead_of) if instead_of else {}
        return all(need <= max(self.free[place], 0) + freed.get(place, 0) for place, need in self.needs(record).items())

    def take(self, record: dict[str, Any]) -> None:
        """Count an instance that starts."""
        for place, need in self.needs(record).items():
            self.free[place] -= need

    def give(self, record: dict[str, Any]) -> None:
        """Count an instance that has ended."""
        for place, need in self.needs(record).items():
            self.free[place] += need

    def grow(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Count where an instance that changes in place takes more than before."""
        held = self.needs(old)
        for place, need in self.needs(new).items():
            self.free[place] -= max(0, need - held.get(place, 0))

    def shrink(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Count where an instance that was changed in place takes less than before."""
        needs = self.needs(new)
        for place, held in self.needs(old).items():
            self.free[place] += max(0, held - needs.get(place, 0))

    def shares(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Return whether two instances are on the same GPU, or both on the processors of one host."""
        return bool(set(self.needs(one)) & set(self.needs(other)))

    def beside(self, record: dict[str, Any], without: str = "") -> str:
        """Return whether a second one like this would fit somewhere, and the arithmetic of it.

        :param without: a host that is left out; empty for none.
        """
        needs = self.needs(record)
        if not needs:
            return ""
        need, count = max(needs.values()), len(needs)
        what = MEMORY if record.get("device") != "cuda" else "one GPU" if count == 1 else f"each of {count} GPUs"
        best = max(self._candidates(record, count, without), key=lambda found: found[0], default=None)
        text = f"a second one needs {need / GIB:.1f} GiB of {what}"
        if best is None:
            return f"{text}, and no other {'GPU' if record.get('device') == 'cuda' else 'host'} is there for it"
        free, where = best
        if free >= need:
            return f"{text}, and {where} has {free / GIB:.1f} GiB free"
        return f"{text}, and the most that is free is {max(free, 0) / GIB:.1f} GiB ({where})"

    def _candidates(self, record: dict[str, Any], count: int, without: str) -> list[tuple[int, str]]:
        """Return free bytes and name of each place where another instance could be, the record's own GPUs left out."""
        if record.get("device") != "cuda":
            return [(free, place[0]) for place, free in self.free.items() if place[1] == MEMORY and place[0] != without]
        own = set(self.needs(record))
        by_host: dict[str, list[tuple[int, str]]] = {}
        for place, free in self.free.items():
            if place[1] != MEMORY and place[0] != without and place not in own:
                by_host.setdefault(place[0], []).append((free, self.label[place]))
        found = []
        for host, gpus in by_host.items():
            largest = sorted(gpus, reverse=True)[:count]
            if len(largest) == count:
                found.append((largest[-1][0], f"{host}, {', '.join(sorted(label for _free, label in largest))}"))
        return found
