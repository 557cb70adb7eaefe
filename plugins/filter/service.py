# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the ``service`` role: thin wrappers around module_utils/service_spec.py."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils import service_spec


def service_specs(specs: list[dict[str, Any]], config_root: str, state_root: str) -> list[dict[str, Any]]:
    """Fill the defaults of service specs; see module_utils/service_spec.py."""
    try:
        return service_spec.normalise(specs, config_root, state_root)
    except service_spec.SpecError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the service role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "service_specs": service_specs,
            "service_users": service_spec.users,
            "service_directories": service_spec.directories,
            "service_files": service_spec.files,
            "service_secret_files": service_spec.secret_files,
            "service_manager_services": service_spec.manager_services,
        }
