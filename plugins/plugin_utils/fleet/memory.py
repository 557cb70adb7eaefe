# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of hosts and models, from this run and from earlier ones.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.demo import DEMO_CONFIG, DEMO_WEIGHT_BYTES
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry

Hosts = Mapping[str, Mapping[str, Any]]


def instances_in_force(hosts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every instance that hosts report as running, with the name of its host.

    :param hosts: hosts by name, each with ``instances`` as its last successful run recorded them.
    """
    return [{**one, "host": name} for name, facts in hosts.items() for one in facts.get("instances") or []]


def measured_overheads(hosts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what hosts measured of their engines, with the host's name in ``measured_on``."""
    return [{**one, "measured_on": name} for name, facts in hosts.items() for one in facts.get("measured") or []]


def engine_answers(hosts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what engines answered. An answer that was got with other settings than its host has now does not count.

    :param hosts: hosts by name, each with ``engine_settings`` and ``answers`` as it recorded them.
    """
    return [
        one
        for facts in hosts.values()
        for one in (facts.get("answers") or {}).get("answers") or []
        if one.get("settings") == facts.get("engine_settings")
    ]


def models_to_read(
    models: list[dict[str, Any]], host: str, hosts: list[str], reached: list[str]
) -> list[dict[str, Any]]:
    """Return the models whose facts a host reads: those for which it is the first reachable host. Each names its
    ``drafter``: source and revision of the model that proposes tokens for it, empty and null for none.

    :param hosts: inference hosts, for models that may run on all of them.
    :param reached: hosts of this run.
    """
    return [
        {**model, "drafter": dict(zip(("source", "revision"), registry.of(model).drafter(model.get("args") or {})))}
        for model in models
        if not sources.parse(model["source"]).demo
        and next((name for name in model["hosts"] or hosts if name in reached), None) == host
    ]


def with_facts(
    models: list[dict[str, Any]], read: dict[str, dict[str, Any]], known: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return models with their ``facts``: read in this run, else known from an earlier one, else ``{error}`` or null.

    :param read: by name of the model, ``model_info`` or ``{error}``.
    :param known: by name, what an earlier run knew; it counts only for the same source and revision.
    """
    result = []
    for model in models:
        own, earlier = read.get(model["name"]), known.get(model["name"]) or {}
        facts = own
        if sources.parse(model["source"]).demo:
            facts = {**describe(DEMO_CONFIG), "weight_bytes": DEMO_WEIGHT_BYTES}
        elif (not own or own.get("error")) and earlier.get("asked") == asked(model):
            facts = earlier.get("facts") or own
        result.append({**model, "facts": facts})
    return result


def asked(model: dict[str, Any]) -> list[Any]:
    """Return the source and revision that a model's facts belong to."""
    return [model["source"], model["revision"]]


def remember(models: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the facts of models for the next run: models whose configuration was read."""
    return {
        model["name"]: {"asked": asked(model), "facts": model["facts"]}
        for model in models
        if "layers" in (model.get("facts") or {})
    }


def remembered_hosts(names: list[str], known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the facts of hosts by name in the given order; a host without facts is empty."""
    return {name: known.get(name) or {} for name in names}


def _told(names: Iterable[str], hosts: Hosts, key: str) -> Iterator[tuple[str, Any]]:
    """Give every host that says something under a key, with what it says; each host is looked at once."""
    for name in names:
        own = hosts.get(name, {})
        if key in own:
            yield name, own[key]


def fleet_hosts(
    names: list[str], hosts: Hosts, known: dict[str, Any], held: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what each host tells of itself, by host in the given order: in this run, else in an earlier one.

    :param hosts: variables of hosts, by host; ``llm_host`` is what a host told in this run.
    :param known: what earlier runs knew, with ``hosts``.
    :param held: by host who holds it, which becomes its ``hold``.
    """
    merged = {**(known.get("hosts") or {}), **dict(_told(names, hosts, "llm_host"))}
    found = {}
    for name in [name for name in names if merged.get(name)]:
        facts = {key: value for key, value in merged[name].items() if key != "hold"}
        found[name] = {**facts, "hold": dict(held[name])} if held and name in held else facts
    return found


def fleet_models(names: list[str], hosts: Hosts) -> dict[str, dict[str, Any]]:
    """Return what this run has read of models, by model; hosts have it in ``llm_models_read``."""
    return {model: facts for _host, read in _told(names, hosts, "llm_models_read") for model, facts in read.items()}


def driverless_hosts(names: list[str], hosts: Hosts) -> list[str]:
    """Return the hosts that have cards and no driver in the kernel, as their facts say."""
    drivers = [(name, facts.get("nvidia_driver") or {}) for name, facts in _told(names, hosts, "ansible_facts")]
    return [name for name, driver in drivers if driver.get("cards") and not driver.get("loaded_version")]


def facts_or_error(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of ``model_info``, or ``{error}`` with the reason of its failure."""
    facts = result.get("model_info")
    return dict(facts) if facts else {"error": str(result.get("msg") or "nothing was read")}
