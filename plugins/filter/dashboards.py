# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for dashboards: thin wrappers around plugin_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards import grafana, page, problems


def dashboards_page(scripts: list[str], styles: list[str]) -> dict[str, str]:
    """Return the page and its policy."""
    return page.dashboards_page([str(text) for text in scripts], [str(text) for text in styles])


def dashboards_problems(
    on: bool, monitoring: list[str], fleet: list[str], firewall: bool, host: str
) -> list[dict[str, Any]]:
    """Find what keeps the door of the dashboards from being opened."""
    found = problems.problems(bool(on), plain(monitoring), plain(fleet), bool(firewall), str(host))
    return [problem._asdict() for problem in found]


def grafana_dashboards(datasource: str) -> dict[str, dict[str, Any]]:
    """Return the dashboards by the names of their files."""
    return grafana.grafana_dashboards(str(datasource))


class FilterModule:
    """Filters for dashboards."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "dashboards_page": dashboards_page,
            "dashboards_problems": dashboards_problems,
            "grafana_dashboards": grafana_dashboards,
        }
