# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generation of an NVIDIA card by its PCI device ID, and the driver that it needs.

The ranges are those of pci.ids (https://pci-ids.ucw.cz/read/PC/10de) and of the tables of supported products in
NVIDIA's drivers (README of https://github.com/NVIDIA/open-gpu-kernel-modules for Turing and later, appendix A of the
driver's README for those before). NVIDIA gives a chip a range of ids; a new product of a known chip lies within one.
Pure functions over texts; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple

VENDOR = 0x10DE
DISPLAY = 0x03
NVSWITCH = 0x0680


class Generation(NamedTuple):
    """A generation of cards."""

    name: str
    open_modules: str
    """Whether the open kernel modules drive it: ``no``, ``yes``, or ``only`` where the proprietary ones do not."""
    oldest_branch: int
    """First driver branch that knows it; 0 where every branch that is still offered does."""
    newest_branch: int
    """Last driver branch that knows it; 0 where there is no such."""


NO, YES, ONLY = "no", "yes", "only"
LEGACY = Generation("before Maxwell", NO, 0, 470)
MAXWELL = Generation("Maxwell", NO, 0, 580)
PASCAL = Generation("Pascal", NO, 0, 580)
VOLTA = Generation("Volta", NO, 0, 580)
TURING = Generation("Turing", YES, 0, 0)
AMPERE = Generation("Ampere", YES, 0, 0)
ADA = Generation("Ada Lovelace", YES, 525, 0)
HOPPER = Generation("Hopper", YES, 525, 0)
GRACE_HOPPER = Generation("Grace Hopper", ONLY, 535, 0)
BLACKWELL = Generation("Blackwell", ONLY, 570, 0)
GB10 = Generation("Blackwell (GB10)", ONLY, 580, 0)
BLACKWELL_ULTRA = Generation("Blackwell Ultra", ONLY, 580, 0)
NEWER = Generation("newer than Blackwell", ONLY, 580, 0)

# First id of each range, in order; the range ends where the next begins. None: ids that no card is known to have.
RANGES: tuple[tuple[int, Generation | None], ...] = (
    (0x0000, LEGACY),
    (0x1340, MAXWELL),  # GM107, GM108, GM204, GM206
    (0x1500, None),
    (0x15F0, PASCAL),  # GP100
    (0x1600, MAXWELL),  # GM204 mobile
    (0x1700, None),
    (0x1725, PASCAL),  # GP100
    (0x1730, MAXWELL),  # GM107, GM108, GM200
    (0x1800, None),
    (0x1B00, PASCAL),  # GP102 to GP108
    (0x1D80, VOLTA),  # GV100
    (0x1E00, TURING),  # TU102, TU104, TU106, TU117
    (0x2080, AMPERE),  # GA100
    (0x2180, TURING),  # TU116
    (0x2200, AMPERE),  # GA102
    (0x2290, None),
    (0x2300, HOPPER),  # GH100
    (0x2340, GRACE_HOPPER),  # GH200
    (0x2360, None),
    (0x2400, AMPERE),  # GA103, GA104, GA106, GA107
    (0x2600, ADA),  # AD102 to AD107
    (0x2900, BLACKWELL),  # GB100, GB102, GB20x
    (0x2E00, GB10),
    (0x2F00, BLACKWELL),  # GB205
    (0x3180, BLACKWELL_ULTRA),  # GB110: B300, GB300
    (0x3200, NEWER),
)
# Boards with NVLink switches that show as InfiniBand devices on the PCI bus: HGX B200 and HGX B300.
SWITCHED_WITHOUT_NVSWITCH = frozenset((0x2901, 0x3182))


class Bus(NamedTuple):
    """NVIDIA's devices on a PCI bus."""

    cards: list[dict[str, Any]]
    nvswitches: list[str]


def number(text: str) -> int | None:
    """Return the number that sysfs writes as ``0x10de``; None for anything else."""
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None


def generation(device_id: int) -> Generation | None:
    """Return the generation of a device id; None where no card is known to have one like it."""
    found: Generation | None = None
    for first, of_range in RANGES:
        if device_id < first:
            break
        found = of_range
    return found


def by_name(name: str) -> Generation | None:
    """Return the generation of that name; None where there is none."""
    return next((one for _first, one in RANGES if one and one.name == name), None)


def read_bus(devices: Iterable[Mapping[str, str]]) -> Bus:
    """Pick NVIDIA's cards and NVSwitches out of PCI devices, each with ``address``, ``vendor``, ``class``, ``device``.

    The texts are those of sysfs. A card is a display or 3D controller (class 03), an NVSwitch a bridge of class 0680.
    """
    cards: list[dict[str, Any]] = []
    nvswitches = []
    for device in sorted(devices, key=lambda one: one["address"]):
        kind, device_id = number(device["class"]), number(device["device"])
        if number(device["vendor"]) != VENDOR or kind is None or device_id is None:
            continue
        if kind >> 16 == DISPLAY:
            known = generation(device_id)
            cards.append(
                {
                    "pci_bus_id": device["address"],
                    "device_id": f"{device_id:04x}",
                    "architecture": known.name if known else None,
                    "nvlink_switched": device_id in SWITCHED_WITHOUT_NVSWITCH,
                }
            )
        elif kind >> 8 == NVSWITCH:
            nvswitches.append(device["address"])
    return Bus(cards, nvswitches)
