# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance of one host: what may be asked for, what is out meanwhile, and which hosts are held.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils import lists, problems
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, transition
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.room import Room
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

REBOOT, DRIVER, PACKAGES, HOLD, RELEASE = "reboot", "driver", "packages", "hold", "release"
WORKS = (REBOOT, DRIVER, PACKAGES, HOLD, RELEASE)
ALL, GATEWAY = "all", "gateway"
# Name in ``llm_rotate`` of the key that gateways send to engines.
ENGINES_KEY = "vllm_api_key"
# How ``slurp`` says that there is no file; any other failure says nothing about holds.
NO_FILE = "not found"
CONTAINERS = ("docker", "podman", "containerd", "container", "kubernetes", "kubepods", "buildkit")


def request_problems(host: Any, work: Any, fleet: list[str], answers: bool = True) -> list[str]:
    """Return what is wrong with what maintain.yml is asked for, a sentence each.

    :param host: the host; exactly one.
    :param work: one of :data:`WORKS`.
    :param fleet: hosts of the fleet.
    :param answers: whether the host can be reached. Without that it can only be held.
    """
    names = lists.names(host)
    found = []
    if not names:
        found.append(f"host is not given: name one host with -e host={fleet[0] if fleet else 'NAME'}.")
    elif len(names) > 1:
        found.append(
            f"host is {problems.shown(host)}: one host at a time is maintained; run the playbook once for each."
        )
    elif host not in fleet:
        # The playbook compares it as it is, so a comma or a space beside the name is as wrong as another name.
        found.append(f"host is {host}: there is no such host in the fleet; {problems.nearest(names[0], fleet)}.")
    if work not in WORKS:
        said = f"do is {work}: there is no such work" if work else "do is not given"
        found.append(f"{said}: add -e do=, one of {', '.join(WORKS)}.")
    elif not found and not answers and work != HOLD:
        found.append(f"{names[0]}: do is {work}: the host does not answer; start it, or keep it out with -e do=hold.")
    return found


def reboot_problem(host: str, facts: Mapping[str, Any], connection: str) -> str:
    """Return why a host cannot be rebooted from a run; empty if it can.

    :param facts: ``service_mgr``, ``virtualization_type`` and ``virtualization_role`` of the host.
    """
    kind = str(facts.get("virtualization_type") or "")
    manager = str(facts.get("service_mgr") or "")
    if facts.get("virtualization_role") == "guest" and kind in CONTAINERS:
        cause = f"it is a container ({kind}), which does not start again by itself"
    elif manager != "systemd":
        cause = (
            f"it runs {manager or 'no service manager'} instead of systemd, and its services would not start with it"
        )
    elif connection == "local":
        cause = "Ansible runs on it, and would end with it"
    else:
        return ""
    remedy = "keep it out with -e do=hold, reboot it in your own way, and put it in again with -e do=release"
    return f"{host}: do is reboot: {cause}; {remedy}."


def outage(
    host: str,
    current: list[dict[str, Any]],
    machines: dict[str, dict[str, Any]],
    models: list[dict[str, Any]],
    groups: Mapping[str, list[str]],
    downtime: Any,
    report: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is out while a host is: ``{instances, serving, lines, problems}``.

    :param current: instances in force, with their hosts.
    :param machines: facts of inference hosts, which may name the instances that serve, and who holds them.
    :param models: resolved models.
    :param groups: hosts of ``gateway``, ``webui`` and ``monitoring``, of ``fleet``, and those that are ``held``.
    :param downtime: models that may be away, as a list or joined by commas; ``gateway``; ``all``.
    :param report: ``hosts`` of a plan: GPUs with their memory.
    """
    away = set(lists.names(downtime))
    here = [one for one in current if one["host"] == host]
    serving = [one for one in current if transition.in_service(one, machines)]
    keep = transition.floors(models, serving, away)
    room = Room(dict(report), holds.others(machines), current)
    lines, found = [], []
    for model in dict.fromkeys(str(one["model"]) for one in here):
        of_model = [one for one in serving if one["model"] == model]
        leaving = [one for one in of_model if one["host"] == host]
        left, floor = len(of_model) - len(leaving), keep.get(model, 0)
        lines.append(f"{model}: {len(of_model)} in service, {left} while {host} is out, at least {floor}")
        if leaving and left < floor:
            names = ", ".join(str(one["name"]) for one in leaving)
            text = f"taking {names} on {host} out leaves {left} of {len(of_model)} in service"
            beside = room.beside(leaving[0], without=host)
            found.append(_floor(host, model, floor, f"{text}; {beside}" if beside else text))
    if host in groups.get("gateway", []):
        others = [one for one in groups["gateway"] if one not in (host, *groups.get("held", []))]
        lines.append(f"gateways: {len(others)} without {host}; clients that use its address wait or go to others")
        if not others and len(groups.get("fleet", [])) > 1 and not away & {GATEWAY, ALL}:
            text = f"taking {host} out leaves 0 of 1 gateways in service"
            remedy = "add a host to llm_gateway, or let it be away once with -e llm_allow_downtime=gateway"
            found.append(Problem("llm_gateway", groups["gateway"], text, remedy, host).sentence())
    for group, what in (("webui", "the chat page"), ("monitoring", "Prometheus")):
        if host in groups.get(group, []):
            lines.append(f"{what} runs on {host} alone, and is away while it reboots or is off")
    return {
        "instances": [str(one["name"]) for one in here],
        "serving": [str(one["name"]) for one in serving if one["host"] == host],
        "lines": lines or [f"{host} has no instance and is no gateway"],
        "problems": found,
    }


def _floor(host: str, model: str, floor: int, text: str) -> str:
    remedy = (
        f"raise replicas of {model} on other hosts first, lower its min_in_service, or let it be away once with "
        f"-e llm_allow_downtime={model}"
    )
    return Problem(f"llm_models[{model}].min_in_service", floor, text, remedy, host).sentence()


def removal_problems(
    host: str,
    serving: Iterable[str],
    own: list[dict[str, Any]],
    current: list[dict[str, Any]],
    held: bool,
    left_out: list[str],
    downtime: Any,
) -> list[str]:
    """Return why the services of a host may not be removed yet, a sentence each.

    :param serving: names of instances that serve on the host.
    :param own: instances that the host has recorded.
    :param current: instances in force as far as they are known, with their hosts; those of other hosts count.
    :param held: whether the host is held, so gateways send nothing to it.
    :param left_out: gateways that the run leaves out.
    :param downtime: models that may be away, as a list or joined by commas; ``all``.
    """
    away = set(lists.names(downtime))
    names = set(serving)
    if held or not left_out:
        return []
    found = []
    up = [one for one in own if one["name"] in names]
    for model in [model for model in dict.fromkeys(str(one["model"]) for one in up) if not away & {model, ALL}]:
        here = [str(one["name"]) for one in up if one["model"] == model]
        elsewhere = sum(one["model"] == model and one["host"] != host for one in current)
        text = f"removing {', '.join(here)} on {host} leaves {elsewhere} of {elsewhere + len(here)} instances"
        sending = f"{', '.join(left_out)} would go on sending to {'it' if len(here) == 1 else 'them'}"
        remedy = (
            f"take the host out first with playbooks/maintain.yml -e host={host} -e do=hold, or let requests fail with "
            f"-e llm_allow_downtime={model}"
        )
        found.append(f"{host}: {model}: {text}, and {sending}: {remedy}.")
    return found


def rotation_problems(
    held: Mapping[str, Mapping[str, Any]], inference: Iterable[str], rotated: Any
) -> list[dict[str, Any]]:
    """Return why the key of the engines may not be generated anew yet: engines of a held host would refuse it later.

    :param held: held hosts with ``{who, since, why}``.
    :param inference: hosts with engines.
    :param rotated: names of secrets that are generated anew, as a list or joined by commas.
    """
    names = lists.names(rotated)
    remedy = "release it first with playbooks/maintain.yml -e host={0} -e do=release, or take it out of the inventory"
    return [
        Problem(
            "llm_rotate",
            names,
            f"{host} is held{holds.by_whom(held[host])}, and its engines would not get the new key",
            f"{remedy.format(host)}; then rotate {ENGINES_KEY}",
            host,
        )._asdict()
        for host in inference
        if host in held and ENGINES_KEY in names
    ]


def no_facts(missing: list[str], held: Mapping[str, Mapping[str, Any]], maintained: str, file: str) -> list[str]:
    """Return why nothing is planned without the facts of hosts, a sentence for each kind of host.

    :param missing: hosts that neither this run nor an earlier one has facts of.
    :param held: held hosts with ``{who, since, why}``.
    :param maintained: the host that maintain.yml takes out, which is asked for its facts if it answers; or empty.
    :param file: file with the facts of earlier runs.
    """
    known = f"neither from this run nor cached in {file}"
    found = []
    for host in [host for host in missing if host in held or host == maintained]:
        state = f"it is held{holds.by_whom(held[host])}" if host in held else "it does not answer"
        release = f"start it and release it with playbooks/maintain.yml -e host={host} -e do=release"
        remedy = release if host in held else "start it"
        found.append(
            f"no facts for {host}, {known}: {state}, and what it holds is not known here. To go on, bring the file "
            f"from the control node that knows the host, {remedy}, or take it out of the inventory."
        )
    others = [host for host in missing if host not in held and host != maintained]
    if others:
        found.append(
            f"no facts for {', '.join(others)}, {known}. Run once without --limit, or remove hosts that are gone from "
            "the inventory."
        )
    return found


def known_holds(read: list[dict[str, Any]], known: Mapping[str, Any], fleet: list[str]) -> dict[str, dict[str, Any]]:
    """Return the held hosts with ``{who, since, why}``: as gateways say, else as an earlier run knew.

    :param read: what ``slurp`` returned of the file with the holds on each gateway of the run; the newest counts.
    :param known: what earlier runs knew, with ``hosts``.
    :param fleet: hosts of the fleet; others are forgotten.
    """
    said = [json.loads(base64.b64decode(one["content"])) for one in read if one.get("content")]
    if said:
        found = max(said, key=lambda one: str(one.get("when") or ""))["holds"]
    elif any(NO_FILE in str(one.get("msg") or "") for one in read):
        found = {}
    else:
        found = holds.hosts_held(known.get("hosts") or {})
    return {host: dict(hold) for host, hold in found.items() if host in fleet}


def holds_after(
    held: Mapping[str, dict[str, Any]], host: str, work: str, who: str, when: str, why: str
) -> dict[str, dict[str, Any]]:
    """Return the holds after a work on a host has begun; a release ends one, and a hold that is there stays.

    :param when: the moment, UTC in ISO 8601.
    """
    if work == RELEASE:
        return {name: hold for name, hold in held.items() if name != host}
    return {host: {"who": who, "since": when, "why": why}, **held}
