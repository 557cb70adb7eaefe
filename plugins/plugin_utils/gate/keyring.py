# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's file of keys: their SHA-256 sums with the rights of each key. The keys themselves stay on the control
node.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.client_keys import METRICS

SECRET_FIELDS = ("key", "sha256")


def entry(key: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a key in the file: its limits and the sum of its value."""
    fields = {name: key[name] for name in sorted(key) if name not in SECRET_FIELDS and key[name] not in (None, "", [])}
    return {**fields, "sha256": hashlib.sha256(str(key["key"]).encode()).hexdigest()}


def keyring(keys: list[dict[str, Any]], metrics_key: str) -> dict[str, list[dict[str, Any]]]:
    """Return the whole file: every client's key, and the one of Prometheus, which opens /metrics and nothing else.

    :param keys: ``gate_keys_resolved``.
    :param metrics_key: value of the key of Prometheus.
    """
    own = {"alias": METRICS, "key": metrics_key, "scope": "metrics"}
    return {"keys": [entry(key) for key in [*keys, own]]}
