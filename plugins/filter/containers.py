# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the roles container_engine and nvidia_container_toolkit: thin wrappers around module_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import (
    configuration as container_engine_configuration,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cdi


class FilterModule:
    """Filters for container engines."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "container_engine_daemon_values": container_engine_configuration.daemon_values,
            "container_engine_plan": container_engine_configuration.container_engine_plan,
            "container_engine_registry_auths": container_engine_configuration.registry_auths,
            "gpu_mode": cdi.gpu_mode,
        }
