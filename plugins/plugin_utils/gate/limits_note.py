# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the limits of keys, teams and models come to in a fleet with several gateways, each of which counts for itself;
and for which models priorities mean nothing.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import rules
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.client_keys import BY_PRIORITY

LIMITS = ("rpm", "tpm", "max_parallel_requests")


def note(
    keys: list[dict[str, Any]],
    models: list[dict[str, Any]],
    gateways: list[str],
    teams: list[dict[str, Any]] | None = None,
) -> str:
    """Return one line with each limit times the gateways; nothing where it is exact.

    :param keys: ``litellm_keys`` of the inventory.
    :param models: resolved models.
    :param gateways: names of the gateway hosts.
    :param teams: ``llm_teams`` of the inventory.
    """
    count = len(gateways)
    subjects = [(f"key {key.get('alias')}", key) for key in keys if isinstance(key, dict)]
    subjects += [(f"team {team.get('name')}", team) for team in teams or [] if isinstance(team, dict)]
    subjects += [(f"model {model['name']}", model.get("limits") or {}) for model in models]
    reached = [f"{name}: {', '.join(found)}" for name, limits in subjects if (found := _reached(limits, count))]
    if count < 2 or not reached:
        return ""
    return f"Each of the {count} gateways counts limits for itself, so all of them together admit {'; '.join(reached)}."


def _reached(limits: dict[str, Any], count: int) -> list[str]:
    """Return what each limit of a key, a team or a model comes to."""
    given = {name: rules.whole_number(limits.get(name)) for name in LIMITS}
    return [f"{name} {limit * count} ({count} x {limit})" for name, limit in given.items() if limit]


def priorities(models: list[dict[str, Any]], policy: str) -> str:
    """Return one line with the models whose engines do not look at priorities; nothing where nobody has one.

    :param models: ``gate_models``.
    :param policy: the scheduling policy that keys and teams need.
    """
    others = [str(model["name"]) for model in models if not model.get("priorities")]
    if policy != BY_PRIORITY or not others:
        return ""
    names, whose = ", ".join(others), "its" if len(others) == 1 else "their"
    why = f'not all of {whose} engines have the scheduling policy "{BY_PRIORITY}"'
    return f"Priorities of keys mean nothing for {names}: {why}."
