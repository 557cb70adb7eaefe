# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether budgets of keys, teams and models can be held: gateways count them together in a cache, by the prices of
models.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import rules
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, plain

NO_CACHE = "there is no cache in which gateways count what was spent"
GIVE_CACHE = "give a host to the group llm_cache, or llm_cache_url, or leave the budget out"
NO_COST = "no model that it is about has a cost, so nothing would ever be spent"
GIVE_COST = "give the models a cost in llm_models, or leave the budget out"


def has_cost(model: dict[str, Any]) -> bool:
    """Return whether a request to a resolved model can cost anything."""
    return any((model.get("cost") or {}).values())


def problems(models: list[dict[str, Any]], keys: Any, teams: Any, cache: bool) -> list[Problem]:
    """Return a problem for each budget that cannot be held.

    :param models: resolved models.
    :param keys: ``litellm_keys`` as the user wrote it.
    :param teams: ``llm_teams`` as the user wrote it.
    :param cache: whether there is a cache that all gateways share.
    """
    teams_by_name = {str(team.get("name")): team for _index, team in _entries(teams)}
    subjects: list[tuple[str, Any, list[dict[str, Any]]]] = []
    for index, key in _entries(keys):
        own = teams_by_name.get(str(key.get("team")), {})
        label = f"litellm_keys[{rules.label(key.get('alias'), index)}]"
        subjects.append((label, key.get("budget"), _usable(models, [key, own])))
    for index, team in _entries(teams):
        subjects.append(
            (f"llm_teams[{rules.label(team.get('name'), index)}]", team.get("budget"), _usable(models, [team]))
        )
    subjects += [(f"llm_models[{model['name']}].limits", model["limits"].get("budget"), [model]) for model in models]
    found = []
    for label, given, usable in subjects:
        if given is not None and not cache:
            found.append(Problem(f"{label}.budget", given, NO_CACHE, GIVE_CACHE))
        if given is not None and not any(map(has_cost, usable)):
            found.append(Problem(f"{label}.budget", given, NO_COST, GIVE_COST))
    return found


def _entries(given: Any) -> Iterable[tuple[int, dict[str, Any]]]:
    """Return what is a dictionary of a list, with its place; other things are refused elsewhere."""
    entries = plain(given or [])
    return [one for one in enumerate(entries) if isinstance(one[1], dict)] if isinstance(entries, list) else []


def _usable(models: list[dict[str, Any]], holders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models that all of these name, by name or alias; none by name are all."""
    lists = [_names(holder.get("models")) for holder in holders]
    return [
        model for model in models if all(not names or names & {model["name"], *model["aliases"]} for names in lists)
    ]


def _names(given: Any) -> set[str]:
    return {given} if isinstance(given, str) else set(map(str, given)) if isinstance(given, list) else set()
