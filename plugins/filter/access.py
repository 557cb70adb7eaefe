# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for keys, names of secrets and the summary: thin wrappers around module_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys, rules
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import login, status, status_page, summary, wiring


def login_problems(values: dict[str, Any], host: str = "") -> list[dict[str, Any]]:
    """Return why people could not log in to the chat page; see plugin_utils/fleet/login.py."""
    given = plain(values)
    if login.OWN_LOG_IN in given:
        given[login.OWN_LOG_IN] = not rules.off(given[login.OWN_LOG_IN])
    return [problem._asdict() for problem in login.problems(given, str(host))]


class FilterModule:
    """Filters for keys, names of secrets and the summary."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "door_url": summary.door_url,
            "fleet_status": status.fleet_status,
            "fleet_summary": summary.fleet_summary,
            "hops": wiring.hops,
            "listeners": wiring.listeners,
            "login_problems": login_problems,
            "resolve_keys": client_keys.resolve_keys,
            "status_page": status_page.status_page,
            "status_table": status.status_table,
            "secret_names": client_keys.secret_names,
        }
