# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a real fleet as a difference: hosts that come or go, another context, another model.

Both plans are made from what the fleet's hosts were remembered to have; the second continues what the first one has in
force. Pure functions.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils import lists
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, nearest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory, speeds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import planning


class Fleet(NamedTuple):
    """A fleet as an earlier run knew it."""

    hosts: dict[str, dict[str, Any]]
    """Inference hosts with what they told, in the order of the inventory."""
    models: list[dict[str, Any]]
    """Models with every key and with their facts."""
    gateways: dict[str, int]
    """Gateway hosts to their number of cores."""
    first_port: int = serving_plan.FIRST_PORT
    releases: Mapping[str, str] = {}
    """Release of each engine that can be asked."""


def known(
    inference: list[str], gateways: list[str], remembered: dict[str, Any], file: str
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Return what inference hosts were remembered to have, and the cores of gateway hosts.

    :param remembered: content of the file of facts.
    :raises ProblemsError: nothing is remembered of a host.
    """
    hosts = remembered.get("hosts") or {}
    missing = [name for name in inference if not hosts.get(name)]
    if missing:
        remedy = "run site.yml once, which remembers the facts of all hosts, or name its file with llm_fleet_file"
        text = f"it holds no facts of {', '.join(missing)}"
        raise ProblemsError([Problem("llm_fleet_file", file, text, remedy)])
    cores = {name: (hosts.get(name) or {}).get("cpu", {}).get("vcpus") for name in gateways}
    return {name: hosts[name] for name in inference}, {name: int(count) for name, count in cores.items() if count}


def without(hosts: dict[str, dict[str, Any]], names: Any) -> dict[str, dict[str, Any]]:
    """Return the hosts that are left when some are lost.

    :param names: names of hosts, as a list or joined by commas.
    :raises ProblemsError: one of them is not there.
    """
    lost = lists.names(names)
    unknown = [name for name in lost if name not in hosts]
    if unknown:
        text = f"{', '.join(unknown)} is not in the group llm_inference"
        raise ProblemsError([Problem("remove_hosts", names, text, nearest(unknown[0], hosts))])
    return {name: facts for name, facts in hosts.items() if name not in lost}


def compare(before: Fleet, after: Fleet) -> dict[str, Any]:
    """Return both plans and what is different between them.

    `changes` are those of `plan.yml`; `models` has, by name, replicas, context and requests of full length at once
    before and after; `unplaced` are the replicas that have no place any more; `speeds` tells what was measured, as a
    text.
    """
    old = _plan(before, memory.instances_in_force(before.hosts))
    homeless = [one for one in after.models if one["hosts"] and not set(one["hosts"]) & set(after.hosts)]
    new = _plan(after._replace(models=[one for one in after.models if one not in homeless]), old["instances"])
    new["unplaced"] += [lost for one in homeless for lost in _lost(one)]
    names = dict.fromkeys([*old["models"], *new["models"]])
    return {
        "before": old,
        "after": new,
        "changes": [_told(one, new) for one in plan_report.changes(new["instances"], old["instances"])],
        "models": {name: {"before": _given(old, name), "after": _given(new, name)} for name in names},
        "unplaced": new["unplaced"],
        "speeds": speeds.note(new["instances"], before.hosts),
        "problems": new["problems"] if not new["unplaced"] else [],
    }


def _told(change: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Return a change; an instance that stops although it is asked for has lost its place."""
    unplaced = {f"{one['model']}-{one['replica']}" for one in plan["unplaced"]}
    gone = change["action"] == "-" and change["name"] in unplaced
    return {**change, "why": "it has no place any more"} if gone else change


def _lost(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the replicas of a model all of whose hosts are lost, as the plan tells of those without a place."""
    reason = f"all hosts on which it may run are lost ({', '.join(model['hosts'])})"
    remedy = f"let it run on other hosts, too: llm_models[{model['name']}].hosts"
    return [
        {"model": model["name"], "replica": number, "source": model["source"], "reason": reason, "remedy": remedy}
        for number in range(model["replicas"])
    ]


def _plan(fleet: Fleet, current: list[dict[str, Any]]) -> dict[str, Any]:
    overheads = memory.measured_overheads(fleet.hosts)
    more = {"overheads": overheads, "gateways": fleet.gateways, "first_port": fleet.first_port}
    return planning.plan(fleet.models, fleet.hosts, fleet.releases, current=current, **more)


def _given(plan: dict[str, Any], name: str) -> dict[str, Any] | None:
    told = plan["models"].get(name)
    return None if told is None else told["given"]
