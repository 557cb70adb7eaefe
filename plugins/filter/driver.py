# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the ``nvidia_driver`` role: thin wrappers around the packages ``nvidia``."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_packages, driver_state, fabric
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nvidia import driver_choice


def nvidia_driver_choice(facts: Any, machine: Any, wanted: Any) -> dict[str, Any]:
    """Choose the driver of a host and find the changes that are left; see plugin_utils/nvidia/driver_choice.py
    and module_utils/nvidia/driver_state.py.
    """
    facts, machine, wanted = plain(facts), plain(machine), plain(wanted)
    try:
        choice = driver_choice.choose({**machine, **facts}, wanted)
        if choice["needed"] and not choice["problems"]:
            choice.update(driver_state.compare(choice, facts, bool(wanted["hold"])))
        choice["problems"] = [one._replace(host=machine["host"])._asdict() for one in choice["problems"]]
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"filter nvidia_driver_choice: {type(error).__name__} {error}: give facts from "
            "llmfleet.serving.nvidia_driver_facts and the variables of the role nvidia_driver."
        ) from error
    return choice


def nvidia_driver_headers_problem(result: Any, choice: Any, kernel: str) -> str:
    """Return why the kernel's headers cannot be installed; see module_utils/nvidia/driver_packages.py."""
    result, choice = plain(result), plain(choice)
    said = [str(result.get("msg") or "no reason is given"), *map(str, result.get("failures") or [])]
    return driver_packages.headers_problem(choice["family"], str(kernel), choice["kernel_packages"], "; ".join(said))


class FilterModule:
    """Filters of the nvidia_driver role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "container_guest": driver_choice.container_guest,
            "nvidia_driver_choice": nvidia_driver_choice,
            "nvidia_driver_headers_problem": nvidia_driver_headers_problem,
            "nvidia_driver_record": driver_state.new_packages,
            "nvidia_fabric_problem": fabric.fabric_problem,
        }
