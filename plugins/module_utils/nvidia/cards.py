# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cards by name: what nvidia-smi would tell of a card that is not there.

Memory is that of recorded or published output of nvidia-smi with the card's default ECC mode, which is less than the
number in the card's name; capabilities are those of https://developer.nvidia.com/cuda-gpus. Pure functions; no Ansible,
no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, NamedTuple

NONE, PAIRS, SWITCHED = 1, 2, 0
"""GPUs that NVLink joins: none, two by a bridge, or all of a machine."""


class Card(NamedTuple):
    """A kind of card."""

    name: str
    """How people call it."""
    product_name: str
    """As nvidia-smi reports it."""
    memory_mib: int
    """Total memory in MiB as nvidia-smi reports it; for unified memory that of the host."""
    capability: str
    """Compute capability."""
    joined: int = NONE
    """How many of them NVLink joins."""
    per_machine: int = 8
    """Most of them in one usual machine."""
    reserved_mib: int | None = None
    """MiB that driver and firmware keep, where a recording tells it."""
    unified: bool = False
    """Whether its memory is the host's."""
    also: tuple[str, ...] = ()
    """Further names."""

    @property
    def memory_gib(self) -> float:
        """Return the total memory in GiB."""
        return self.memory_mib / 1024


CARDS: tuple[Card, ...] = (
    # Turing
    Card("T4", "Tesla T4", 15360, "7.5", reserved_mib=448),
    Card("RTX 2080 Ti", "NVIDIA GeForce RTX 2080 Ti", 11264, "7.5", PAIRS),
    Card("Quadro RTX 6000", "Quadro RTX 6000", 24576, "7.5", PAIRS),
    Card("Quadro RTX 8000", "Quadro RTX 8000", 49152, "7.5", PAIRS),
    # Ampere
    Card("A2", "NVIDIA A2", 15356, "8.6"),
    Card("A10", "NVIDIA A10", 23028, "8.6"),
    Card("A10G", "NVIDIA A10G", 23028, "8.6"),
    Card("A16", "NVIDIA A16", 15356, "8.6"),
    Card("A30", "NVIDIA A30", 24576, "8.0", PAIRS),
    Card("A40", "NVIDIA A40", 46068, "8.6", PAIRS),
    Card("A100 40GB", "NVIDIA A100-SXM4-40GB", 40960, "8.0", SWITCHED, also=("A100 SXM 40GB",)),
    Card("A100 40GB PCIe", "NVIDIA A100-PCIE-40GB", 40960, "8.0", PAIRS),
    Card("A100 80GB", "NVIDIA A100-SXM4-80GB", 81920, "8.0", SWITCHED, reserved_mib=869, also=("A100 SXM 80GB",)),
    Card("A100 80GB PCIe", "NVIDIA A100 80GB PCIe", 81920, "8.0", PAIRS),
    Card("RTX A4000", "NVIDIA RTX A4000", 16376, "8.6", per_machine=4),
    Card("RTX A4500", "NVIDIA RTX A4500", 20470, "8.6", PAIRS, per_machine=4),
    Card("RTX A5000", "NVIDIA RTX A5000", 24564, "8.6", PAIRS),
    Card("RTX A6000", "NVIDIA RTX A6000", 49140, "8.6", PAIRS),
    Card("RTX 3060", "NVIDIA GeForce RTX 3060", 12288, "8.6", per_machine=4),
    Card("RTX 3080", "NVIDIA GeForce RTX 3080", 10240, "8.6", per_machine=4, reserved_mib=397),
    Card("RTX 3090", "NVIDIA GeForce RTX 3090", 24576, "8.6", PAIRS),
    Card("RTX 3090 Ti", "NVIDIA GeForce RTX 3090 Ti", 24564, "8.6", PAIRS),
    # Ada Lovelace
    Card("L4", "NVIDIA L4", 23034, "8.9"),
    Card("L20", "NVIDIA L20", 46068, "8.9"),
    Card("L40", "NVIDIA L40", 46068, "8.9"),
    Card("L40S", "NVIDIA L40S", 46068, "8.9", reserved_mib=609),
    Card("RTX 4000 Ada", "NVIDIA RTX 4000 Ada Generation", 20475, "8.9", per_machine=4),
    Card("RTX 5000 Ada", "NVIDIA RTX 5000 Ada Generation", 32760, "8.9", per_machine=4),
    Card("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation", 49140, "8.9"),
    Card("RTX 4060 Ti 16GB", "NVIDIA GeForce RTX 4060 Ti", 16380, "8.9", per_machine=4),
    Card("RTX 4070 Ti SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER", 16376, "8.9", per_machine=4),
    Card("RTX 4080", "NVIDIA GeForce RTX 4080", 16376, "8.9", per_machine=4),
    Card("RTX 4080 SUPER", "NVIDIA GeForce RTX 4080 SUPER", 16376, "8.9", per_machine=4),
    Card("RTX 4090", "NVIDIA GeForce RTX 4090", 24564, "8.9"),
    # Hopper
    Card("H20", "NVIDIA H20", 97871, "9.0", SWITCHED),
    Card("H100", "NVIDIA H100 80GB HBM3", 81559, "9.0", SWITCHED, reserved_mib=480, also=("H100 SXM", "H100 80GB")),
    Card("H100 PCIe", "NVIDIA H100 PCIe", 81559, "9.0", PAIRS),
    Card("H100 NVL", "NVIDIA H100 NVL", 95830, "9.0", PAIRS),
    Card("H200", "NVIDIA H200", 143771, "9.0", SWITCHED, also=("H200 SXM",)),
    Card("H200 NVL", "NVIDIA H200 NVL", 143771, "9.0", PAIRS),
    Card("GH200", "NVIDIA GH200 480GB", 97871, "9.0", per_machine=1),
    # Blackwell
    Card("B200", "NVIDIA B200", 183359, "10.0", SWITCHED),
    Card("GB200", "NVIDIA GB200", 189471, "10.0", SWITCHED, per_machine=4),
    Card("B300", "NVIDIA B300 SXM6 AC", 275040, "10.3", SWITCHED),
    Card("GB300", "NVIDIA GB300", 284208, "10.3", SWITCHED, per_machine=4),
    Card("RTX PRO 4000", "NVIDIA RTX PRO 4000 Blackwell", 24467, "12.0", per_machine=4),
    Card("RTX PRO 4500", "NVIDIA RTX PRO 4500 Blackwell", 32623, "12.0", per_machine=4),
    Card("RTX PRO 5000", "NVIDIA RTX PRO 5000 Blackwell", 48935, "12.0", per_machine=4),
    Card("RTX PRO 6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "12.0", also=("RTX PRO 6000 Server",)),
    Card(
        "RTX PRO 6000 Max-Q", "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97887, "12.0", reserved_mib=638
    ),
    Card("RTX PRO 6000 Workstation", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887, "12.0", per_machine=4),
    Card("RTX 5060 Ti 16GB", "NVIDIA GeForce RTX 5060 Ti", 16311, "12.0", per_machine=4),
    Card("RTX 5070 Ti", "NVIDIA GeForce RTX 5070 Ti", 16303, "12.0", per_machine=4),
    Card("RTX 5080", "NVIDIA GeForce RTX 5080", 16303, "12.0", per_machine=4),
    Card("RTX 5090", "NVIDIA GeForce RTX 5090", 32607, "12.0"),
    Card("GB10", "NVIDIA GB10", 122570, "12.1", per_machine=1, unified=True, also=("DGX Spark",)),
)
# Words of a product's name that tell no two of these cards apart.
_SILENT = re.compile(r"nvidia|geforce|tesla|blackwell|generation|edition|hbm3e?|[^a-z0-9]")
_SOCKET = re.compile(r"sxm\d\b")
_SIZE = re.compile(r"(\d)\s*g(?:i?b)?\b")


def key(name: str) -> str:
    """Return a name without capitals, blanks and words that every card has: ``NVIDIA L40S`` is ``l40s``."""
    return _SILENT.sub("", _SIZE.sub(r"\1gb", _SOCKET.sub("sxm", name.lower())))


def _keys(card: Card) -> Iterator[str]:
    for name in (card.name, card.product_name, *card.also):
        yield key(name)
        # Consumer cards go by their number, and their makers' boards by the number after the word.
        if name.startswith("RTX ") and name[4].isdigit():
            yield key(name[4:])


_BY_KEY = {one: card for card in reversed(CARDS) for one in _keys(card)}


def find(name: str) -> Card | None:
    """Return the card of that name, its product name or a further one of its names; null if there is none."""
    return _BY_KEY.get(key(name))


def names() -> list[str]:
    """Return how people call the cards, oldest generation first."""
    return [card.name for card in CARDS]


def gpu(card: Card, index: int, uuid: str) -> dict[str, Any]:
    """Return what ``gpu_facts`` would tell of a free card of this kind."""
    return {
        "index": index,
        "uuid": uuid,
        "product_name": card.product_name,
        "compute_capability": card.capability,
        "memory_total_mib": None if card.unified else card.memory_mib,
        "memory_reserved_mib": card.reserved_mib,
        "memory_used_mib": 0,
        "memory_is_unified": card.unified,
        "mig_mode_current": None,
        "mig_devices": [],
        "health": "ok",
        "processes": [],
    }


def links(cards: list[Card]) -> list[list[str]]:
    """Return the links between the cards of a machine as ``nvidia-smi topo -m`` writes them.

    A bridge joins two neighbours of a kind, switches join all of a kind.
    """
    places = [sum(1 for other in cards[:index] if other == card) for index, card in enumerate(cards)]

    def link(row: int, column: int) -> str:
        if row == column:
            return "X"
        one, other = cards[row], cards[column]
        pair = one.joined == PAIRS and places[row] // 2 == places[column] // 2
        return "NV" if one == other and (one.joined == SWITCHED or pair) else "SYS"

    return [[link(row, column) for column in range(len(cards))] for row in range(len(cards))]
