# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of clients and the names of the secrets behind them: pure functions over dictionaries."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import rules, schema

# The collection's own keys, in addition to those of the inventory: the chat page, the last step of site.yml, and
# Prometheus.
CHAT_PAGE, VERIFY, METRICS = "chat-page", "verify", "prometheus"
INTERNAL = (CHAT_PAGE, VERIFY)
KEY_FIELDS = ("models", "rpm", "tpm", "max_parallel_requests", "expires", "team", "priority", "tags", "budget")


# vLLM's scheduling policies, its own default first.
IN_ORDER, BY_PRIORITY = "fcfs", "priority"


def scheduling_policy(keys: Any, teams: Any) -> str:
    """Return the policy by which engines begin waiting requests: by priority where a key or a team has one that is not
    0. What is no list of keys or teams is refused elsewhere, and has none.
    """
    entries = [entry for part in (keys, teams) if isinstance(part, list) for entry in part]
    given = (entry.get("priority") for entry in entries if isinstance(entry, dict))
    return BY_PRIORITY if any(rules.whole_number(value) for value in given) else IN_ORDER


def secret_name(alias: str) -> str:
    """Return the name under which the value of a client's key is kept: letters, digits and underscores.

    Dashes become underscores; an alias with anything else carries a digest too, so that no two share a name.
    """
    plain = re.sub(r"[^A-Za-z0-9]", "_", alias)
    if re.search(r"[^A-Za-z0-9-]", alias):
        plain += "_" + hashlib.sha256(alias.encode()).hexdigest()[:6]
    return f"litellm_key_{plain}"


def given(key: dict[str, Any]) -> Any:
    """Return the value of a key that is set in the inventory, if any."""
    return key.get("value") or key.get("key")


def secret_names(keys: list[dict[str, Any]], fixed: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return every secret the fleet needs, with its kind: the fixed ones and one for each key, with the value that is
    set, if any.

    :param keys: ``litellm_keys`` of the inventory.
    :param fixed: secrets that do not depend on keys, e.g. ``{vllm_api_key: {kind: key}}``.
    """
    found = {secret_name(alias): {"kind": "key"} for alias in INTERNAL}
    for key in keys:
        value = given(key)
        found[secret_name(str(key["alias"]))] = {"kind": "key", **({"given": str(value)} if value else {})}
    return {**fixed, **found}


def resolve_keys(keys: list[dict[str, Any]], secrets: dict[str, str], persons: str = "none") -> list[dict[str, Any]]:
    """Return every key with its value: those of the inventory with their limits, and our own, which have none.

    Limits and dates are in the form that the gateway reads. What has no such form stays as it is, so that the gateway
    refuses it where ``key_checks`` was not asked.

    :param keys: ``litellm_keys`` of the inventory.
    :param secrets: values by the names of :func:`secret_names`.
    :param persons: what names the persons who ask through the chat page, one of ``schema.PERSONS``; all else is none.
        Only the chat page's key may name persons, and nobody else has it.
    """
    resolved = [{"alias": alias, "key": secrets[secret_name(alias)]} for alias in INTERNAL]
    if persons in schema.PERSONS:
        resolved[INTERNAL.index(CHAT_PAGE)]["person"] = persons
    for key in keys:
        alias = str(key["alias"])
        value = str(given(key) or secrets[secret_name(alias)])
        clean, _refused = schema.apply(schema.KEY, key, "")
        limits = {name: clean.get(name, key[name]) for name in KEY_FIELDS if name in key}
        resolved.append({"alias": alias, "key": value, **limits})
    return resolved
