# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that clients may name, and the answers of /v1/models."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from gate_settings import Model

OWNER = "llmfleet"
# Clients show it and nobody computes with it; the time of a start would differ between gateways.
CREATED = 1_700_000_000
CREATED_TEXT = "2023-11-14T22:13:20Z"


class Directory:
    """Models by every name that clients may use."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = tuple(models)
        self._by_name = {name: model for model in self.models for name in (model.name, *model.aliases)}

    def find(self, name: str) -> Model | None:
        return self._by_name.get(name)

    def names(self, *allowed: tuple[str, ...]) -> list[str]:
        """Every name that all of these allow, as those of a key and of its team; none by name allow all."""
        items = self._by_name.items()
        return [name for name, model in items if all(may_use(part, name, model) for part in allowed)]

    def listing(self, names: Iterable[str], anthropic: bool) -> bytes:
        """The answer of GET /v1/models."""
        entries = [self._entry(name, anthropic) for name in names]
        if anthropic:
            ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
            return orjson.dumps({"data": entries, "has_more": False, "first_id": None, "last_id": None, **ends})
        return orjson.dumps({"object": "list", "data": entries})

    def entry(self, name: str, anthropic: bool) -> bytes:
        """The answer of GET /v1/models/NAME."""
        return orjson.dumps(self._entry(name, anthropic))

    def _entry(self, name: str, anthropic: bool) -> dict[str, object]:
        model = self._by_name[name]
        if anthropic:
            return {"type": "model", "id": name, "display_name": name, "created_at": CREATED_TEXT}
        entry: dict[str, object] = {"id": name, "object": "model", "created": CREATED, "owned_by": OWNER}
        if model.context:
            # vLLM's name and LiteLLM's; clients look for either.
            entry |= {"max_model_len": model.context, "max_input_tokens": model.context}
        return entry


def may_use(allowed: tuple[str, ...], asked: str, model: Model) -> bool:
    """Whether a key or a team that names these models may use one; its name opens its aliases too."""
    return not allowed or asked in allowed or model.name in allowed
