# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schemas of a model, a catalogue entry, a client's key and a team: names, types, limits.

A schema is a dictionary of field names to rules (``rules.py``), or to another schema.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Dict, Union

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.rules import (
    CONTROL,
    ENVIRONMENT,
    RefusedError,
    Rule,
    anything,
    flag,
    line,
    number,
    of_yaml,
    one_of,
    text,
    texts,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,46}[a-z0-9])?")
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
ENGINE = re.compile(r"[a-z][a-z0-9]*")
# A date, or a date and a time of the day.
MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)([T ](\d\d):(\d\d)(:(\d\d)([.]\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?", re.ASCII
)
MOMENT_NUMBERS = (1, 2, 3, 5, 6, 8)

Schema = Dict[str, Union[Rule, Dict[str, Any]]]


def expiry(value: Any) -> str:
    """Take a date, or a time in ISO 8601, as text or as YAML reads it, and return it as text in ISO 8601."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(match.group(part) or 0) for part in MOMENT_NUMBERS)
        datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        remedy = (
            'write the last day on which the key works, such as "2027-01-31", or a time such as "2027-01-31T18:00Z"'
        )
        raise RefusedError("it is neither a date nor a time in ISO 8601", remedy) from None
    return str(value)


def _source(value: Any) -> str:
    if not isinstance(value, str):
        raise RefusedError("a text is needed", f"use {sources.SCHEMES}")
    try:
        return sources.parse(value).text
    except sources.SourceError as error:
        raise RefusedError(error.problem, error.remedy) from error


def _context(value: Any) -> Any:
    tokens = number(1)
    if value == "auto":
        return "auto"
    if isinstance(value, dict):
        if set(value) != {"min"}:
            raise RefusedError("it has unknown keys", "write auto, a number of tokens, or {min: TOKENS}")
        return {"min": tokens(value["min"])}
    try:
        return tokens(value)
    except RefusedError:
        raise RefusedError("it is no context length", "write auto, a number of tokens, or {min: TOKENS}") from None


def _load(value: Any) -> str:
    if value == "on_demand":
        raise RefusedError("models on demand are not supported yet", "write always, or leave it out")
    return str(one_of("always")(value))


def args(value: Any) -> dict[str, Any]:
    """Take an engine's flags as they are written on its command line: ``--max_num_seqs`` is ``max-num-seqs``."""
    if not isinstance(value, dict):
        raise RefusedError(
            "a dictionary is needed", "write the engine's flags without dashes as keys, e.g. {max-num-seqs: 8}"
        )
    for key, item in of_yaml(value).items():
        if isinstance(item, str) and CONTROL.search(item):
            raise RefusedError(f"{key} has a line break or another control character", "write it on one line")
    return {str(key).lstrip("-").replace("_", "-"): item for key, item in value.items()}


def _env(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(
            "a dictionary is needed", "write environment variables as keys, e.g. {VLLM_LOGGING_LEVEL: DEBUG}"
        )
    for name in value:
        if not ENVIRONMENT.fullmatch(str(name)):
            raise RefusedError(
                f"{name} is not a valid name of an environment variable", "use letters, digits and underscores"
            )
    for name, item in value.items():
        if not isinstance(item, bool) and item is not None:
            try:
                line(item)
            except RefusedError as refused:
                raise RefusedError(f"{name}: {refused.problem}", refused.remedy) from refused
    return {str(name): None if item is None else str(item) for name, item in value.items()}


def budget(value: Any) -> dict[str, Any]:
    """Take what may be spent in a period of the calendar: ``{amount: 50, per: month}``."""
    if not isinstance(value, dict) or set(value) != set(BUDGET):
        raise RefusedError("a budget has an amount and a period", "write it as {amount: 50, per: month}")
    clean = {}
    for name, rule in BUDGET.items():
        try:
            clean[name] = rule(value[name])
        except RefusedError as refused:
            raise refused.within(f".{name}", value[name]) from None
    return clean


# The gate counts in units of 1e-9 with 64 bits.
BUDGET: dict[str, Rule] = {
    "amount": number(0.0001, 1_000_000_000, whole=False),
    "per": one_of("day", "week", "month"),
}
# In a currency that the user chooses; no request of a million tokens should cost more than can be counted.
PRICE = number(0, 1000, whole=False)

# Fields of a model in a catalogue entry and in the fleet's defaults.
FAMILY: Schema = {
    "args": args,
    "concurrency": number(1),
    "context": _context,
    "cost": {
        "cached_per_token": PRICE,
        "input_per_token": PRICE,
        "output_per_token": PRICE,
    },
    "env": _env,
    "limits": {"budget": budget, "max_parallel_requests": number(1), "rpm": number(1), "tpm": number(1)},
    "max_positions": number(1),
    "mode": one_of("chat", "embedding"),
    "request_defaults": {
        "max_tokens": number(1),
        "temperature": number(0, 2, whole=False),
        "top_p": number(0, 1, whole=False),
    },
    "tokens_per_second": number(0.1, whole=False),
    "weights_gib": number(0, whole=False),
}
DEFAULTS: Schema = {
    **FAMILY,
    # A month; what is older answers another time's question.
    "cache": {"seconds": number(0, 2592000), "sampled": flag},
    "engine": text(ENGINE, "the name of an engine, a key of llm_engines"),
    "load": _load,
    "min_in_service": number(0),
    "replicas": number(1),
}
MODEL: Schema = {
    **DEFAULTS,
    "aliases": texts(text(ALIAS, "letters, digits and . _ : / @ -")),
    "catalog": text(re.compile(r"\S+"), "a key of llm_catalog, e.g. Qwen/Qwen3-8B"),
    "hosts": texts(text(re.compile(r"\S+"), "names of hosts of the inventory")),
    "name": text(NAME, "up to 48 lower-case letters, digits, dots and dashes; aliases may hold other characters"),
    "revision": text(re.compile(r"\S+"), "a commit, tag or branch of the model's repository"),
    "source": _source,
}
# What a key and a team may both have. The engine's own range of priorities is larger than anybody needs.
SHARED: Schema = {
    "budget": budget,
    "max_parallel_requests": number(1),
    "models": texts(text(re.compile(r"\S+"), "names of models")),
    "priority": number(-1000, 1000),
    "rpm": number(1),
    "tpm": number(1),
}
KEY: Schema = {
    **SHARED,
    "alias": text(ALIAS, "letters, digits and . _ : / @ -"),
    "expires": expiry,
    "key": anything,
    "tags": texts(text(ALIAS, "letters, digits and . _ : / @ -")),
    "team": text(ALIAS, "letters, digits and . _ : / @ -"),
    "value": anything,
}
TEAM: Schema = {**SHARED, "name": text(ALIAS, "letters, digits and . _ : / @ -")}
# What names a person in requests of the chat page: the id of the account, or its address.
PERSONS = ("id", "email")
# Fields of a key for the gateway's role, which may also be refused temporarily, and name persons.
RESOLVED_KEY: Schema = {
    **{name: rule for name, rule in KEY.items() if name != "value"},
    "blocked": flag,
    "person": one_of(*PERSONS),
}


def apply(schema: Schema, raw: Any, variable: str, hidden: bool = False) -> tuple[dict[str, Any], list[Problem]]:
    """Return the parts of ``raw`` that fit the schema, and a problem for each that does not.

    :param raw: a dictionary out of the inventory; a key whose value is null counts as not given.
    :param variable: how messages name it, e.g. ``llm_models[chat]``.
    :param hidden: whether it holds secrets, so that messages must not show what a misspelt key holds.
    """
    if not isinstance(raw, dict):
        return {}, [Problem(variable, raw, "a dictionary is needed", "known keys are " + ", ".join(sorted(schema)))]
    clean: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in raw.items():
        rule = schema.get(key)
        if rule is None:
            shown = "(hidden)" if hidden else value
            problems.append(
                Problem(f"{variable}.{key}", shown, "there is no such key", nearest(str(key), sorted(schema)))
            )
        elif value is None:
            continue
        elif isinstance(rule, dict):
            clean[key], found = apply(rule, value, f"{variable}.{key}")
            problems += found
        else:
            try:
                clean[key] = rule(value)
            except RefusedError as refused:
                part = refused.within("", value)
                shown = sorted(value) if key == "env" and isinstance(value, dict) else part.value
                problems.append(Problem(f"{variable}.{key}{part.inside}", shown, refused.problem, refused.remedy))
    return clean, problems
