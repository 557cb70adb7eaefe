# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says of its engines and its other services: pure functions over what was read of them."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state

SERVING, STARTING, FAILED, STOPPED, UNREACHABLE = "serving", "starting", "failed", "stopped", "unreachable"


def state_of(managed: str, answers: bool, last_kind: str) -> str:
    """Return what a service does.

    :param managed: its state in its manager.
    :param answers: whether its health path answers as it should.
    :param last_kind: the last entry of the ledger for it, ``stop`` if it was stopped on purpose; empty for none.
    """
    if answers:
        return SERVING
    if managed in (service_state.RUNNING, service_state.STARTING):
        return STARTING
    return STOPPED if last_kind == "stop" else FAILED


def drift(started: Mapping[str, str], wanted: Mapping[str, str], managed: str) -> list[str]:
    """Return how the definition on the disk differs from what runs; empty if it does not, or nothing runs.

    :param started: digests of what the running process was started with, empty if not known.
    :param wanted: digests of what it would be started with now, empty if not known.
    """
    if managed != service_state.RUNNING or not wanted:
        return []
    if not started:
        return ["its last start did not come to its end"]
    same = started.get("restart") in (wanted["restart"], wanted["whole"])
    return [] if same else ["files on the disk differ from what runs"]


def sizes(instance: Mapping[str, Any], measured: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the KV cache of an instance, ``{planned, measured}`` with ``bytes`` and ``tokens``; null if not known.

    :param instance: the record of the instance.
    :param measured: what the host measured of its engines.
    """
    own = next((one for one in measured if one.get("instance") == instance["name"]), {})
    seen = own.get("measured") or {}
    return {
        "planned": {
            "bytes": (instance.get("memory") or {}).get("kv_cache"),
            "tokens": instance.get("kv_cache_tokens"),
        },
        "measured": {"bytes": seen.get("kv_cache"), "tokens": seen.get("kv_cache_tokens")},
    }
