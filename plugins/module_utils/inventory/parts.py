# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for lists and dictionaries that users write, made of the rules for their parts; every wrong part is refused."""

from __future__ import annotations

import re
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.rules import (
    API_PATH,
    RefusedError,
    Rule,
    anything,
    number,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import nearest


def refusals(rule: Rule, value: Any) -> list[RefusedError]:
    """Return every refusal of a value, each with the part that it is about; none where the value is right."""
    try:
        rule(value)
    except RefusedError as refused:
        return [one.within("", value) for one in refused.every()]
    return []


def _every(parts: Iterable[tuple[str, Rule, Any]], refused: Iterable[RefusedError] = ()) -> list[Any]:
    """Apply rules to parts, ``(way, rule, value)``, and raise the refusals of all of them together."""
    clean, found = [], list(refused)
    for way, rule, value in parts:
        try:
            clean.append(rule(value))
        except RefusedError as error:
            found += [one.within(way, value) for one in error.every()]
    if found:
        found[0].more = found[1:]
        raise found[0]
    return clean


def listing(item: Rule) -> Rule:
    """Return a rule for a list."""

    def rule(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise RefusedError("a list is needed", "write a list, such as [a, b], or [] for none")
        return _every((f"[{index}]", item, entry) for index, entry in enumerate(value))

    return rule


def some(item: Rule) -> Rule:
    """Return a rule for a list that is not empty."""

    def rule(value: Any) -> list[Any]:
        if value == []:
            raise RefusedError("it is empty", "name at least one, or remove the line to get the default")
        return list(listing(item)(value))

    return rule


API_PATHS = some(API_PATH)


def mapping(item: Rule = anything, names: re.Pattern[str] | None = None) -> Rule:
    """Return a rule for a dictionary of values that all have the same rule.

    :param names: the form of its keys, which are names of environment variables.
    """

    def rule(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise RefusedError("a dictionary is needed", "write it as {NAME: VALUE}")
        remedy = "use letters, digits and underscores, and no digit first"
        wrong = [
            RefusedError("this is not a valid name of an environment variable", remedy, f"[{name}]", "(hidden)")
            for name in value
            if names and not names.fullmatch(str(name))
        ]
        return dict(zip(value, _every(((f"[{name}]", item, entry) for name, entry in value.items()), wrong)))

    return rule


def record(fields: dict[str, Rule], required: tuple[str, ...] = ()) -> Rule:
    """Return a rule for a dictionary of known keys; a key whose value is null counts as not given."""

    def rule(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise RefusedError("a dictionary is needed", "its keys are " + ", ".join(sorted(fields)))
        wrong = [
            RefusedError("there is no such key", nearest(str(name), fields), f".{name}", value[name])
            for name in value
            if name not in fields
        ]
        wrong += [
            RefusedError("it is needed", f"give {name} a value", f".{name}")
            for name in required
            if value.get(name) is None
        ]
        given = {name: entry for name, entry in value.items() if entry is not None and name in fields}
        return dict(zip(given, _every(((f".{name}", fields[name], entry) for name, entry in given.items()), wrong)))

    return rule


# Of models, in seconds.
TARGETS = mapping(
    record(dict.fromkeys(("first_token_seconds", "token_seconds", "queue_seconds"), number(0, whole=False)))
)
