# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI ids to generations, by rows of pci.ids and of NVIDIA's tables; the bus as sysfs shows it."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import pci_ids

PCI_IDS = "pci.ids, vendor 10de"
OPEN = "table of compatible GPUs, README of NVIDIA/open-gpu-kernel-modules"
SUPPORTED = "supported products, appendix A of the driver's README"


@pytest.mark.parametrize(
    ("device_id", "product", "name", "open_modules", "source"),
    [
        (0x0FF2, "GRID K1", "before Maxwell", "no", PCI_IDS),
        (0x102D, "Tesla K80", "before Maxwell", "no", PCI_IDS),
        (0x128B, "GeForce GT 710", "before Maxwell", "no", PCI_IDS),
        (0x13F2, "Tesla M60", "Maxwell", "no", SUPPORTED),
        (0x1431, "Tesla M4", "Maxwell", "no", SUPPORTED),
        (0x1617, "GeForce GTX 980M", "Maxwell", "no", SUPPORTED),
        (0x174D, "GeForce MX130", "Maxwell", "no", SUPPORTED),
        (0x17FD, "Tesla M40", "Maxwell", "no", SUPPORTED),
        (0x15F8, "Tesla P100 PCIe 16GB", "Pascal", "no", SUPPORTED),
        (0x172F, "GP100", "Pascal", "no", PCI_IDS),
        (0x1B06, "GeForce GTX 1080 Ti", "Pascal", "no", SUPPORTED),
        (0x1B38, "Tesla P40", "Pascal", "no", SUPPORTED),
        (0x1BB3, "Tesla P4", "Pascal", "no", PCI_IDS),
        (0x1C82, "GeForce GTX 1050 Ti", "Pascal", "no", SUPPORTED),
        (0x1D01, "GeForce GT 1030", "Pascal", "no", PCI_IDS),
        (0x1D81, "TITAN V", "Volta", "no", PCI_IDS),
        (0x1DB5, "Tesla V100 SXM2 32GB", "Volta", "no", PCI_IDS),
        (0x1DF6, "Tesla V100S PCIe 32GB", "Volta", "no", PCI_IDS),
        (0x1E04, "GeForce RTX 2080 Ti", "Turing", "yes", OPEN),
        (0x1EB8, "Tesla T4", "Turing", "yes", PCI_IDS),
        (0x1F82, "GeForce GTX 1650", "Turing", "yes", PCI_IDS),
        (0x2182, "GeForce GTX 1660 Ti", "Turing", "yes", PCI_IDS),
        (0x20B0, "A100 SXM4 40GB", "Ampere", "yes", PCI_IDS),
        (0x20B7, "A30 PCIe", "Ampere", "yes", PCI_IDS),
        (0x2204, "GeForce RTX 3090", "Ampere", "yes", PCI_IDS),
        (0x2235, "A40", "Ampere", "yes", PCI_IDS),
        (0x2484, "GeForce RTX 3070", "Ampere", "yes", PCI_IDS),
        (0x25B6, "A2, A16", "Ampere", "yes", PCI_IDS),
        (0x2684, "GeForce RTX 4090", "Ada Lovelace", "yes", PCI_IDS),
        (0x26B9, "L40S", "Ada Lovelace", "yes", PCI_IDS),
        (0x27B8, "L4", "Ada Lovelace", "yes", PCI_IDS),
        (0x28E1, "GeForce RTX 4050", "Ada Lovelace", "yes", PCI_IDS),
        (0x2330, "H100 SXM5 80GB", "Hopper", "yes", PCI_IDS),
        (0x2331, "H100 PCIe", "Hopper", "yes", PCI_IDS),
        (0x2335, "H200 SXM", "Hopper", "yes", OPEN),
        (0x2342, "GH200 480GB", "Grace Hopper", "only", OPEN),
        (0x2901, "B200", "Blackwell", "only", PCI_IDS),
        (0x2941, "GB200", "Blackwell", "only", OPEN),
        (0x2B85, "GeForce RTX 5090", "Blackwell", "only", PCI_IDS),
        (0x2BB5, "RTX PRO 6000 Blackwell Server Edition", "Blackwell", "only", PCI_IDS),
        (0x2C02, "GeForce RTX 5080", "Blackwell", "only", PCI_IDS),
        (0x2D04, "GeForce RTX 5060 Ti", "Blackwell", "only", PCI_IDS),
        (0x2E12, "GB10", "Blackwell (GB10)", "only", OPEN),
        (0x2F04, "GeForce RTX 5070", "Blackwell", "only", PCI_IDS),
        (0x3182, "B300 SXM6", "Blackwell Ultra", "only", OPEN),
        (0x31C2, "GB300", "Blackwell Ultra", "only", OPEN),
        (0x3333, "one to come", "newer than Blackwell", "only", "an assumption, said as a note"),
    ],
)
def test_generation(device_id: int, product: str, name: str, open_modules: str, source: str) -> None:
    found = pci_ids.generation(device_id)
    assert found, f"{product}: {source}"
    assert (found.name, found.open_modules) == (name, open_modules), f"{product}: {source}"
    assert pci_ids.by_name(name) is found


@pytest.mark.parametrize("device_id", [0x1500, 0x1710, 0x1900, 0x22FF, 0x23FF])
def test_an_id_between_the_known_ones_is_of_no_generation(device_id: int) -> None:
    assert pci_ids.generation(device_id) is None


def test_names_that_are_none() -> None:
    assert pci_ids.by_name("Fermi") is None


def test_ranges_are_in_order() -> None:
    firsts = [first for first, _generation in pci_ids.RANGES]
    assert firsts == sorted(set(firsts))


def device(address: str, vendor: str, kind: str, device_id: str) -> dict[str, str]:
    return {"address": address, "vendor": vendor, "class": kind, "device": device_id}


def test_cards_and_switches_on_a_bus() -> None:
    bus = pci_ids.read_bus(
        [
            device("0000:64:00.0", "0x10de\n", "0x030200\n", "0x2330\n"),
            device("0000:05:00.0", "0x10de\n", "0x068000\n", "0x22a3\n"),
            device("0000:53:00.0", "0x10de\n", "0x030000\n", "0x2901\n"),
            device("0000:53:00.1", "0x10de\n", "0x040300\n", "0x22ba\n"),  # its sound
            device("0000:02:00.0", "0x1a03\n", "0x030000\n", "0x2000\n"),  # the board's own display
            device("0000:03:00.0", "0x10de\n", "", ""),
            device("0000:66:00.0", "0x10de\n", "0x030200\n", "0x1500\n"),
        ]
    )
    assert bus.nvswitches == ["0000:05:00.0"]
    assert [(card["pci_bus_id"], card["device_id"], card["architecture"]) for card in bus.cards] == [
        ("0000:53:00.0", "2901", "Blackwell"),
        ("0000:64:00.0", "2330", "Hopper"),
        ("0000:66:00.0", "1500", None),
    ]
    assert [card["nvlink_switched"] for card in bus.cards] == [True, False, False]


def test_a_bus_without() -> None:
    assert pci_ids.read_bus([]) == ([], [])
