# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for the maintenance of a host: thin wrappers around plugin_utils."""

from __future__ import annotations

import functools
from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import maintenance


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass plain values to a filter, in place of those that Ansible evaluates when they are read."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*map(problems.plain, args), **problems.plain(kwargs))

    return wrapper


class FilterModule:
    """Filters for the maintenance of a host."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        found: dict[str, Callable[..., Any]] = {
            "host_outage": maintenance.outage,
            "known_holds": maintenance.known_holds,
            "maintenance_problems": maintenance.request_problems,
            "new_holds": maintenance.holds_after,
            "no_facts_problems": maintenance.no_facts,
            "reboot_problem": maintenance.reboot_problem,
            "removal_problems": maintenance.removal_problems,
            "rotation_problems": maintenance.rotation_problems,
        }
        return {name: plain(function) for name, function in found.items()}
