# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the variables of the playbook to an answer: which of the three questions is asked, and of what."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, nearest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import answered, memory, speeds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import (
    answer,
    arithmetic,
    choice,
    cost,
    fleet,
    machines,
    question,
    report,
)
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.reading import Reader

GIB = 1024**3
OF_FLEET = ("add_hosts", "remove_hosts", "change_model")


def wants_fleet(given: Mapping[str, Any]) -> bool:
    """Check whether a change of the fleet is asked about."""
    return any(given["values"].get(name) for name in OF_FLEET)


def ask(given: Mapping[str, Any], reader: Reader) -> tuple[dict[str, Any], str]:
    """Return the answer, and the answer as text.

    :param given: parameters of the action, with `remembered`, the content of the file of facts.
    :raises ProblemsError: something that was given cannot be used.
    """
    registry.load(given["engines"])
    if wants_fleet(given):
        found = _of_fleet(given, reader)
        return found, report.of_fleet(found)
    if not given["model"]:
        remedy = "write -e model=hf://ORGANISATION/MODEL, and -e 'cards=\"8 x H200\"' to ask about given cards"
        raise ProblemsError([Problem("model", None, "nothing is asked about", remedy)])
    asked = _question(given, reader)
    values = given["values"]
    money = cost.Given(*(question.number_above(values, name) for name in cost.Given._fields))
    common = {"model": _told(asked)}
    if given["cards"]:
        wanted = machines.parse(given["cards"])
        measured = speeds.known(given["remembered"].get("hosts") or {})
        told = answer.answer(asked, machines.hosts(wanted), money, measured)
        found = {**common, "cards": machines.written(wanted), **told}
        if given["explain"] and found["fits"]:
            found["arithmetic"] = arithmetic.lines(found["plan"]["instances"][0], common["model"]["weights_source"])
        return found, report.of_cards(found)
    fitting, others = choice.choices(asked)
    model = asked.model()
    wish = {"users": model["concurrency"], "context": model["context"], "replicas": asked.raw.get("replicas")}
    # What cards cost depends on the cards.
    priced = cost.of(money._replace(cost_per_hour=None), model["concurrency"] or 1)
    found = {**common, "asked": wish, "choices": fitting, "others": others, "cost": priced}
    return found, report.of_choices(found)


def _releases(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the release of each engine whose answers count."""
    own = answered.releases() if given["answers"] else {}
    return {name: str((given["releases"].get(name) or {}).get("version") or release) for name, release in own.items()}


def _layers(given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return given["catalog"], given["catalog_extra"], given["model_defaults"]


def _question(given: Mapping[str, Any], reader: Reader) -> question.Question:
    """Return the question about one model: one of `llm_models` by its name, or any other."""
    own = next(
        (one for one in given["models"] or [] if isinstance(one, dict) and one.get("name") == given["model"]), None
    )
    wish = question.changes(given["values"])
    source, facts = reader.read(str(own["source"]) if own else given["model"])
    raw = own or {"name": question.name_of(source), "source": source}
    weighed = _weighed(facts, wish, given["model"])
    return question.Question(_merged(raw, wish), weighed, _layers(given), _releases(given))


def _merged(raw: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**raw, **wish}
    if isinstance(raw.get("args"), dict) and isinstance(wish.get("args"), dict):
        merged["args"] = {**raw["args"], **wish["args"]}
    return merged


def _weighed(facts: dict[str, Any], wish: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return facts with the bytes of the weights: those that were given win.

    :raises ProblemsError: nobody tells them.
    """
    if wish.get("weights_gib"):
        return {**facts, "weight_bytes": int(wish["weights_gib"] * GIB), "weight_bytes_source": "given"}
    if not facts.get("weight_bytes"):
        text = "its files do not tell the size of its weights, and its shapes do not either"
        raise ProblemsError([Problem("model", name, text, "give it with -e weights_gib=N")])
    return facts


def _told(asked: question.Question) -> dict[str, Any]:
    return {
        "source": asked.raw["source"],
        "weights_gib": round(asked.facts["weight_bytes"] / GIB, 2),
        "weights_source": asked.facts.get("weight_bytes_source") or "headers",
    }


def _of_fleet(given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """Return what a change of the fleet would change."""
    values = given["values"]
    if not given["inference"]:
        remedy = "name an inventory with -i"
        asked = {name: values[name] for name in OF_FLEET if values.get(name)}
        raise ProblemsError([Problem(", ".join(asked), list(asked.values()), "there is no fleet to change", remedy)])
    hosts, cores = fleet.known(given["inference"], given["gateways"], given["remembered"], given["fleet_file"])
    resolved = inventory_models.resolve(given["models"] or [], *_layers(given))
    models = [_shipped(one, reader) for one in memory.with_facts(resolved, {}, given["remembered"].get("models") or {})]
    before = fleet.Fleet(hosts, models, cores, given["first_port"], _releases(given))
    words = []
    left = fleet.without(hosts, values.get("remove_hosts"))
    if len(left) < len(hosts):
        words.append(f"{', '.join(name for name in hosts if name not in left)} is lost")
    if values.get("add_hosts"):
        added = machines.parse(values["add_hosts"], "add_hosts")
        left = {**left, **machines.hosts(added, "added")}
        words.append(f"{machines.written(added)} is added")
    # A lost host is no place for anything any more, but models that may run there alone still name it.
    changed = [_without(one, left) for one in models]
    if values.get("change_model"):
        changed, said = _changed(given, changed, reader)
        words.append(said)
    after = before._replace(hosts=left, models=changed)
    return {"asked": ", and ".join(words), **fleet.compare(before, after)}


def _without(model: dict[str, Any], hosts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model that names none of the hosts that are lost, unless it may run nowhere else."""
    return {**model, "hosts": [name for name in model["hosts"] if name in hosts] or model["hosts"]}


def _shipped(model: dict[str, Any], reader: Reader) -> dict[str, Any]:
    """Return a model with the shipped facts where no run has read its own."""
    if "layers" in (model.get("facts") or {}) or not sources.parse(model["source"]).repository:
        return model
    try:
        return {**model, "facts": reader.read(model["source"])[1]}
    except ProblemsError:
        # The plan says that nothing is known of it.
        return model


def _changed(
    given: Mapping[str, Any], models: list[dict[str, Any]], reader: Reader
) -> tuple[list[dict[str, Any]], str]:
    """Return the models with one of them changed, or with a further one, and the change in words."""
    name, wish = str(given["values"]["change_model"]), question.changes(given["values"])
    raw = next((one for one in given["models"] or [] if isinstance(one, dict) and one.get("name") == name), None)
    if raw is None and not given["model"]:
        known = [one["name"] for one in models]
        remedy = f"{nearest(name, known)}; for a further model give its source with -e model=hf://ORGANISATION/MODEL"
        raise ProblemsError([Problem("change_model", name, "llm_models has no model of that name", remedy)])
    facts = next((one["facts"] for one in models if one["name"] == name), None)
    told = dict(wish)
    if given["model"]:
        source, facts = reader.read(given["model"])
        facts = _weighed(facts, wish, given["model"])
        told = {"source": source, **wish}
    merged = _merged(raw or {"name": name}, told)
    if given["model"] and raw:
        # A revision is one of the former model.
        merged.pop("revision", None)
    model = question.Question(merged, facts or {}, _layers(given)).model()
    said = ", ".join(f"{key} {value}" for key, value in told.items()) or "the same values"
    if raw is None:
        return [*models, model], f"model {name} is added with {said}"
    return [model if one["name"] == name else one for one in models], f"model {name} has {said}"
