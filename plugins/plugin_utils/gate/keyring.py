# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's file of keys: their SHA-256 sums with the rights of each key, and the teams. The keys themselves stay on
the control node.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import schema
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.client_keys import METRICS

SECRET_FIELDS = ("key", "sha256")


def entry(key: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a key in the file: its limits and the sum of its value."""
    fields = {name: key[name] for name in sorted(key) if name not in SECRET_FIELDS and key[name] not in (None, "", [])}
    return {**fields, "sha256": hashlib.sha256(str(key["key"]).encode()).hexdigest()}


def team(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a team in the form that the gate reads. What has no such form stays as it is, and the gate refuses it."""
    clean, _refused = schema.apply(schema.TEAM, raw, "")
    return {name: clean.get(name, raw[name]) for name in sorted(raw) if raw[name] not in (None, "", [])}


def keyring(
    keys: list[dict[str, Any]], metrics_key: str, teams: list[dict[str, Any]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the whole file: every client's key, the one of Prometheus, which opens /metrics and nothing else, and the
    teams, if there are any.

    :param keys: ``gate_keys_resolved``.
    :param metrics_key: value of the key of Prometheus.
    :param teams: ``gate_teams``.
    """
    own = {"alias": METRICS, "key": metrics_key, "scope": "metrics"}
    found = {"keys": [entry(key) for key in [*keys, own]]}
    return {**found, "teams": [team(raw) for raw in teams]} if teams else found
