# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters over what an inventory sets: thin wrappers around plugin_utils/inventory."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import renamed


def renamed_variables(variables: Any, host: str) -> list[dict[str, Any]]:
    """Find variables that were renamed."""
    return [problem._asdict() for problem in renamed.problems(map(str, variables), host)]


def scheduling_policy(keys: Any, teams: Any = None) -> str:
    """Choose how engines order waiting requests."""
    return client_keys.scheduling_policy(plain(keys), plain(teams))


class FilterModule:
    """Filters over what an inventory sets."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {"renamed_variables": renamed_variables, "scheduling_policy": scheduling_policy}
