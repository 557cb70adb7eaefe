# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which package of Python code may import which: one table, no circle, no edge that points upwards."""

from __future__ import annotations

import re

import pytest
from import_graph import COMMON, LAYERS, PLUGINS, Edge, circles, edges, packages

EDGES = edges()


def test_every_package_has_a_row() -> None:
    assert packages() == set(LAYERS)


def test_the_table_itself_has_no_circle() -> None:
    assert not circles({package: set(allowed) for package, allowed in LAYERS.items()})


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_a_package_imports_only_what_its_row_allows(package: str) -> None:
    wrong = sorted(str(edge) for edge in EDGES if edge.package == package and edge.imported not in LAYERS[package])
    assert not wrong, f"{package} may import {sorted(LAYERS[package]) or 'nothing'}: {wrong}"


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_every_allowed_edge_is_used(package: str) -> None:
    """The table shows what is; an edge that nobody needs any more is taken out of it."""
    used = {edge.imported for edge in EDGES if edge.package == package}
    assert not LAYERS[package] - used


def test_modules_import_only_what_travels_to_hosts() -> None:
    wrong = [str(edge) for edge in EDGES if edge.package == "modules" and edge.kind == "plugin_utils"]
    assert not wrong, f"Ansible carries no plugin_utils to hosts: {wrong}"


def test_common_files_import_nothing_but_each_other() -> None:
    wrong = [str(edge) for edge in EDGES if edge.package == COMMON]
    assert not wrong, f"what every package uses knows none of them: {wrong}"


def test_no_circle_between_files_or_packages() -> None:
    by_file: dict[str, set[str]] = {}
    by_package: dict[str, set[str]] = {}
    for edge in edges(within=True):
        by_file.setdefault(edge.source, set()).add(edge.target)
        if edge.package != edge.imported:
            by_package.setdefault(edge.package, set()).add(edge.imported)
    assert not circles(by_file)
    assert not circles(by_package)


def test_a_circle_and_an_upward_edge_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c"]
    assert not circles({"a": {"b", "c"}, "b": {"c"}})
    edge = Edge("module_utils", "module_utils/nvidia/smi.py", "module_utils/plan/search.py")
    assert (edge.package, edge.imported) == ("nvidia", "plan")
    assert edge.imported not in LAYERS["nvidia"]


def test_an_imported_file_is_found_by_the_name_that_it_is_used_under() -> None:
    """Its own, with or after the name of its package where that is needed; ``logic`` is what a module decides by."""
    renamed = re.compile(r"^from ansible_collections\S+\.(?:module|plugin)_utils\.(\w+) import (\w+) as (\w+)", re.M)
    found = [(path, *names) for path in PLUGINS.rglob("*.py") for names in renamed.findall(path.read_text())]
    assert len(found) > 10
    wrong = [
        f"{path.relative_to(PLUGINS)}: {package}/{name}.py is called {alias}"
        for path, package, name, alias in found
        # What a common file defines is not a file.
        if package in LAYERS and alias not in (f"{package}_{name}", package, "logic")
    ]
    assert not wrong, "\n".join(wrong)
