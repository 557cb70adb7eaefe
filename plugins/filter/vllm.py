# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the role vllm: thin wrappers around module_utils/vllm."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import launches
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import launch, specs


def vllm_specs(instances: Any, settings: Any) -> list[dict[str, Any]]:
    """Return the service specs of a host's instances."""
    try:
        return specs.specs(plain(list(instances)), plain(dict(settings)))
    except KeyError as error:
        raise AnsibleFilterError(
            f"filter vllm_specs: {error} is missing: give instances of a plan, and every setting that the filter names."
        ) from error


def launched_instances(instances: Any, told: Any) -> list[dict[str, Any]]:
    """Return instances with what they are started with."""
    return [launches.launched(one, plain(dict(told))) for one in plain(list(instances))]


def concealed_variables(variables: Any) -> dict[str, str | None]:
    """Return environment variables with digests instead of values."""
    return launch.concealed(plain(dict(variables)))


class FilterModule:
    """Filters of the role vllm."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "concealed_variables": concealed_variables,
            "launched_instances": launched_instances,
            "vllm_specs": vllm_specs,
        }
