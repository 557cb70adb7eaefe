# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read which Python package of plugins/ imports which, hold the table of what is allowed, and draw it.

tests/unit/test_layers.py compares the table with the imports; scripts/docs.py puts the picture into
docs/architecture.md.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ROOT / "plugins"
PREFIX = "ansible_collections.llmfleet.serving.plugins."
COMMON = "common"
"""The few files at the top of module_utils that every package may use."""
ENTRIES = ("action", "filter", "lookup", "modules")

# What each package may import, from the ground up; common files are always allowed.
LAYERS: dict[str, set[str]] = {
    COMMON: set(),
    # What a machine, a checkpoint and a card say. Files and answers of a hub are read by way of the host's readers.
    "host": set(),
    "checkpoint": {"host"},
    "nvidia": set(),
    "container_engine": set(),
    "verify": set(),
    # An engine: what is true of it alone.
    "vllm": set(),
    # What every engine is asked for, and the registry: it alone knows engines by name.
    "engines": {"vllm"},
    "service": {"host"},
    # What is wanted, and what becomes of it.
    "inventory": {"checkpoint", "engines", "host"},
    "plan": {"checkpoint", "engines"},
    "fleet": {"checkpoint", "engines", "plan", "verify"},
    "whatif": {"checkpoint", "engines", "fleet", "host", "inventory", "nvidia", "plan"},
    # Applications: what their roles write.
    "gate": {"inventory"},
    "litellm": set(),
    "nginx": {"inventory"},
    "database": set(),
    "usage": set(),
    "benchmark": set(),
    "dashboards": set(),
    "doctor": {"checkpoint", "nvidia"},
    # What Ansible calls.
    "action": {"fleet", "whatif"},
    "filter": {
        "benchmark",
        "checkpoint",
        "container_engine",
        "dashboards",
        "database",
        "doctor",
        "engines",
        "fleet",
        "gate",
        "host",
        "inventory",
        "litellm",
        "nginx",
        "nvidia",
        "plan",
        "service",
        "usage",
        "verify",
        "vllm",
    },
    "lookup": {"fleet", "inventory", "service"},
    "modules": {
        "checkpoint",
        "container_engine",
        "doctor",
        "engines",
        "host",
        "inventory",
        "nvidia",
        "plan",
        "service",
        "usage",
        "verify",
    },
}


class Edge(NamedTuple):
    """One import: the kind of folder it leads into, and both files, relative to plugins/."""

    kind: str
    source: str
    target: str

    @property
    def package(self) -> str:
        """The package that imports."""
        return package_of(self.source)

    @property
    def imported(self) -> str:
        """The package that is imported."""
        return package_of(self.target)

    def __str__(self) -> str:
        """Return the edge as a message shows it."""
        return f"{self.source} -> {self.target}"


def package_of(path: str) -> str:
    """Return the package of a file below plugins/; filters, lookups, modules and actions are one package each."""
    parts = path.split("/")
    if parts[0] in ENTRIES:
        return parts[0]
    return parts[1] if len(parts) > 2 else COMMON


def packages() -> set[str]:
    """Return the packages that have a file."""
    return {package_of(str(path.relative_to(PLUGINS))) for path in PLUGINS.rglob("*.py")}


def _targets(node: ast.ImportFrom) -> list[str]:
    """Return the files that an import statement names, relative to plugins/."""
    parts = (node.module or "")[len(PREFIX) :].split(".")
    whole = "/".join(parts)
    if (PLUGINS / f"{whole}.py").exists():
        return [f"{whole}.py"]
    return [f"{whole}/{alias.name}.py" for alias in node.names]


def edges(within: bool = False) -> list[Edge]:
    """Return every import between files of the collection.

    :param within: imports inside a package and of common files too.
    """
    found = []
    for path in sorted(PLUGINS.rglob("*.py")):
        source = str(path.relative_to(PLUGINS))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
                found += [Edge(target.split("/")[0], source, target) for target in _targets(node)]
    return [edge for edge in found if within or (edge.imported not in (edge.package, COMMON))]


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return, sorted, the nodes that lie on a circle or lead into one: those that are left when leaves are cut."""
    left = {node: set(targets) - {node} for node, targets in graph.items()}
    while True:
        leaves = [node for node, targets in left.items() if not targets & set(left)]
        if not leaves:
            return sorted(left)
        for node in leaves:
            del left[node]


def ranks() -> dict[str, int]:
    """Return the height of each package: 0 where it imports none, else one more than the highest that it imports."""
    heights: dict[str, int] = {}

    def height(package: str) -> int:
        if package not in heights:
            heights[package] = max((height(below) + 1 for below in LAYERS[package]), default=0)
        return heights[package]

    for package in LAYERS:
        height(package)
    return heights


def picture() -> str:
    """Return the graph as a Mermaid flowchart, the highest packages first, without edges that follow from others."""
    heights = ranks()
    lines = ["```mermaid", "flowchart TD"]
    for rank in sorted(set(heights.values()), reverse=True):
        lines += [f"  {package}" for package in sorted(LAYERS) if heights[package] == rank and package != COMMON]
    for package in sorted(LAYERS, key=lambda name: (-heights[name], name)):
        direct = LAYERS[package]
        implied = {below for other in direct for below in _all_below(other)}
        lines += [f"  {package} --> {below}" for below in sorted(direct - implied)]
    return "\n".join([*lines, "```"])


def _all_below(package: str) -> set[str]:
    return LAYERS[package] | {deep for below in LAYERS[package] for deep in _all_below(below)}
