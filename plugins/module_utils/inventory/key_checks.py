# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the keys of clients, their teams and the fleet's own keys, for the inventory and for the gateway's role. No
message has a key's value.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys, rules, schema
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest, plain

HIDDEN = "(hidden)"
TEAMS = "llm_teams"
# A gateway stores a plain SHA-256 sum of a key, from which a short key could be guessed.
SHORTEST = 16
# A key is sent in a header.
VALUE = re.compile(r"[!-~]+")
REMEDY = "give a long random value, such as the output of openssl rand -hex 24"


def value_problems(variable: str, value: Any) -> list[Problem]:
    """Return the problems of a key's value."""
    text = str(value)
    if isinstance(value, (bool, dict, list)):
        return [Problem(variable, HIDDEN, "a text is needed", REMEDY)]
    if len(text) < SHORTEST:
        return [Problem(variable, HIDDEN, f"it has fewer than {SHORTEST} characters", REMEDY)]
    if not VALUE.fullmatch(text):
        return [Problem(variable, HIDDEN, "it has a space or a character that is not ASCII", REMEDY)]
    return []


def unknown_models(label: str, clean: dict[str, Any], known: list[str]) -> list[Problem]:
    """Return a problem for each model that a key or a team names and that is not served."""
    return [
        Problem(f"{label}.models", model, "there is no such model", nearest(model, known))
        for model in clean.get("models", [])
        if model not in known
    ]


def examine_teams(teams: Any, known_models: Iterable[str], variable: str = TEAMS) -> tuple[list[str], list[Problem]]:
    """Return the names of the teams, and their problems.

    :param teams: ``llm_teams`` as the user wrote it.
    :param known_models: names and aliases of the models that are served.
    """
    entries = plain(teams or [])
    if not isinstance(entries, list):
        return [], [Problem(variable, entries, "a list is needed", "write a list of {name: ...}")]
    names: list[str] = []
    found: list[Problem] = []
    for index, raw in enumerate(entries):
        name = raw.get("name") if isinstance(raw, dict) else None
        label = f"{variable}[{rules.label(name, index)}]"
        clean, problems = schema.apply(schema.TEAM, raw, label)
        found += problems
        if not isinstance(raw, dict):
            continue
        if name is None:
            found.append(Problem(f"{label}.name", None, "every team needs it", "give a name, which keys name as team"))
        elif name in names:
            found.append(Problem(f"{label}.name", name, "another team has it", "give every team a name of its own"))
        names.append(str(name))
        found += unknown_models(label, clean, list(known_models))
    return names, found


class Ring:
    """The keys that were checked so far: no two may have the same alias or the same value."""

    def __init__(
        self, variable: str, known_models: Iterable[str], reserved: Iterable[str], teams: Iterable[str] = ()
    ) -> None:
        self.variable = variable
        self.known_models = list(known_models)
        self.teams = list(teams)
        self.reserved = tuple(reserved)
        self.aliases: set[str] = set()
        self.values: dict[str, str] = {}

    def value(self, variable: str, owner: str, value: Any) -> list[Problem]:
        """Return the problems of a value, and record whose it is."""
        found = value_problems(variable, value)
        if str(value) in self.values:
            text = f"{self.values[str(value)]} has the same value"
            found.append(Problem(variable, HIDDEN, text, "give every key a value of its own"))
        self.values.setdefault(str(value), owner)
        return found

    def alias(self, variable: str, alias: Any) -> list[Problem]:
        """Return the problems of an alias, and record it."""
        found = []
        if alias is None:
            found = [Problem(variable, None, "every key needs it", "give a name that identifies its owner")]
        elif alias in self.reserved:
            found = [Problem(variable, alias, "the collection has a key of that name", "choose another")]
        elif str(alias) in self.aliases:
            found = [Problem(variable, alias, "another key has it", "give every key an alias of its own")]
        self.aliases.add(str(alias))
        return found

    def key(self, index: int, raw: Any, fields: schema.Schema) -> list[Problem]:
        """Return the problems of one key."""
        alias = raw.get("alias") if isinstance(raw, dict) else None
        label = f"{self.variable}[{rules.label(alias, index)}]"
        if not isinstance(raw, dict):
            return [Problem(label, HIDDEN, "a dictionary is needed", "write {alias: NAME}")]
        clean, found = schema.apply(fields, raw, label, hidden=True)
        found += self.alias(f"{label}.alias", alias)
        found += unknown_models(label, clean, self.known_models)
        team = clean.get("team")
        if team is not None and team not in self.teams:
            remedy = nearest(team, self.teams) if self.teams else f"add it to {TEAMS}, or leave it out"
            found.append(Problem(f"{label}.team", team, "there is no such team", remedy))
        if client_keys.given(clean):
            found += self.value(f"{label}.value", label, client_keys.given(clean))
        return found


def problems(
    keys: Any,
    known_models: Iterable[str],
    secrets: dict[str, Any] | None = None,
    resolved: bool = False,
    teams: Any = None,
) -> list[Problem]:
    """Return the problems of the clients' keys, of their teams and of the fleet's own keys.

    :param keys: ``litellm_keys``, or ``gate_keys_resolved``.
    :param known_models: names and aliases of the models that are served.
    :param secrets: values of the fleet's own keys by the variables that give them; empty ones are made later.
    :param resolved: whether the keys have their values already, and those of the collection are among them.
    :param teams: ``llm_teams``.
    """
    variable = "gate_keys_resolved" if resolved else "litellm_keys"
    reserved = [client_keys.METRICS, *(() if resolved else client_keys.INTERNAL)]
    known = list(known_models)
    names, found = examine_teams(teams, known)
    ring = Ring(variable, known, reserved, names)
    for name, value in (secrets or {}).items():
        if value:
            found += ring.value(name, name, value)
    entries = plain(keys or [])
    if not isinstance(entries, list):
        return [*found, Problem(variable, HIDDEN, "a list is needed", "write a list of {alias: ...}")]
    for index, raw in enumerate(entries):
        found += ring.key(index, raw, schema.RESOLVED_KEY if resolved else schema.KEY)
    return found
