# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout: which models it may change, what each host restores if it goes back, and its report; and a rollback.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import difflib
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils import lists
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, transition
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import REPLACE, START
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import verdict
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes, split

ALL = "all"


def chosen(asked: Any, known: Iterable[str]) -> list[str]:
    """Return the models that are asked for; ``all`` is every model."""
    found = lists.names(asked)
    return list(known) if ALL in found else found


def name_problems(asked: Any, known: Iterable[str], verb: str) -> list[str]:
    """Return what is wrong with the names of models that are asked for, a sentence each.

    :param verb: what is to be done with them, as in a message: ``roll out``.
    """
    models = list(known)
    if not lists.names(asked):
        return [
            f"model is not given: name what to {verb} with -e model={models[0] if models else 'NAME'}, or -e model=all"
        ]
    found = []
    for name in lists.names(asked):
        if name not in (*models, ALL):
            near = difflib.get_close_matches(name, models, 1)
            remedy = f"did you mean {near[0]}" if near else f"llm_models has {', '.join(models) or 'none'}"
            found.append(f"model is {name}: there is no such model; {remedy}")
    return found


def rollout_problems(planned: dict[str, Any], asked: Any, known: Iterable[str]) -> list[str]:
    """Return why a rollout may not begin, a sentence each.

    :param planned: what ``serving_plan_info`` returned: ``plan`` and ``changes``.
    :param asked: names of models.
    :param known: the models of the inventory.
    """
    models = list(known)
    found = name_problems(asked, models, "roll out")
    if found:
        return found
    wanted = set(chosen(asked, models))
    by_name = {one["name"]: one["model"] for one in planned["plan"]["instances"]}
    others: dict[str, list[str]] = {}
    for change in planned["changes"]:
        model = by_name.get(change["name"]) or str(change["name"]).rpartition("-")[0]
        if change["action"] != "=" and model not in wanted:
            others.setdefault(model, []).append(f"{change['action']} {change['name']}")
    named = ",".join(sorted({*wanted, *others}))
    remedy = f"roll it out as well with -e model={named}, or run site.yml first"
    return [f"the inventory changes {model} too ({', '.join(what)}): {remedy}" for model, what in others.items()]


def undo_plan(plan: dict[str, Any], last: int, current: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the plan by which a rollout goes back: the steps that were begun, in reverse.

    Each of its steps has ``undoes``, the number of the step that it undoes; gateways send afterwards as before that.
    ``new`` are the places of the instances that run the new version then.

    :param last: number of the last step that was begun.
    :param current: instances in force before the rollout, with their hosts.
    """
    begun = [one for one in plan["steps"] if one["number"] <= last and one["kind"] in (START, REPLACE)]
    steps: list[dict[str, Any]] = []
    for step in reversed(begun):
        before = _traffic_before(plan, step["number"], current)
        one = _step(plan, step["instances"], before, current, set(before), len(steps) + 1)
        steps.append({**one, "undoes": step["number"]})
    records = _records(plan["instances"], current)
    newer = sorted(split.newer(plan, records, last))
    return {**plan, "instances": records, "steps": steps, "ending": [], "new": newer}


def rollback_plan(
    current: list[dict[str, Any]],
    machines: dict[str, dict[str, Any]],
    models: list[dict[str, Any]],
    wanted: list[str],
    downtime: list[str],
) -> dict[str, Any]:
    """Return the plan by which models go back to kept generations, an instance at a time; ``problems`` are sentences.

    :param current: instances in force, with their hosts.
    :param machines: facts of hosts, which may name the instances that serve.
    :param models: resolved models.
    :param wanted: names of the models that go back.
    :param downtime: models that may be away; ``all``.
    """
    serving = [one for one in current if transition.in_service(one, machines)]
    keep = transition.floors(models, serving, downtime)
    plan: dict[str, Any] = {"instances": current, "steps": [], "ending": [], "new": _places(current), "problems": []}
    traffic, up = _places(current), set(_places(serving))
    away = holds.hosts_held(machines)
    for one in [one for one in current if one["model"] in wanted and one["host"] not in away]:
        step = _step(plan, [{"name": one["name"], "host": one["host"]}], traffic, current, up, len(plan["steps"]) + 1)
        plan["steps"].append(step)
        left = step["in_service"][one["model"]]["during"]
        floor = keep.get(one["model"], 0)
        if one in serving and left < floor:
            text = f"taking {one['name']} out leaves {left} of {left + 1} in service, and min_in_service is {floor}"
            remedy = f"lower it, or let {one['model']} be away once with -e llm_allow_downtime={one['model']}"
            plan["problems"].append(f"{one['host']}: {text}: {remedy}")
    return plan


def _step(
    plan: dict[str, Any],
    instances: list[dict[str, Any]],
    traffic: list[tuple[str, str]],
    current: list[dict[str, Any]],
    serving: set[tuple[str, str]],
    number: int,
) -> dict[str, Any]:
    """Return a step that takes instances out, restores them, and lets gateways send to `traffic` afterwards."""
    known = [*plan["instances"], *current]
    records = dict(zip(_places(known), known))
    away = set(_places(instances))
    counts = {}
    for model in {str(records[place]["model"]) for place in away}:
        after = [place for place in traffic if records[place]["model"] == model]
        during = [place for place in after if place not in away and place in serving]
        counts[model] = {"before": len(after), "during": len(during), "after": len(after), "floor": 0}
    return {
        "number": number,
        "kind": REPLACE,
        "instances": instances,
        "hosts": list(dict.fromkeys(str(one["host"]) for one in instances)),
        "in_service": counts,
        "traffic": [list(place) for place in traffic],
        "why": "it goes back to what it was",
    }


def _traffic_before(plan: dict[str, Any], number: int, current: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the instances to which gateways sent before a step."""
    earlier = [one for one in plan["steps"] if one["number"] < number]
    if earlier:
        return [(str(name), str(host)) for name, host in earlier[-1]["traffic"]]
    return _places(current)


def _places(instances: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(str(one["name"]), str(one["host"])) for one in instances]


def _records(planned: list[dict[str, Any]], current: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the instances in force, and the planned ones that are not among them."""
    known = set(_places(current))
    return [*current, *(one for one, place in zip(planned, _places(planned)) if place not in known)]


def going_back(
    plan: dict[str, Any], number: int, host: str, recorded: list[dict[str, Any]], why: str
) -> dict[str, Any]:
    """Return what a host does to undo a step: ``{restored, mine}``.

    ``restored`` are the services to restore, for the role service; ``mine`` is what ``run_engines.yml`` reads: the
    instances as they were before the step, and those that the step started are stopped.

    :param plan: the plan of the rollout.
    :param number: number of the step.
    :param recorded: instances that the host had recorded before the rollout.
    :param why: why it goes back; it is written into the ledger and beside the hold.
    """
    step = next(one for one in plan["steps"] if one["number"] == number)
    own = [one["name"] for one in step["instances"] if one["host"] == host]
    before = {one["name"]: one for one in recorded}
    wanted = {one["name"]: one for one in plan["instances"] if one["host"] == host}
    services = [registry.service(before[name]) for name in own if name in before and step["kind"] == REPLACE]
    earlier = {**plan, "steps": [one for one in plan["steps"] if one["number"] < number]}
    mine = changes.engine_step_on(earlier, number, host, recorded)
    kept = [registry.service(one) for one in [*mine["planned"], *mine["untouched"]]]
    engines = {registry.of(wanted[name]).name for name in own if name in wanted}
    return {
        "restored": [{"service": name, "hold": True, "why": why} for name in services],
        "mine": {**mine, "names": [], "engines": sorted(engines), "kept": kept},
    }


def released_services(instances: list[dict[str, Any]], held: dict[str, Any], resumed: Any) -> list[str]:
    """Return the services of held instances whose model is released.

    :param held: by name of the instance, who holds it.
    :param resumed: models that are released, a list or joined by commas; ``all``.
    """
    free = {*lists.names(resumed)}
    return [registry.service(one) for one in instances if one["name"] in held and free & {ALL, one["model"]}]


def restored_services(instances: list[dict[str, Any]], generation: Any, why: str) -> list[dict[str, Any]]:
    """Return the services of instances as the role service restores them, and holds them then.

    :param generation: number of the generation; None for the last good one before the present.
    """
    chosen_one = {} if generation is None else {"generation": int(generation)}
    return [{"service": registry.service(one), "hold": True, "why": why, **chosen_one} for one in instances]


def judged(found: list[dict[str, Any]], before: list[dict[str, Any]], slower: Any) -> list[str]:
    """Return why new instances may not serve, a sentence each.

    :param found: what ``engine_conformance_info`` returned of them.
    :param before: the same of the instances that served before.
    :param slower: how many times slower a new instance may be.
    """
    old = {one["model"]: one for one in reversed(before)}
    return [problem for new in found for problem in verdict.problems(new, old.get(new["model"]) or {}, float(slower))]


def rollout_report(failed: list[dict[str, Any]], steps: list[dict[str, Any]], models: list[str]) -> str:
    """Return the report of a rollout that went back: what was seen, on which instance, and what was restored.

    :param failed: from hosts: ``{host, step, why}``; `step` is the number of the step.
    :param steps: steps of the plan.
    :param models: models that were rolled out.
    """
    last = max(int(one["step"]) for one in failed)
    lines = []
    for one in failed:
        step = next(step for step in steps if step["number"] == one["step"])
        here = [own["name"] for own in step["instances"] if own["host"] == one["host"]]
        where = f"{', '.join(here)} on {one['host']}" if here else str(one["host"])
        lines.append(f"step {one['step']}, {where}: {one['why']}")
    undone = [
        f"{own['name']} on {own['host']} was {'restored' if step['kind'] == REPLACE else 'stopped again'}"
        for step in reversed(steps)
        if step["number"] <= last and step["kind"] in (START, REPLACE)
        for own in step["instances"]
    ]
    held = ",".join(models)
    after = f"They are held: site.yml leaves them as they are until -e llm_resume={held}, or the next rollout of them."
    return "\n".join(["The rollout went back.", *lines, *undone, after])
