# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan says of the engines that were asked: which of them start an instance, and about which to ask.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers, key_of
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

GIB = 1024**3
# Weights that differ by a smaller share are not reported: the arithmetic promises no more.
TOLERANCE = 0.02
# What the plan shows of an instance.
TOLD = ("engine", "accepted", "sentence", "differences", "asked_on", "shipped")
UNASKED = "it is not installed there, or has not been asked yet"
REMEDY = "change its args, context or source; if it starts all the same, set llm_ask_engines to false"


def speaker(answer: Mapping[str, Any]) -> str:
    """Return the engine and the release that gave an answer."""
    return f"{registry.of(answer).title} {answer.get('release') or ''}".strip()


def of_instance(model: Mapping[str, Any], instance: Mapping[str, Any], release: str) -> dict[str, Any]:
    """Return what an answer about an instance is found by."""
    return key_of(model, str(instance["device"]), str(instance.get("product_name") or ""), instance, release)


def _short_of_cache(instance: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Return why the KV cache of an instance does not hold its context, as the engine counts; empty where it does."""
    length, given = instance.get("max_model_len"), (instance.get("memory") or {}).get("kv_cache")
    needed = (answer.get("bytes_to_start") or {}).get(str(length))
    if not given or not needed or needed <= given:
        return ""
    return f"a request of {length} tokens needs a KV cache of {needed / GIB:.2f} GiB, and {given / GIB:.2f} are planned"


def _differences(instance: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """Return what the engine counts otherwise than the plan."""
    memory, found = instance.get("memory") or {}, []
    planned, said = memory.get("weights"), answer.get("weights")
    if planned and said and instance["device"] == "cuda" and abs(planned - said) > TOLERANCE * said:
        found.append(f"weights of {said / GIB:.2f} GiB on each GPU, planned are {planned / GIB:.2f}")
    given, block, blocks = memory.get("kv_cache"), answer.get("bytes_per_block"), instance.get("kv_cache_blocks")
    if given and block and blocks and given // block != blocks:
        found.append(f"{given // block} blocks of KV cache, planned are {blocks}")
    return found


def judged(instance: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of an instance: ``accepted``, the ``sentence`` of a refusal, and ``differences``."""
    if not answer["accepted"]:
        return {"accepted": False, "sentence": str(answer.get("sentence") or ""), "differences": []}
    short = _short_of_cache(instance, answer)
    return {"accepted": not short, "sentence": short, "differences": _differences(instance, answer)}


def verdicts(
    models: list[dict[str, Any]], instances: list[dict[str, Any]], changes: list[dict[str, Any]], answers: Answers
) -> dict[str, dict[str, Any]]:
    """Return what is known of every instance, by its name.

    Each has ``engine`` (with its release), ``accepted`` (null where nobody told), ``sentence`` (why not, or why nobody
    told), ``differences``, ``asked_on`` (the host that asked), ``shipped`` (whether the shipped table answered),
    and ``ask``: the key of an open question. What the table answers is asked all the same where an engine is installed.

    :param changes: what happens to every instance; those that stay as they are are not asked about.
    """
    by_name = {model["name"]: model for model in models}
    changing = {change["name"] for change in changes if change["action"] in ("+", "~")}
    found = {}
    for one in instances:
        release = answers.release(one)
        wanted = of_instance(by_name[one["model"]], one, release)
        answer = answers.about(wanted, one.get("max_model_len")) or {}
        spared = bool(answer) and not answer.get("shipped")
        silent = "" if spared else _silence(one, wanted, answers, one["name"] in changing)
        nobody: dict[str, Any] = {"accepted": None, "sentence": silent or UNASKED, "differences": []}
        found[one["name"]] = {
            **(judged(one, answer) if answer else nobody),
            "engine": speaker({**wanted, "release": release}),
            "asked_on": answer.get("asked_on"),
            "shipped": bool(answer.get("shipped")),
            "ask": None if spared or silent else wanted,
        }
    return found


def _silence(instance: Mapping[str, Any], wanted: Mapping[str, Any], answers: Answers, changing: bool) -> str:
    """Return why an engine is not to be asked about an instance; empty where it is."""
    engine = registry.of(instance)
    if not engine.can_be_asked:
        return f"{engine.title} cannot be asked"
    if not changing:
        return "it runs and stays as it is"
    return answers.silence(wanted)


def problems(instances: list[dict[str, Any]], changes: list[dict[str, Any]], said: dict[str, Any]) -> list[Problem]:
    """Return a problem for every instance that would start and that its engine refuses."""
    changing = {change["name"] for change in changes if change["action"] in ("+", "~")}
    starting = [one for one in instances if one["name"] in changing and one["name"] in said]
    refused = [one for one in starting if said[one["name"]]["accepted"] is False]
    return [refusal(one, said[one["name"]]) for one in refused]


def refusal(instance: Mapping[str, Any], said: Mapping[str, Any]) -> Problem:
    """Return the refusal of an instance as a problem: host, instance, model, release, the engine's sentence, remedy."""
    text = f"{said['engine']} refuses {instance['name']}: {said['sentence'].rstrip('.')}"
    variable = f"llm_models[{instance['model']}].source"
    return Problem(variable, instance["source"], text, REMEDY, str(instance["host"]))


def questions(instances: list[dict[str, Any]], said: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the open questions: ``name`` of the instance, ``host``, ``engine`` and ``key`` of the answer.

    Instances of a host about which the same is asked are asked about once.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in instances:
        wanted = (said.get(one["name"]) or {}).get("ask")
        if wanted:
            same = repr((one["host"], sorted(wanted.items(), key=str), one.get("max_model_len"), one.get("memory")))
            asked = {"name": one["name"], "host": one["host"], "engine": wanted["engine"], "key": wanted}
            found.setdefault(same, asked)
    return list(found.values())


def lines(said: dict[str, dict[str, Any]]) -> list[str]:
    """Return what engines said of all instances as sentences, those of which the same is to be said together."""
    together: dict[tuple[str, str], list[str]] = {}
    for name, one in said.items():
        where = "(by the shipped table of its answers)" if one["shipped"] else f"(asked on {one['asked_on']})"
        if one["accepted"] is None:
            how = ("Nobody was asked about", f": {one['sentence']}")
        elif not one["accepted"]:
            how = (f"! {one['engine']} refuses", f": {one['sentence'].rstrip('.')} {where}")
        elif one["differences"]:
            how = (f"{one['engine']} starts", f", and counts otherwise: {'; '.join(one['differences'])} {where}")
        else:
            how = (f"{one['engine']} starts", f" {where}")
        together.setdefault(how, []).append(name)
    return [f"{start} {', '.join(names)}{end}" for (start, end), names in together.items()]
