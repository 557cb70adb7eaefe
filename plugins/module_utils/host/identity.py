# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Return the inventory's name of the host that a module runs on."""

from __future__ import annotations

import platform
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# The documentation of it is the fragment llmfleet.serving.host.
OPTION: dict[str, Any] = {"type": "str", "default": ""}


def host_name(params: Mapping[str, Any]) -> str:
    """Return the host's name for messages: the one that the inventory has, else the machine's own.

    :param params: parameters of a module, with the option ``host``.
    """
    return str(params.get("host") or platform.node())


def refuse(module: Any, variable: str, value: Any, problem: str, remedy: str) -> None:
    """Fail a module for a parameter that cannot be used.

    :param module: an ``AnsibleModule`` with the option ``host``.
    """
    module.fail_json(msg=Problem(variable, value, problem, remedy, host_name(module.params)).sentence())


def fail(module: Any, text: str, **result: Any) -> None:
    """Fail a module with a message that begins with the host's name.

    :param module: an ``AnsibleModule`` with the option ``host``.
    :param text: what is wrong, and the remedy.
    :param result: what else the module returns.
    """
    module.fail_json(msg=f"{host_name(module.params)}: {text}", **result)
