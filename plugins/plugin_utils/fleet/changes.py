# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of a change, as each host carries them out, and what gateways send to meanwhile.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bracketed
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import REPLACE, START, STOP
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import wiring

STARTED = (START, REPLACE)


def engine_steps(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that are carried out one by one.

    What one host does in one step is done where every host is brought to the plan, so it is none of them.
    """
    steps: list[dict[str, Any]] = plan.get("steps") or []
    return [] if len(steps) == 1 and len(steps[0]["hosts"]) == 1 and steps[0]["kind"] in STARTED else steps


def engine_step_on(plan: dict[str, Any], number: int, host: str, recorded: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a host does in a step: ``{names, engines, kept, planned, untouched}``.

    ``names`` are the instances that it starts or changes, ``engines`` those whose roles do it, and ``kept`` the
    services that these roles leave alone. After the step, those of ``planned`` and of ``untouched`` run on it.

    :param number: number of the step; 0 for the end, when a host is brought to the plan but for what ends last.
    :param recorded: instances that the host had recorded before this run.
    """
    wanted = {one["name"]: one for one in wiring.instances_on(plan["instances"], host)}
    before = {one["name"]: one for one in recorded}
    if not number:
        ending = {one["name"] for one in plan.get("ending") or [] if one["host"] == host}
        leaving = [one for name, one in before.items() if name in ending and name not in wanted]
        engines = {registry.of(one).name for one in [*wanted.values(), *recorded]}
        return _done(list(wanted), engines, list(wanted.values()), leaving, leaving)
    untouched = dict(before)
    planned: dict[str, dict[str, Any]] = {}
    names: list[str] = []
    engines = set()
    for step in [step for step in plan.get("steps") or [] if step["number"] <= number]:
        own = [one["name"] for one in step["instances"] if one["host"] == host and step["kind"] in (*STARTED, STOP)]
        gone = [one for name in own for one in (untouched.pop(name, None), planned.pop(name, None)) if one]
        names = own if step["kind"] in STARTED else []
        planned.update({name: wanted[name] for name in names})
        engines = {registry.of(one).name for one in [*gone, *(wanted[name] for name in names)]}
    others = [one for name, one in {**untouched, **planned}.items() if name not in names]
    return _done(names, engines, list(planned.values()), list(untouched.values()), others)


def _done(
    names: list[str],
    engines: set[str],
    planned: list[dict[str, Any]],
    untouched: list[dict[str, Any]],
    kept: list[dict[str, Any]],
) -> dict[str, Any]:
    services = [registry.service(one) for one in kept]
    return {"names": names, "engines": sorted(engines), "kept": services, "planned": planned, "untouched": untouched}


def instances_in_traffic(
    plan: dict[str, Any], number: int, current: list[dict[str, Any]], machines: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the instances to which gateways send after a step.

    :param current: instances in force before this run, with their hosts.
    :param machines: facts of hosts, with ``address``.
    """
    step = next(one for one in plan["steps"] if one["number"] == number)
    planned = {(one["name"], one["host"]): one for one in plan["instances"]}
    before = {(str(one["name"]), str(one["host"])): one for one in current}
    found = []
    for name, host in step["traffic"]:
        one = planned.get((name, host)) or before[name, host]
        address = one.get("address") or f"{bracketed(str(machines[host]['address']))}:{one['port']}"
        found.append({**one, "address": address})
    return found
