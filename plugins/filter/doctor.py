# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the doctor: thin wrappers around module_utils/doctor and plugin_utils/doctor."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import engine as doctor_engine
from ansible_collections.llmfleet.serving.plugins.plugin_utils.doctor import report as doctor_report


def _given(name: str, value: Any, kind: type, remedy: str) -> Any:
    if not isinstance(value, kind):
        raise AnsibleFilterError(f"filter {name}: its input is {problems.shown(value)}: {remedy}.")
    return problems.plain(value)


def text(reports: Any) -> str:
    """Format the findings."""
    return doctor_report.render(_given("doctor_text", reports, dict, "give reports by host"))


def failures(reports: Any) -> list[str]:
    """Return the errors."""
    return doctor_report.failures(_given("doctor_failures", reports, dict, "give reports by host"))


def engines(instances: Any, packages: Any, environments: Any = None) -> list[dict[str, Any]]:
    """Return the environments of instances."""
    given = _given("doctor_engines", instances, list, "give a list of instances")
    known = _given("doctor_engines", packages, dict, "give packages by the engine's name")
    return doctor_engine.engines(given, known, problems.plain(environments or {}))


def environments(marks: Any, names: Any) -> dict[str, dict[str, str]]:
    """Return the newest environment of each engine."""
    given = _given("doctor_environments", marks, list, "give the files that ansible.builtin.find found")
    return doctor_engine.installed(given, map(str, names))


class FilterModule:
    """Filters of the doctor."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "doctor_engines": engines,
            "doctor_environments": environments,
            "doctor_failures": failures,
            "doctor_text": text,
        }
