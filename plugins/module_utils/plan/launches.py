# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What instances are started with beyond the plan's own values: packages, keys, and what holds for all of a host.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import shown

# Digests of which only a difference is told.
WHOLE = {
    "package": "package",
    "key": "its key (fingerprint; it takes one key, so its requests fail until the gateways have the new one)",
}
UNIT = "its unit is written in another way"


def launched(instance: dict[str, Any], told: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an instance with its ``launch``; without news it keeps the one that it has.

    :param told: ``llm_engine_launch`` of its host: by engine, what holds for every instance.
    """
    news = (told or {}).get(registry.of(instance).name)
    return {**instance, "launch": registry.of(instance).launch(instance, news)} if news else instance


def both_known(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether both launches are known. Nobody knows that of an instance which an earlier version started."""
    return bool((old.get("launch") or {}).get("definition") and (new.get("launch") or {}).get("definition"))


def restarts(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether an instance whose launches are known is started with something else."""
    before, after = old["launch"], new["launch"]
    differing = [name for name in ("definition", "unit") if before.get(name) != after.get(name)]
    return bool(differing or _changed_whole(before, after))


def _changed_whole(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return which of package and key differ. What one of them does not know is no difference."""
    return [name for name in WHOLE if before.get(name) and after.get(name) and before[name] != after[name]]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two launches as texts; of environment variables the names alone."""
    before, after = old["launch"], new["launch"]
    found = [f"{WHOLE[name]}: {before[name]} -> {after[name]}" for name in _changed_whole(before, after)]
    for part, label in (("args", "args of all instances, "), ("settings", "")):
        then, now = before.get(part) or {}, after.get(part) or {}
        found += [f"{label}{name}: {_value(then, name)} -> {_value(now, name)}" for name in _changed(then, now)]
    return found + variables(before.get("env") or {}, after.get("env") or {}, "variable of all instances")


def variables(before: Mapping[str, Any], after: Mapping[str, Any], label: str = "variable") -> list[str]:
    """Return which environment variables differ, without their values, which may be secrets."""
    return [f"{label} {name} {_how(before, after, name)}" for name in _changed(before, after)]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    missing = object()
    names = sorted({*before, *after})
    return [name for name in names if before.get(name, missing) != after.get(name, missing)]


def _how(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    if name not in before:
        return "is new"
    return "has another value" if name in after else "is gone"


def _value(values: Mapping[str, Any], name: str) -> str:
    return shown(values[name]) if name in values else "missing"
