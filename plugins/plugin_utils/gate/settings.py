# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's settings, gate.json: its models, and what the role's variables say. roles/gate/files/gate_settings.py
reads them.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

LIMITS = ("max_parallel_requests", "rpm", "tpm")
# How answers are kept, for a model whose answers are.
ANSWERS = ("answer_seconds", "answer_sampled", "answer_version")


def model(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one model as the gate reads it, without what is not set.

    :param entry: one of ``gate_models``.
    """
    defaults = {name: value for name, value in (entry.get("request_defaults") or {}).items() if value is not None}
    return {
        "name": entry["name"],
        "aliases": list(entry.get("aliases") or []),
        "context": int(entry.get("context") or 0),
        **{name: int(entry[name]) for name in LIMITS if entry.get(name)},
        **({"request_defaults": defaults} if defaults else {}),
        **({"replicas": [str(number) for number in entry["replicas"]]} if entry.get("replicas") else {}),
        **({"priorities": True} if entry.get("priorities") else {}),
        **{name: entry[name] for name in ANSWERS if entry.get("answer_seconds") and entry.get(name)},
        **({"budget": entry["budget"]} if entry.get("budget") else {}),
        **({"cost": cost} if (cost := prices(entry.get("cost") or {})) else {}),
    }


def prices(cost: dict[str, Any]) -> dict[str, str]:
    """Return prices of a token as texts of their exact digits, without those that are not set; none for a model that
    costs nothing.

    A price of cached tokens is kept where it is 0: they cost nothing then.
    """
    given = {name: Decimal(str(value)) for name, value in sorted(cost.items()) if value is not None}
    return {name: f"{value:f}" for name, value in given.items()} if any(given.values()) else {}


def settings(models: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """Return the whole file. It has no secret.

    :param models: ``gate_models``.
    :param values: the file's other fields, and ``other_models``, the names of models that LiteLLM alone serves.
    """
    others = [{"name": str(name), "translated": True} for name in values["other_models"]]
    own = {name: value for name, value in values.items() if name != "other_models"}
    return {**own, "models": [*map(model, models), *others]}


def names(models: list[dict[str, Any]], others: list[str]) -> list[str]:
    """Return every name that a client may ask for."""
    return [name for entry in models for name in (entry["name"], *(entry.get("aliases") or []))] + list(others)
