# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys and teams are in force on the gateways, for people and programs.

Pure functions over results of key_info; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table

FORMATS = ("table", "json")
# Columns that a table has; others are there if one of the rows has something in them.
ALWAYS = ("alias", "name", "models")
# What the state of a key is made of, and what a table shows elsewhere.
OF_STATE = ("blocked", "expired", "scope", "team_models")
NO_KEYS = "No keys are in force."


def problems(form: Any) -> list[Problem]:
    """Return what is wrong with the form of a report."""
    if form in FORMATS:
        return []
    return [Problem("format", form, "there is no such form", f"give one of {', '.join(FORMATS)}")]


def text(results: dict[str, Any], form: str) -> str:
    """Return the keys and teams of all gateways as a text, in several parts where gateways do not know the same.

    :param results: results of key_info by gateway, of those that answered.
    :param form: one of :data:`FORMATS`.
    """
    known = {
        host: {"keys": found["client_keys"], "teams": found["teams"]}
        for host, found in sorted(results.items())
        if "client_keys" in found
    }
    if form == "json":
        return json.dumps({"gateways": known}, indent=2, ensure_ascii=False)
    alike: list[tuple[list[str], dict[str, Any]]] = []
    for host, found in known.items():
        equal = next((hosts for hosts, other in alike if other == found), None)
        if equal is None:
            alike.append(([host], found))
        else:
            equal.append(host)
    parts = ["\n".join([f"{', '.join(hosts)}:", *_tables(found)]) for hosts, found in alike]
    if len(alike) > 1:
        parts.append("The gateways do not know the same keys: run site.yml --tags gate for all of them.")
    return "\n\n".join(parts)


def _tables(found: dict[str, Any]) -> list[str]:
    """Return a table of keys, and one of teams if there are any."""
    keys = [{**one, "models": _allowed(one), "state": _state(one)} for one in found["keys"]]
    teams = [{**one, "models": one["models"] or ["all"]} for one in found["teams"]]
    return [_table(keys) if keys else NO_KEYS, *(["", _table(teams)] if teams else [])]


def _allowed(key: dict[str, Any]) -> list[str]:
    """Return the models that a key may use: of its own, those of its team. Aliases are shown as they are written."""
    if key["scope"] != "inference":
        return ["none"]
    own, its = key["models"], key["team_models"]
    if own and its:
        return [name for name in own if name in its] or [f"{name} (if its team may)" for name in own]
    return own or its or ["all"]


def _state(key: dict[str, Any]) -> str:
    states = [name for name in ("blocked", "expired") if key[name]]
    return ", ".join(states) or ("in force" if key["scope"] == "inference" else f"{key['scope']} only")


def _table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if name not in OF_STATE]
    heads = [name for name in names if name in ALWAYS or any(row.get(name) not in (None, [], "", 0) for row in rows)]
    return table(([_cell(row.get(name)) for name in heads] for row in rows), heads)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    return "-" if value is None else str(value)
