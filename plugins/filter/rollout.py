# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for rollouts and rollbacks: thin wrappers around module_utils."""

from __future__ import annotations

import functools
from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils import lists, problems
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import canary, changes, rollout


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass plain values to a filter, in place of those that Ansible evaluates when they are read."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*map(problems.plain, args), **problems.plain(kwargs))

    return wrapper


def held_models(plan: dict[str, Any]) -> list[str]:
    """Return a sentence for each held model and host of a plan."""
    away = holds.host_lines(plan.get("held_hosts") or {}, plan.get("instances") or [])
    return holds.lines(plan.get("held") or {}) + away


class FilterModule:
    """Filters for rollouts and rollbacks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        found: dict[str, Callable[..., Any]] = {
            "asked_engines": changes.asked_engines,
            "canary_names": canary.names_on,
            "canary_open": canary.is_open,
            "canary_out": canary.out,
            "canary_step": canary.step,
            "canary_verdicts": canary.verdicts,
            "engine_service": registry.service,
            "given_names": lists.names,
            "going_back": rollout.going_back,
            "held_models": held_models,
            "judged_instances": rollout.judged,
            "name_problems": rollout.name_problems,
            "released_services": rollout.released_services,
            "restored_services": rollout.restored_services,
            "rollback_plan": rollout.rollback_plan,
            "rollout_models": rollout.chosen,
            "rollout_problems": rollout.rollout_problems,
            "rollout_report": rollout.rollout_report,
            "undo_plan": rollout.undo_plan,
        }
        return {name: plain(function) for name, function in found.items()}
