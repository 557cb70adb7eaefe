# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models that are held: their instances stay as they are in force, whatever the inventory asks for, until the model is
released by name. A rollback holds what it went back to.

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


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each held model."""
    by_model: dict[str, list[str]] = {}
    for name, one in sorted(found.items()):
        by_model.setdefault(str(one.get("model")), []).append(name)
    said = []
    for model, names in by_model.items():
        one = found[names[0]]
        who, since, why = (str(one.get(key) or "") for key in ("who", "since", "why"))
        because = f" ({why})" if why else ""
        by = f" by {who}" if who else ""
        text = f"{model} is held{by} since {since or 'an earlier run'}{because}: {', '.join(names)} stay as they are"
        said.append(f"{text}; release with -e llm_resume={model}, or roll the model out")
    return said
