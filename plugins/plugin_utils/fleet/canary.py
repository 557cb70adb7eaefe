# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which instances of a rollout get a share of the traffic first, and what their engines' counters say of them.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import math
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.steps import REPLACE, TRAFFIC
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import canary, flow

# Seconds from one look at the counters to the next.
INTERVAL = 3.0
# Looks in a row at which an instance does not tell what it has counted, until it counts as one that serves no more.
SILENT = 2
Place = tuple[str, str]


def step(
    plan: dict[str, Any], number: int, current: list[dict[str, Any]], seconds: Any, percent: Any
) -> dict[str, Any]:
    """Return what gets a share of the traffic after a step, ``{share, new, old, moments, notes}``.

    These are the first instances of each model that the rollout puts into the traffic beside old ones. ``share`` is
    ``{names, percent}``, empty for none; ``new`` and ``old`` are ``{name, host, model, service}``; ``moments`` are
    seconds after which their counters are looked at; and ``notes`` say which models are not judged that way.

    :param current: instances in force before the rollout, with their hosts.
    :param seconds: how long they have the share; 0 for no share.
    :param percent: the share.
    """
    records = {_place(one): one for one in [*current, *plan["instances"]]}
    found: dict[str, Any] = {"share": {}, "new": [], "old": [], "moments": [], "notes": []}
    own = next(one for one in plan["steps"] if one["number"] == number)
    if not float(seconds):
        return found
    models = {place: str(one["model"]) for place, one in records.items()}
    joined = _joined(own)
    known = {models[place] for one in plan["steps"] if one["number"] < number for place in _joined(one)}
    for model in sorted({models[place] for place in joined} - known):
        new = [place for place in joined if models[place] == model]
        old = [place for place in map(_pair, own["traffic"]) if models[place] == model and place not in new]
        if not old:
            found["notes"].append(
                f"{model}: no old one serves beside {_listed(new)}, so real traffic does not judge it"
            )
        elif {name for name, _host in new} & {name for name, _host in old}:
            found["notes"].append(f"{model}: {_listed(new)} moves to another host, so real traffic does not judge it")
        else:
            for which, places in (("new", new), ("old", old)):
                found[which] += [_about(records[place]) for place in places]
    if found["new"]:
        found["share"] = {"names": [one["name"] for one in found["new"]], "percent": int(percent)}
        looks = max(1, math.ceil(float(seconds) / INTERVAL))
        found["moments"] = [round(float(seconds) * (look + 1) / looks, 2) for look in range(looks)]
    return found


def _joined(own: dict[str, Any]) -> list[Place]:
    """Return the new instances that gateways send to from a step on."""
    after = [_pair(one) for one in own["traffic"]] if own["kind"] in (REPLACE, TRAFFIC) else []
    return [place for place in map(_place, own["instances"]) if place in after]


def _about(one: dict[str, Any]) -> dict[str, Any]:
    return {**{key: str(one[key]) for key in ("name", "host", "model")}, "service": registry.service(one)}


def _place(one: dict[str, Any]) -> Place:
    return str(one["name"]), str(one["host"])


def _pair(one: Iterable[Any]) -> Place:
    name, host = one
    return str(name), str(host)


def _listed(places: list[Place]) -> str:
    return ", ".join(f"{name} on {host}" for name, host in places)


def names_on(shared: dict[str, Any], host: str) -> list[str]:
    """Return the names of the instances on a host whose counters are looked at."""
    return [one["name"] for one in [*shared["new"], *shared["old"]] if one["host"] == host]


def is_open(found: list[dict[str, Any]]) -> bool:
    """Return whether to look again: at first, and while no instance is bad and one may still be judged."""
    said = {one["verdict"] for one in found}
    return not said or (canary.OPEN in said and canary.BAD not in said)


def verdicts(
    began: list[dict[str, Any]],
    now: list[dict[str, Any]],
    before: list[dict[str, Any]],
    shared: dict[str, Any],
    rules: dict[str, Any],
    last: bool = False,
    earlier: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the verdict on each new instance: ``{name, host, model, verdict, why, new, old, silent}``.

    It is compared with what old ones did meanwhile, or, where that are too few requests, with all that they had done
    from their start until the rollout.

    :param began: ``traffic`` of ``engine_traffic_info`` when the share began.
    :param now: the same now.
    :param before: the same before the rollout.
    :param shared: what :func:`step` returned.
    :param rules: ``requests``, ``errors``, ``aborts`` and ``slower``.
    :param last: whether this is the last look.
    :param earlier: verdicts of the look before.
    """
    asked = canary.Rules(
        int(rules["requests"]),
        float(rules["errors"]),
        float(rules["aborts"]),
        float(rules["slower"]),
        len(shared["moments"]),
    )
    start, end = _by_place(began), _by_place(now)
    silent = {_place(one): int(one["silent"]) for one in earlier or []}
    found = []
    for one in shared["new"]:
        others = [_place(other) for other in shared["old"] if other["model"] == one["model"]]
        old = _old(one["model"], others, start, end, before, asked.requests)
        place = _place(one)
        first, second = start.get(place), end.get(place)
        many = silent.get(place, 0) + 1 if first is not None and second is None else 0
        verdict, why, new = canary.OPEN, [], flow.Flow()
        if first is None:
            verdict, why = canary.UNJUDGED, ["it does not tell its metrics"]
        elif second is None:
            if many >= SILENT or last:
                verdict, why = canary.BAD, ["it does not tell its metrics any more"]
        elif flow.restarted(first, second):
            verdict, why = canary.BAD, ["it ended and started again, so its counters began anew"]
        else:
            new = flow.between(first, second)
            verdict, why = canary.judge(new, old, asked, last)
        told = {"new": canary.figures(new), "old": canary.figures(old), "silent": many}
        found.append({**one, "verdict": verdict, "why": _sentence(one["name"], verdict, why, told), **told})
    return found


def _by_place(traffic: list[dict[str, Any]]) -> dict[Place, dict[str, Any]]:
    return {(str(one["instance"]), str(one["host"])): one["counted"] for one in traffic if one["counted"]}


def _old(
    model: str,
    places: list[Place],
    start: dict[Place, dict[str, Any]],
    end: dict[Place, dict[str, Any]],
    before: list[dict[str, Any]],
    least: int,
) -> flow.Flow:
    both = [(start[place], end[place]) for place in places if place in start and place in end]
    meanwhile = flow.together(flow.between(*one) for one in both if not flow.restarted(*one))
    if meanwhile.requests >= least:
        return meanwhile
    return flow.together(
        flow.between(None, one["counted"]) for one in before if one["counted"] and one["model"] == model
    )


def _sentence(name: str, verdict: str, why: list[str], told: dict[str, Any]) -> str:
    text = f"({canary.told(told['new'], told['old'])})"
    if verdict == canary.BAD:
        return f"{name} is not good enough for real traffic: {'; '.join(why)} {text}"
    if verdict == canary.UNJUDGED:
        return f"real traffic has not judged {name}: {why[0] if why else 'too few requests came'} {text}"
    return f"real traffic finds nothing wrong with {name} {text}"


def out(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the weights with which gateways send nothing to instances that are bad: ``[{name, host, weight}]``."""
    return [{"name": one["name"], "host": one["host"], "weight": 0} for one in found if one["verdict"] == canary.BAD]
