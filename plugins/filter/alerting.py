# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters about who is told of alerts."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import alerting


def alertmanager_problems(
    receivers: Any,
    routes: Any,
    settings: dict[str, Any],
    models: list[str],
    hosts: list[str],
) -> list[dict[str, Any]]:
    """Find what is wrong with receivers and routes of alerts."""
    found = alerting.problems(plain(receivers), plain(routes), plain(settings), plain(models), plain(hosts))
    return [problem._asdict() for problem in found]


def alertmanager_config(
    receivers: list[dict[str, Any]],
    routes: list[dict[str, Any]],
    inhibit_rules: list[dict[str, Any]],
    settings: dict[str, Any],
    grouping: dict[str, Any],
) -> dict[str, Any]:
    """Create the configuration of Alertmanager."""
    return alerting.config(plain(receivers), plain(routes), plain(inhibit_rules), plain(settings), plain(grouping))


def alertmanager_shown(config: dict[str, Any]) -> Any:
    """Return a configuration without its secrets."""
    return alerting.shown(plain(config))


class FilterModule:
    """Filters about who is told of alerts."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "alertmanager_config": alertmanager_config,
            "alertmanager_problems": alertmanager_problems,
            "alertmanager_shown": alertmanager_shown,
        }
