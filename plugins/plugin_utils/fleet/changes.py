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
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import REPLACE, START, STOP
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import split, wiring

STARTED = (START, REPLACE)


def engine_steps(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that are carried out one by one.

    What one host starts in one step is started where every host is brought to the plan, so it is none of them.
    """
    steps: list[dict[str, Any]] = plan.get("steps") or []
    return [] if len(steps) == 1 and len(steps[0]["hosts"]) == 1 and steps[0]["kind"] == START else steps


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
        # A held model has files of an earlier time, which its role would write anew.
        held = {str(wanted[name]["model"]) for name in plan.get("held") or {} if name in wanted}
        staying = {name for name, one in wanted.items() if one["model"] in held and name in before}
        leaving = [one for name, one in before.items() if name in staying or (name in ending and name not in wanted)]
        wanted = {name: one for name, one in wanted.items() if name not in staying}
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


def drained(plan: dict[str, Any], number: int, current: list[dict[str, Any]]) -> list[str]:
    """Return the models whose instances gateways take out while a step changes or stops them.

    A model that nobody else serves meanwhile is not among them, as its clients would only be refused earlier.

    :param current: instances in force before this run, with their hosts.
    """
    step = _step(plan, number)
    if step["kind"] not in (REPLACE, STOP):
        return []
    models = {_record(plan, current, name, host)["model"] for name, host in _places(step)}
    return sorted(name for name in models if step["in_service"].get(name, {}).get("during", 0) > 0)


def instances_in_traffic(
    plan: dict[str, Any],
    current: list[dict[str, Any]],
    machines: dict[str, dict[str, Any]],
    step: int = 0,
    during: bool = False,
    weights: list[dict[str, Any]] | None = None,
    canary: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the instances to which gateways send, each with its ``weight``.

    Where two versions of a model serve, each has ``new`` and ``new_percent`` besides (`split.split`).

    Where a host is not reached by this run, these are the instances in force there, not the planned ones.

    :param current: instances in force before this run, with their hosts.
    :param machines: facts of hosts, with ``address``, and ``hold`` where one is held: its instances have weight 0.
    :param step: number of a step; 0 for the end of the change.
    :param during: whether the step is being carried out: its instances have weight 0 if others of their model serve.
    :param weights: ``[{name, host, weight}]`` of instances whose weight is not 1.
    :param canary: ``{names, percent}``: new instances, and the most percent of conversations that they get.
    """
    found = _in_step(plan, step, current, during) if step else _at_the_end(plan, current)
    asked = {(str(one["name"]), str(one["host"])): int(one["weight"]) for one in weights or []}
    out = set(drained(plan, step, current)) if step and during else set()
    leaving = _places(_step(plan, step)) if out else []
    away = holds.hosts_held(machines)
    sent = [
        {
            **one,
            "address": one.get("address") or f"{bracketed(str(machines[str(one['host'])]['address']))}:{one['port']}",
            "weight": 0
            if (one["model"] in out and _place(one) in leaving) or one["host"] in away
            else asked.get(_place(one), 1),
        }
        for one in found
    ]
    return split.split(plan, sent, step, during, canary)


def asked_engines(traffic: list[dict[str, Any]], hosts: list[str]) -> list[dict[str, Any]]:
    """Return name, host and address of instances that gateways send to, and whether their hosts have the run's key."""
    return [
        {**{key: str(one[key]) for key in ("name", "host", "address")}, "given": str(one["host"]) in hosts}
        for one in traffic
    ]


def _in_step(plan: dict[str, Any], number: int, current: list[dict[str, Any]], during: bool) -> list[dict[str, Any]]:
    """Return what is in service after a step, or while it is carried out. A model of which nothing serves keeps its
    instances, so that its requests are answered with 503 and not with 404.
    """
    step = _step(plan, number)
    places = [(str(name), str(host)) for name, host in step["traffic"]]
    changing = _places(step) if during and step["kind"] in (REPLACE, STOP) else []
    found = [_record(plan, current, *place) for place in places if place not in changing]
    found += [_record({"instances": []}, current, *place) or _record(plan, [], *place) for place in changing]
    served = {one["model"] for one in found}
    known = {_place(one): one for one in [*current, *plan["instances"]]}
    return found + [one for one in known.values() if one["model"] not in served]


def _at_the_end(plan: dict[str, Any], current: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the planned instances; on hosts that this run does not reach, those in force of models that have any."""
    planned: list[dict[str, Any]] = plan.get("instances") or []
    unreached = set(plan.get("unreached") or [])
    here = {_place(one): one for one in current if one["host"] in unreached}
    running = {one["model"] for one in current}
    found = [
        here.pop(_place(one), one)
        for one in planned
        if one["host"] not in unreached or _place(one) in here or one["model"] not in running
    ]
    return found + list(here.values())


def _step(plan: dict[str, Any], number: int) -> dict[str, Any]:
    step: dict[str, Any] = next(one for one in plan["steps"] if one["number"] == number)
    return step


def _places(step: dict[str, Any]) -> list[tuple[str, str]]:
    return [_place(one) for one in step["instances"]]


def _place(one: dict[str, Any]) -> tuple[str, str]:
    return str(one["name"]), str(one["host"])


def _record(plan: dict[str, Any], current: list[dict[str, Any]], name: str, host: str) -> dict[str, Any]:
    """Return an instance as planned, else as in force; empty for none."""
    found = [one for one in [*plan["instances"], *current] if _place(one) == (name, host)]
    return found[0] if found else {}
