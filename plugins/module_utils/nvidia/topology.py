# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read ``nvidia-smi topo -m``: how GPUs reach each other, and which NUMA node each belongs to.

Pure functions over texts; no Ansible, no files, no network. Nothing here raises on any text.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import value, whole

# nvidia-smi underlines the header even where no terminal reads it.
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
GPU = re.compile(r"GPU([0-9]{1,4})")
LINK = re.compile(r"X|SYS|NODE|PHB|PXB|PIX|NV[0-9]{1,3}|PSB|C2C")
NUMA = "NUMA Affinity"
# Columns after those of the devices. Their cells may be parted by two tabs, and older drivers know fewer of them.
LAST_COLUMNS = ("CPU Affinity", NUMA, "GPU NUMA ID")


class Topology(NamedTuple):
    """The content of the table, by the GPUs' indices."""

    links: dict[tuple[int, int], str]
    """Kind of the way from one GPU to the other, in nvidia-smi's words: X, NV18, PIX, PXB, PHB, NODE, SYS."""
    numa_nodes: dict[int, int]
    """NUMA node of a GPU; left out where it has none or several."""


def parse_topology(text: str) -> Topology:
    """Read the table that ``nvidia-smi topo -m`` prints; a text without one gives empty maps."""
    topology = Topology({}, {})
    header: list[str] = []
    for line in ANSI.sub("", text).splitlines():
        cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
        if not header:
            if cells and GPU.fullmatch(cells[0]) and line[:1].isspace():
                header = cells
            continue
        row = GPU.fullmatch(cells[0]) if cells else None
        if row:
            _read_row(topology, int(row[1]), header, cells[1:])
    return topology


def _read_row(topology: Topology, index: int, header: list[str], cells: list[str]) -> None:
    devices = [name for name in header if name not in LAST_COLUMNS]
    last = [name for name in header if name in LAST_COLUMNS]
    for name, cell in zip(devices, cells):
        column = GPU.fullmatch(name)
        if column and LINK.fullmatch(cell):
            topology.links[index, int(column[1])] = cell
    rest = cells[len(devices) :]
    # An empty cell cannot be told from a double tab: only a row that fills every column is understood.
    if NUMA in last and len(rest) == len(last):
        node = whole(value(rest[last.index(NUMA)]) or "")
        if node is not None:
            topology.numa_nodes[index] = node


def matrix(topology: Topology, indices: Sequence[int]) -> list[list[str | None]] | None:
    """Return the links between these GPUs, row and column in the order given; None where the table held none."""
    if not topology.links:
        return None
    return [[topology.links.get((row, column)) for column in indices] for row in indices]


def nvlink_all_to_all(links: Sequence[Sequence[Any]] | None) -> bool | None:
    """Check whether every GPU reaches every other over NVLink; None if unknown, False for a single GPU."""
    if links is None:
        return None
    others = [cell for row, cells in enumerate(links) for column, cell in enumerate(cells) if row != column]
    if any(cell is not None and not cell.startswith("NV") for cell in others):
        return False
    return None if None in others else bool(others)
