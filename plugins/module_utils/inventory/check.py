# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check an inventory before anything is changed. Every problem has host, variable, value and remedy.

Pure functions over dictionaries; no Ansible, no files, no network. The module ``host_requirements_info`` measures what
can only be known on a host, and ``host_requirements.py`` judges it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import budgets, key_checks, models
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

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
    """Return a problem if the collection does not support the host's distribution."""
    numbers = version_numbers(version)
    if any(tuple(numbers[: len(known)]) == known for known in SUPPORTED.get(str(distribution), [])):
        return []
    value, remedy = f"{distribution} {version}", f"use {supported_names()}"
    return [Problem("ansible_facts.distribution", value, "the distribution is not supported", remedy, host)]


def check(
    raw_models: Any,
    keys: Any = None,
    catalog: Any = None,
    extra: Any = None,
    defaults: Any = None,
    machines: dict[str, dict[str, Any]] | None = None,
    secrets: dict[str, Any] | None = None,
    teams: Any = None,
    cache: bool = True,
) -> list[Problem]:
    """Return every problem of the inventory that can be found without reading a host.

    :param raw_models: ``llm_models`` as the user wrote it.
    :param keys: ``litellm_keys`` as the user wrote it.
    :param catalog: the shipped catalogue.
    :param extra: the user's own entries of the catalogue.
    :param defaults: ``llm_model_defaults``.
    :param secrets: values of the fleet's own keys by the variables that give them, as far as they are known.
    :param teams: ``llm_teams`` as the user wrote it.
    :param cache: whether gateways share a cache, in which they count budgets.
    :param machines: all hosts, each ``{distribution, distribution_version}``; none of them are checked without.
    """
    resolved, problems = models.examine(raw_models, catalog, extra, defaults)
    if raw_models in ([], None):
        remedy = "write what is to be served, e.g. [{name: chat, source: 'demo:'}]"
        problems = [Problem("llm_models", raw_models, "there is no model", remedy)]
    known = [name for model in resolved for name in [model["name"], *model["aliases"]]]
    problems += key_checks.problems(keys, known, secrets, teams=teams)
    problems += budgets.problems(resolved, keys, teams, cache)
    for host, facts in (machines or {}).items():
        problems += distribution_problems(host, facts.get("distribution"), facts.get("distribution_version"))
    return problems
