# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The share of conversations that go to the new version of a model while two versions of it serve.

Gateways send each conversation to one of two groups, by a number from 0 to 100 that follows from the conversation
alone: those below the share go to the new version. From step to step the share of the new version only grows, and while
a change goes back it only shrinks, so each conversation changes its version once at most.

That it only grows follows from the steps. The share is that of the weights that serve, new / (new + old). A step takes
old ones out (old shrinks), and then puts them in again as new ones (new grows by as much).

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import REPLACE, START, place


def split(
    plan: dict[str, Any],
    instances: list[dict[str, Any]],
    step: int = 0,
    during: bool = False,
    canary: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return instances in traffic; those of models with two versions have ``new`` (a flag) and ``new_percent``.

    :param plan: the plan, with ``instances`` and ``steps``; with ``new`` it goes back, see `newer`.
    :param instances: instances in traffic, with their weights.
    :param step: number of the step; 0 for the end of the change, when there is one version.
    :param during: whether the step is being carried out.
    :param canary: ``{names, percent}``: instances that are new whatever the steps say, and the most percent of their
        model's conversations that they and other new ones get. Never more than their share of the weights.
    """
    asked = canary or {}
    names = [str(name) for name in asked.get("names") or []]
    chosen = newer(plan, instances, step - 1 if during else step) if step else set()
    chosen |= _named(plan, instances, names)
    percents = {}
    for model in {str(one["model"]) for one in instances}:
        own = [one for one in instances if one["model"] == model]
        total = sum(one["weight"] for one in own)
        share = 100 * sum(one["weight"] for one in own if place(one) in chosen) / total if total else 0
        if 0 < share < 100:
            most = float(asked["percent"]) if any(one["name"] in names for one in own) else 100
            percents[model] = round(min(share, most), 2)
    return [
        {**one, "new": place(one) in chosen, "new_percent": percents[one["model"]]} if one["model"] in percents else one
        for one in instances
    ]


def newer(plan: dict[str, Any], instances: list[dict[str, Any]], done: int) -> set[tuple[str, str]]:
    """Return the places that run the new version when the steps up to a number are done.

    Those that no step changes are as the plan wants them already, as after a run that was cut short. A plan that goes
    back has ``new``, the places that run the new version before its first step; its steps take it from them.
    """
    steps = [one for one in plan.get("steps") or [] if one["kind"] in (START, REPLACE)]
    places = {place(one) for one in instances}
    if "new" in plan:
        restored = {place(one) for step in steps if step["number"] <= done for one in step["instances"]}
        return (places & {(str(name), str(host)) for name, host in plan["new"]}) - restored
    changing = {place(one) for step in steps if step["number"] > done for one in step["instances"]}
    return (places & {place(one) for one in plan.get("instances") or []}) - changing


def _named(plan: dict[str, Any], instances: list[dict[str, Any]], names: list[str]) -> set[tuple[str, str]]:
    """Return the places of instances that are named. One that moves is on two hosts, and the planned one is meant."""
    planned: dict[str, set[str]] = {}
    for one in plan.get("instances") or []:
        planned.setdefault(str(one["name"]), set()).add(str(one["host"]))
    return {
        place(one)
        for one in instances
        if one["name"] in names and str(one["host"]) in planned.get(str(one["name"]), {str(one["host"])})
    }
