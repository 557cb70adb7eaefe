# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's settings: one JSON file, read at the start and again after SIGHUP.

    {"listen": "127.0.0.1", "port": 4200, "keys_file": "/etc/llmfleet/gate/keys.json",
     "engine_key_file": "/etc/llmfleet/gate/engine_key", "engines_url": "http://127.0.0.1:4100", "translator_url": "http://127.0.0.1:4000",
     "usage_log": "/var/lib/llmfleet/gate/usage.jsonl",
     "models": [{"name": "chat", "aliases": ["gpt-4o"], "context": 4096, "max_parallel_requests": 16, "rpm": 600,
                 "tpm": 100000, "request_defaults": {"temperature": 0.7},
                 "cost": {"input_per_token": "0.0000002", "output_per_token": "0.0000006"},
                 "budget": {"amount": 50, "per": "month"}}]}

Everything else has a default, see `Settings`. Knows nothing of HTTP.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gate_budgets import Budget, budget
from gate_cost import FREE, Price, price

MIB = 1 << 20
# What has to be translated for an engine, or is not text. Everything else that is known goes to the engines.
TRANSLATED = (
    "/v1/messages",
    "/v1/responses",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
)


class SettingsError(ValueError):
    """The file is not what it must be; the message says where."""


@dataclass(frozen=True)
class Model:
    """One model as clients see it. `context` is in tokens, 0 if it is not known; a limit of None does not apply."""

    name: str
    aliases: tuple[str, ...] = ()
    context: int = 0
    max_parallel_requests: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    request_defaults: Mapping[str, object] = field(default_factory=dict)
    # Whether the translator alone knows it, as it does a model of another provider.
    translated: bool = False
    # Numbers of its engines that are asked for a JSON answer from time to time; none for what generates no text.
    replicas: tuple[str, ...] = ()
    # Whether all its engines begin waiting requests in the order of their priorities.
    priorities: bool = False
    # Seconds for which answers are kept for equal requests, 0 for none; whether also those that were sampled; and what
    # tells the version of the model that gave them.
    answer_seconds: int = 0
    answer_sampled: bool = False
    answer_version: str = ""
    cost: Price = FREE
    budget: Budget | None = None


@dataclass(frozen=True)
class Settings:
    """All that the gate is told. Sizes are in bytes, times in seconds."""

    keys_file: str
    engine_key_file: str
    engines_url: str
    translator_url: str
    usage_log: str
    listen: str = "127.0.0.1"
    port: int = 4200
    models: tuple[Model, ...] = ()
    translated_paths: tuple[str, ...] = TRANSLATED
    # Part of a model's slots that a key without max_parallel_requests may hold.
    key_share: float = 0.5
    # Whether a key's requests find only their own beginnings in an engine's cache.
    separate_caches: bool = False
    # The file with the URL of the store in which gates count limits together, none if empty; the file of its CAs, those
    # of the system if empty; and what is done while it does not answer: `open` counts here alone, `closed` refuses.
    store_url_file: str = ""
    store_ca_file: str = ""
    without_store: str = "open"
    # Of all answers that are kept in the store, and of one of them.
    answer_bytes: int = 64 * MIB
    answer_max_bytes: int = 256 << 10
    max_choices: int = 8
    max_prompts: int = 32
    max_tools: int = 512
    # Of schemas, choices and tools of one request, and their entries.
    max_grammar_bytes: int = 256 << 10
    max_grammar_entries: int = 500
    extra_fields: tuple[str, ...] = ()
    max_json_bytes: int = 4 * MIB
    max_file_bytes: int = 32 * MIB
    body_timeout: float = 60.0
    request_timeout: float = 620.0
    usage_log_bytes: int = 64 * MIB
    usage_log_files: int = 8
    stop_timeout: float = 60.0
    # Between two probes of a replica, 0 for none; and the time that one has for its answer.
    probe_interval: float = 60.0
    probe_timeout: float = 30.0


TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "bool": (bool,),
    "tuple[str, ...]": (list,),
    "tuple[Model, ...]": (list,),
    "Mapping[str, object]": (dict,),
    "Price": (dict,),
    "Budget | None": (dict, type(None)),
}
# Smallest and largest values, where they are not 1 and none.
RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "context": (0, math.inf),
    "key_share": (0.001, 1),
    "probe_interval": (0, math.inf),
    "answer_seconds": (0, math.inf),
    **dict.fromkeys(("body_timeout", "request_timeout", "stop_timeout", "probe_timeout"), (0.001, math.inf)),
}
URL = re.compile(r"https?://[^/?#\s]+(/[^/?#\s]+)*")
# An engine's name is part of its path.
ENGINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NUMBER = re.compile(r"[0-9]{1,6}")
NAME = re.compile(r"[^\s,\x00-\x1f\x7f]{1,256}")


def _values(kind: Any, given: object, where: str) -> dict[str, Any]:
    """The fields of an object, with their types checked."""
    if not isinstance(given, dict):
        raise SettingsError(f"{where} must be an object")
    fields = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise SettingsError(f"{where}: unknown fields {', '.join(unknown)}")
    for name, item in fields.items():
        if name not in given:
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                raise SettingsError(f"{where}: {name} is missing")
            continue
        types = TYPES[str(item.type)]
        if not isinstance(given[name], types) or (isinstance(given[name], bool) and bool not in types):
            raise SettingsError(f"{where}: {name} must be {item.type}, not {given[name]!r}")
        least, most = RANGES.get(name, (1, math.inf))
        if isinstance(given[name], (int, float)) and bool not in types and not least <= given[name] <= most:
            end = "" if most == math.inf else f" and at most {most}"
            raise SettingsError(f"{where}: {name} must be at least {least}{end}, not {given[name]!r}")
    return dict(given)


def _names(values: dict[str, Any], name: str, where: str) -> None:
    if name in values:
        if not all(isinstance(item, str) and item for item in values[name]):
            raise SettingsError(f"{where}: {name} must be a list of names")
        values[name] = tuple(values[name])


def _whole(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"{text[:40]} is too large")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no number that can be sent")
    return value


def parse(text: str) -> Settings:
    """The settings in a file's text; SettingsError for anything that cannot be meant."""
    try:
        document = json.loads(text, parse_int=_whole, parse_float=_number, parse_constant=_number)
        # Half of a pair of surrogates is no text either.
        json.dumps(document, ensure_ascii=False).encode()
    except ValueError as error:
        raise SettingsError(f"not JSON: {error}") from None
    values = _values(Settings, document, "settings")
    for name in ("engines_url", "translator_url"):
        if not URL.fullmatch(values[name]):
            raise SettingsError(f"settings: {name} must be an http address without a path's last slash")
    for name in ("translated_paths", "extra_fields"):
        _names(values, name, "settings")
    if values.get("without_store", "open") not in ("open", "closed"):
        raise SettingsError(f"settings: without_store must be open or closed, not {values['without_store']!r}")
    models: list[Model] = []
    for number, entry in enumerate(values.get("models", ())):
        where = f"models[{number}]"
        fields = _values(Model, entry, where)
        _names(fields, "aliases", where)
        _names(fields, "replicas", where)
        for replica in fields.get("replicas", ()):
            if not NUMBER.fullmatch(replica):
                raise SettingsError(f"{where}: {replica!r} cannot be the number of a replica")
        try:
            for field_, read in (("cost", price), ("budget", budget)):
                if fields.get(field_) is not None:
                    fields[field_] = read(fields[field_])
        except ValueError as error:
            raise SettingsError(f"{where}: {error}") from None
        model = Model(**fields)
        for name in (model.name, *model.aliases):
            if not (ENGINE if name == model.name and not model.translated else NAME).fullmatch(name):
                raise SettingsError(f"{where}: {name!r} cannot be the name of a model")
        models.append(model)
    names = [name for model in models for name in (model.name, *model.aliases)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"models: {', '.join(twice)} stands for more than one model")
    values["models"] = tuple(models)
    return Settings(**values)
