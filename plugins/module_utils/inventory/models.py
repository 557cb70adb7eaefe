# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models of the inventory, merged from layers: defaults < catalogue < the model's own.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import rules
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import schema as inventory_schema
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, plain

# Defaults of a model that sets only its name and source. `null` leaves the choice to a later stage: the plan
# (concurrency, max_model_len), the gateway (limits) or the engine (request_defaults).
BUILT_IN: dict[str, Any] = {
    "engine": registry.DEFAULT,
    "revision": None,
    "aliases": [],
    "replicas": 1,
    "min_in_service": None,
    "hosts": [],
    "context": "auto",
    "concurrency": None,
    "load": "always",
    "mode": "chat",
    "limits": {"rpm": None, "tpm": None, "max_parallel_requests": None, "budget": None},
    "request_defaults": {"temperature": None, "top_p": None, "max_tokens": None},
    "args": {},
    "env": {},
    "cost": {"input_per_token": 0, "output_per_token": 0, "cached_per_token": None},
    "cache": {"seconds": 0, "sampled": False},
    "max_positions": None,
    "weights_gib": None,
    "tokens_per_second": None,
}
# Layered key by key; every other value of a higher layer replaces the lower one's as a whole.
MERGED = ("limits", "request_defaults", "args", "env", "cost", "cache")
# Parameters in a model's name, and the bytes each takes by the words that tell how it is stored.
PARAMETERS = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])")
STORED = ((r"awq|gptq|fp4|int4|w4a16|4-?bit", 0.6), (r"fp8|int8|w8a8|8-?bit", 1.0))
# Experts share attention and embeddings: Mixtral 8x7B holds 46.7, not 56 billion.
SHARED_BY_EXPERTS = 0.83


def catalog_id(source: str) -> str:
    """Return the name of a source in the catalogue.

    ``hf://org/model`` is ``org/model``, ``path:/srv/models/org/model`` the last two parts of the path (a folder that
    is not kept under its organisation is found by its own name, see :func:`family`), ``demo:`` itself.
    """
    parts = sources.parse(source)
    return parts.repository or "/".join(parts.directory.rstrip("/").split("/")[-2:]) or source


def _literal(pattern: str) -> tuple[int, str]:
    return len(re.sub(r"\[[^]]*\]|[*?]", "", pattern)), pattern


def family(catalog: dict[str, Any], name: str, staged: bool = False) -> dict[str, Any]:
    """Return the catalogue's entry for a model: the matching pattern with the most literal characters, else nothing.

    :param catalog: patterns (``fnmatch``, case matters) to entries.
    :param name: what :func:`catalog_id` gave.
    :param staged: whether it is a local folder, which may lack its organisation: its own name counts then too.
    """
    matching = [pattern for pattern in catalog if fnmatch.fnmatchcase(name, pattern)]
    if not matching and staged:
        folder = name.rsplit("/", 1)[-1]
        matching = [pattern for pattern in catalog if fnmatch.fnmatchcase(folder, pattern.rsplit("/", 1)[-1])]
    return dict(catalog[max(matching, key=_literal)] or {}) if matching else {}


def layer(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Merge a layer over another one. In ``args`` and ``env`` a null removes the lower layer's entry."""
    result = {**lower, **{key: value for key, value in upper.items() if value is not None}}
    for key in MERGED:
        merged = {**(lower.get(key) or {}), **(upper.get(key) or {})}
        if key in ("args", "env"):
            merged = {name: value for name, value in merged.items() if value is not None}
        result[key] = merged
    return result


def max_model_len(model: dict[str, Any]) -> int | None:
    """Return the context in tokens, or null if the engine chooses it.

    A number is that number, ``{min: n}`` is ``n`` (what was asked for, and no more), ``auto`` is null: the engine
    then takes the longest context that its memory holds. A number in ``args`` wins over all.
    """
    pinned = whole(model["args"].get("max-model-len"))
    if pinned:
        return pinned
    context = model["context"]
    if isinstance(context, dict):
        return int(context["min"])
    return None if context == "auto" else int(context)


def estimate_weights_gib(name: str) -> float | None:
    """Return the GiB of weights that a model's name suggests, or null: ``8B`` is 8e9 parameters of 2 bytes.

    Wrong for models whose name tells the active parameters alone; catalogue or model then say ``weights_gib``.
    """
    found = PARAMETERS.search(name)
    if not found:
        return None
    experts, count, unit = found.groups()
    parameters = float(count) * (1e9 if unit in "Bb" else 1e6) * (int(experts) * SHARED_BY_EXPERTS if experts else 1)
    size = next((size for words, size in STORED if re.search(words, name, re.IGNORECASE)), 2.0)
    return round(parameters * size / 1024**3, 2)


def _beyond(model: dict[str, Any], label: str) -> list[Problem]:
    length, positions = model["max_model_len"], model["max_positions"]
    if not length or not positions or length <= positions or registry.of(model).stretched(model["args"], model["env"]):
        return []
    remedy = f"ask for {positions} or fewer, write auto, or stretch the model with args hf-overrides"
    return [Problem(f"{label}.context", length, f"{model['source']} has {positions} positions", remedy)]


def _floor(model: dict[str, Any], label: str) -> list[Problem]:
    least, replicas = model["min_in_service"], model["replicas"]
    if least is None or least <= replicas:
        return []
    remedy = "give fewer, or more replicas"
    return [Problem(f"{label}.min_in_service", least, f"the model has {replicas} replicas", remedy)]


def _label(raw: Any, index: int) -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return f"llm_models[{rules.label(name, index)}]"


def _twice(models: list[tuple[str, dict[str, Any]]]) -> list[Problem]:
    problems = []
    owners: dict[str, str] = {}
    for label, model in models:
        for key, name in [("name", model.get("name"))] + [("aliases", alias) for alias in model.get("aliases", [])]:
            if name in owners:
                remedy = "give every model names of its own; for more instances of one model use replicas"
                problems.append(Problem(f"{label}.{key}", name, f"{owners[name]} already has that name", remedy))
            elif name:
                owners[name] = label
    return problems


def examine(
    models: Any, catalog: Any = None, extra: Any = None, defaults: Any = None
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the full models and every problem found; models are complete only where there is no problem.

    :param models: ``llm_models`` of the inventory.
    :param catalog: the shipped catalogue: patterns of model names to what is known of that family.
    :param extra: the user's own entries, a layer over the shipped ones.
    :param defaults: values that every model starts from.
    """
    raw_models = plain(models)
    if not isinstance(raw_models, list):
        return [], [Problem("llm_models", raw_models, "a list is needed", "write a list of {name: ..., source: ...}")]
    base, problems = inventory_schema.apply(inventory_schema.DEFAULTS, plain(defaults or {}), "llm_model_defaults")
    books = []
    for variable, book in (("llm_catalog", catalog), ("llm_catalog_extra", extra)):
        clean_book: dict[str, Any] = {}
        books.append(clean_book)
        if not isinstance(book or {}, dict):
            remedy = "write it as {PATTERN: {KEY: VALUE}}"
            problems.append(Problem(variable, book, "a dictionary is needed", remedy))
            continue
        for pattern, raw in plain(book or {}).items():
            clean_book[pattern], found = inventory_schema.apply(
                inventory_schema.FAMILY, raw or {}, f"{variable}[{pattern}]"
            )
            problems += found
    own: list[tuple[str, dict[str, Any]]] = []
    for index, raw in enumerate(raw_models):
        label = _label(raw, index)
        clean, found = inventory_schema.apply(inventory_schema.MODEL, raw, label)
        problems += found
        for key in ("name", "source"):
            if isinstance(raw, dict) and raw.get(key) is None:
                remedy = "give the name clients ask for" if key == "name" else f"use {sources.SCHEMES}"
                problems.append(Problem(f"{label}.{key}", None, "every model needs it", remedy))
        own.append((label, clean))
    problems += _twice(own)
    resolved = []
    for label, clean in own:
        if "name" not in clean or "source" not in clean:
            continue
        model = layer(BUILT_IN, base)
        like = clean.pop("catalog", None)
        name, staged = like or catalog_id(clean["source"]), not like and bool(sources.parse(clean["source"]).directory)
        entries = [family(book, name, staged) for book in books]
        if like and not any(entries):
            remedy = "name a model that a pattern of llm_catalog matches, or add one to llm_catalog_extra"
            problems.append(Problem(f"{label}.catalog", like, "the catalogue does not know it", remedy))
        for entry in entries:
            model = layer(model, entry)
        model = layer(model, clean)
        model["max_model_len"] = max_model_len(model)
        if model["weights_gib"] is None:
            model["weights_gib"] = estimate_weights_gib(catalog_id(clean["source"]).rsplit("/", 1)[-1])
            model["weights_estimated"] = True
        problems += registry.check(label, model)
        problems += _beyond(model, label)
        problems += _floor(model, label)
        resolved.append(model)
    return resolved, problems


def complete(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model with every key: a resolved one unchanged, a hand-written one filled with built-in defaults.

    :raises ProblemsError: where a key is unknown or its value is wrong.
    """
    if "max_model_len" in model:
        return model
    facts = model.get("facts")
    (resolved,) = resolve([{key: value for key, value in model.items() if key != "facts"}])
    return {**resolved, "facts": facts}


def resolve(models: Any, catalog: Any = None, extra: Any = None, defaults: Any = None) -> list[dict[str, Any]]:
    """Return the full models; see :func:`examine`.

    :raises ProblemsError: with every problem, if there is one.
    """
    resolved, problems = examine(models, catalog, extra, defaults)
    if problems:
        raise ProblemsError(problems)
    return resolved
