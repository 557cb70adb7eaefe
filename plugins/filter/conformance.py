# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters around the module engine_conformance_info: thin wrappers around module_utils/verify."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain, shown
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import verdict

# What an instance is checked by; its environment may hold secrets and stays out.
FIELDS = ("name", "model", "engine", "listen", "port", "max_model_len")


def conformance_instances(instances: Any, models: Any) -> list[dict[str, Any]]:
    """Return instances as engine_conformance_info takes them."""
    modes = {str(one["name"]): str(one.get("mode") or "chat") for one in plain(list(models))}
    found = []
    for one in plain(list(instances)):
        fields = {key: one[key] for key in FIELDS if one.get(key) is not None}
        found.append({**fields, "mode": modes.get(str(one["model"]), "chat")})
    return found


def conformance_problems(new: Any, old: Any = None, slower: Any = 2.0) -> list[str]:
    """Return why a new instance may not serve."""
    for argument, value in (("its input", new), ("old", old or {})):
        if not isinstance(value, dict):
            remedy = "give an entry of conformance from engine_conformance_info"
            raise AnsibleFilterError(f"filter conformance_problems: {argument} is {shown(value)}: {remedy}.")
    try:
        times = float(slower)
    except (TypeError, ValueError):
        times = 0.0
    if not times >= 1:
        text = f"filter conformance_problems: slower is {shown(slower)}: give a number from 1."
        raise AnsibleFilterError(text)
    return verdict.problems(plain(new), plain(old), times)


class FilterModule:
    """Filters of conformance."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {"conformance_instances": conformance_instances, "conformance_problems": conformance_problems}
