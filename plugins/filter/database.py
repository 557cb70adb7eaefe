# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the database and of usage: thin wrappers around plugin_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.plugin_utils.database import connection, memory, restore
from ansible_collections.llmfleet.serving.plugins.plugin_utils.usage import text, trace


def postgresql_memory(memory_mib: Any, share: Any, connections: Any) -> dict[str, str]:
    """Return the settings of PostgreSQL that depend on memory; see plugin_utils/database/memory.py."""
    return memory.settings(int(memory_mib), float(share), int(connections))


def database_connection(url: Any) -> dict[str, Any]:
    """Return how to connect to the server of a URL; see plugin_utils/database/connection.py."""
    return connection.of_url(str(url))


def database_place(url: Any) -> str:
    """Return a URL of a database without its secrets."""
    return connection.place(str(url))


def database_problems(members: list[str], fleet: list[str], gateways: list[str], url: Any) -> list[dict[str, Any]]:
    """Return the problems of the fleet's database."""
    return [problem._asdict() for problem in connection.problems(list(members), list(fleet), list(gateways), str(url))]


def restore_problems(seen: Any, behind: dict[str, Any], loses: list[str], usage: Any) -> list[dict[str, Any]]:
    """Return what a restore would lose; see plugin_utils/database/restore.py."""
    lines = {str(host): int(number) for host, number in behind.items() if number is not None}
    found = restore.problems(problems.plain(seen), lines, list(loses), str(usage))
    return [problem._asdict() for problem in found]


def usage_problems(by: Any, month: Any, form: Any) -> list[dict[str, Any]]:
    """Return what is wrong with the words of a report; see plugin_utils/usage/text.py."""
    return [problem._asdict() for problem in text.problems(by, month, form)]


def usage_text(results: list[dict[str, Any]], by: Any, form: Any) -> str:
    """Return what was used as a text; see plugin_utils/usage/text.py."""
    return text.text(problems.plain(results), by, form)


def request_problems(request: Any, form: Any) -> list[dict[str, Any]]:
    """Return what is wrong with the words by which a request is explained; see plugin_utils/usage/trace.py."""
    return [problem._asdict() for problem in trace.problems(request, form)]


def request_text(results: dict[str, Any], instances: list[dict[str, Any]], request: Any, form: Any) -> str:
    """Return where the time of a request went; see plugin_utils/usage/trace.py."""
    return trace.text(problems.plain(results), problems.plain(instances), str(request), str(form))


class FilterModule:
    """Filters of the database and of usage."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "database_connection": database_connection,
            "database_password_line": connection.password_line,
            "database_place": database_place,
            "database_problems": database_problems,
            "postgresql_memory": postgresql_memory,
            "postgresql_networks": connection.networks,
            "request_problems": request_problems,
            "request_text": request_text,
            "restore_problems": restore_problems,
            "usage_names": text.columns,
            "usage_problems": usage_problems,
            "usage_text": usage_text,
        }
