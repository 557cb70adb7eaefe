# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a floor forbids to change in place is changed side by side where there is room: the new instance runs beside the
old one until gateways send to it, and then the old one ends.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report, transition

Planner = Callable[[list[str]], dict[str, Any]]


def find(
    planner: Planner,
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    current: list[dict[str, Any]],
    **options: Any,
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return a plan, its changes, and its steps as `transition.find` gives them.

    One instance of each model that its floor holds back is planned beside the old one. If that is not possible, or
    disturbs other models, the plan without it is returned, whose steps tell what is refused.

    :param planner: makes the plan, given the names of instances that others are to replace.
    :param models: resolved models.
    :param hosts: facts of hosts.
    :param current: instances in force.
    :param options: what else `transition.find` takes.
    """
    first = _way(planner, [], models, hosts, current, options)
    plan, _changes, order = first
    held_back = {_model(name): name for name in reversed(order["held_back"])}
    if not held_back or plan["problems"]:
        return first
    second = _way(planner, sorted(held_back.values()), models, hosts, current, options)
    if second[0]["problems"] or second[2]["blocked"]:
        return first
    return second if _others(first[1], set(held_back)) == _others(second[1], set(held_back)) else first


def _way(
    planner: Planner,
    beside: list[str],
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    current: list[dict[str, Any]],
    options: dict[str, Any],
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    plan = planner(beside)
    changes = report.changes(plan["instances"], current)
    return plan, changes, transition.find(plan, models, hosts, current, changes, **options)


def _model(name: str) -> str:
    return name.rpartition("-")[0]


def _others(changes: list[dict[str, Any]], models: set[str]) -> list[tuple[str, str]]:
    """Return what happens to the instances of other models."""
    return sorted((str(one["name"]), str(one["action"])) for one in changes if _model(str(one["name"])) not in models)
