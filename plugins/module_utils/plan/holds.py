# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is held. Instances of a held model stay as they are in force, whatever the inventory asks for, until the model
is released by name; a rollback holds what it went back to. A held host stays as it is, out of the traffic, until it is
released; maintain.yml holds it.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

# What other applications read of an instance, and what follows from host and inventory without a restart.
FOLLOWING = ("address", "aliases", "interface", "reasons", "host", "model")


def held(hosts: Mapping[str, Mapping[str, Any]], resumed: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the held instances by name, each with ``host``, ``who``, ``since`` and ``why``.

    :param hosts: facts of hosts, with ``held``: by name of the instance, the ``model`` and who holds it.
    :param resumed: models that are released in this run; ``all``.
    """
    free = set(resumed)
    return {
        str(name): {**one, "host": host}
        for host, facts in hosts.items()
        for name, one in (facts.get("held") or {}).items()
        if not free & {"all", one.get("model")}
    }


def models_of(names: Iterable[str], in_force: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the models of held instances that are in force."""
    return {str(in_force[name]["model"]) for name in names if name in in_force}


def kept(
    instances: list[dict[str, Any]], models: set[str], in_force: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the planned instances, with those of held models as they are in force, and none that is not."""
    found = []
    for one in instances:
        if one["model"] not in models:
            found.append(one)
        elif one["name"] in in_force and in_force[one["name"]].get("host") == one["host"]:
            found.append({**in_force[one["name"]], **{key: one[key] for key in FOLLOWING if key in one}})
    return found


def hosts_held(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return ``{who, since, why}`` of each held host.

    :param hosts: facts of hosts, with ``hold`` where one is held.
    """
    return {name: dict(facts["hold"]) for name, facts in hosts.items() if facts.get("hold")}


def others(hosts: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the facts of hosts that are not held."""
    return {name: facts for name, facts in hosts.items() if not facts.get("hold")}


def as_in_force(
    instances: list[dict[str, Any]], hosts: Mapping[str, Mapping[str, Any]], current: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the planned instances, with those on held hosts as they are in force."""
    away = hosts_held(hosts)
    recorded = {(one["name"], one["host"]): one for one in current if one.get("host") in away}
    found = []
    for one in instances:
        old = recorded.get((one["name"], one["host"]))
        # A record of an earlier version lacks what came later.
        known = {**dict.fromkeys(one), **old, **{key: one[key] for key in FOLLOWING if key in one}} if old else one
        found.append(known)
    return found


def by_whom(hold: Mapping[str, Any]) -> str:
    """Return by whom, since when and why something is held."""
    who, since, why = (str(hold.get(key) or "") for key in ("who", "since", "why"))
    return f"{f' by {who}' if who else ''} since {since or 'an earlier run'}{f' ({why})' if why else ''}"


def host_lines(away: Mapping[str, Mapping[str, Any]], instances: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """Return a sentence for each held host, with the instances that stay there."""
    names: dict[str, list[str]] = {}
    for one in instances:
        names.setdefault(str(one.get("host")), []).append(str(one["name"]))
    said = []
    for host, hold in away.items():
        here = names.get(host, [])
        stay = (
            f"{', '.join(here)} {'stay as they are' if len(here) > 1 else 'stays as it is'}"
            if here
            else "it stays as it is"
        )
        text = f"{host} is held{by_whom(hold)}: {stay}, out of the traffic"
        said.append(f"{text}; release with playbooks/maintain.yml -e host={host} -e do=release")
    return said


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each held model."""
    by_model: dict[str, list[str]] = {}
    for name, one in sorted(found.items()):
        by_model.setdefault(str(one.get("model")), []).append(name)
    said = []
    for model, names in by_model.items():
        one = found[names[0]]
        text = f"{model} is held{by_whom(one)}: {', '.join(names)} stay as they are"
        said.append(f"{text}; release with -e llm_resume={model}, or roll the model out")
    return said
