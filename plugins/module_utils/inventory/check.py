# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check an inventory before anything is touched: every problem, each with host, variable, value and remedy.

Pure functions over dictionaries; no Ansible, no files, no network. What must be measured on a host is in the module
``inventory_check``, what it measures is judged in ``host_check.py``.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys, models
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import schema as model_schema
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest, plain

# Distributions and the leading numbers of their versions.
SUPPORTED: dict[str, list[tuple[int, ...]]] = {"Debian": [(12,), (13,)], "Ubuntu": [(24, 4), (26, 4)]}


def supported_names() -> str:
    """Return the supported distributions in words: ``Debian 12, Debian 13, Ubuntu 24.04, ...``."""
    names = []
    for distribution, versions in SUPPORTED.items():
        for version in versions:
            # Ubuntu writes its month with two digits.
            minor = "".join(f".{number:02d}" for number in version[1:])
            names.append(f"{distribution} {version[0]}{minor}")
    return ", ".join(names)


def version_numbers(version: Any) -> list[int]:
    """Return a version as whole numbers, so that 9 is less than 12 and ``24.04`` is ``24.4``: ``[24, 4]``."""
    numbers = []
    for part in str(version).split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return numbers


def distribution_problems(host: str, distribution: Any, version: Any) -> list[Problem]:
    """Return a problem if the host's distribution is none that the collection is made for."""
    numbers = version_numbers(version)
    if any(tuple(numbers[: len(known)]) == known for known in SUPPORTED.get(str(distribution), [])):
        return []
    value, remedy = f"{distribution} {version}", f"use {supported_names()}"
    return [Problem("ansible_facts.distribution", value, "the distribution is not supported", remedy, host)]


def key_problems(keys: Any, known_models: list[str]) -> list[Problem]:
    """Return the problems of the clients' keys (``litellm_keys``). No message holds a key's value.

    :param known_models: names and aliases of the models that are served.
    """
    entries = plain(keys or [])
    if not isinstance(entries, list):
        return [Problem("litellm_keys", "(hidden)", "a list is needed", "write a list of {alias: ...}")]
    problems: list[Problem] = []
    aliases: dict[str, str] = {}
    values: dict[str, str] = {}
    for index, raw in enumerate(entries):
        alias = raw.get("alias") if isinstance(raw, dict) else None
        label = f"litellm_keys[{alias or index}]"
        if not isinstance(raw, dict):
            problems.append(Problem(label, "(hidden)", "a dictionary is needed", "write {alias: NAME}"))
            continue
        clean, found = model_schema.apply(model_schema.KEY, raw, label, hidden=True)
        problems += found
        if alias is None:
            remedy = "give a name that tells whose it is"
            problems.append(Problem(f"{label}.alias", None, "every key needs it", remedy))
        elif alias in client_keys.INTERNAL:
            problems.append(Problem(f"{label}.alias", alias, "the collection has a key of that name", "choose another"))
        elif str(alias) in aliases:
            remedy = "give every key an alias of its own"
            problems.append(Problem(f"{label}.alias", alias, "another key has it", remedy))
        aliases[str(alias)] = label
        for model in clean.get("models", []):
            if model not in known_models:
                remedy = nearest(model, known_models)
                problems.append(Problem(f"{label}.models", model, "there is no such model", remedy))
        secret = clean.get("value") or clean.get("key")
        if secret is not None and str(secret) in values:
            text = f"{values[str(secret)]} has the same value"
            problems.append(Problem(f"{label}.value", "(hidden)", text, "give every key a value of its own"))
        elif secret is not None:
            values[str(secret)] = label
    return problems


def check(
    raw_models: Any,
    keys: Any = None,
    catalog: Any = None,
    extra: Any = None,
    defaults: Any = None,
    machines: dict[str, dict[str, Any]] | None = None,
) -> list[Problem]:
    """Return every problem of the inventory that can be found without looking at a host.

    :param raw_models: ``llm_models`` as the user wrote it.
    :param keys: ``litellm_keys`` as the user wrote it.
    :param catalog: the shipped catalogue.
    :param extra: the user's own entries of the catalogue.
    :param defaults: ``llm_model_defaults``.
    :param machines: all hosts, each ``{distribution, distribution_version}``; none of them are checked without.
    """
    resolved, problems = models.examine(raw_models, catalog, extra, defaults)
    if raw_models in ([], None):
        remedy = "write what is to be served, e.g. [{name: chat, source: 'demo:'}]"
        problems = [Problem("llm_models", raw_models, "there is no model", remedy)]
    known = [name for model in resolved for name in [model["name"], *model["aliases"]]]
    problems += key_problems(keys, known)
    for host, facts in (machines or {}).items():
        problems += distribution_problems(host, facts.get("distribution"), facts.get("distribution_version"))
    return problems
