# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read single values from a model's `config.json`, which is untrusted input.

Every reader checks type and size: no later arithmetic meets a boolean, a NaN or a number out of all proportion.
"""

from __future__ import annotations

import json
import math
from typing import Any, Mapping, NamedTuple, NoReturn

# Limits are far above every existing model (DeepSeek-V3: 61 layers, 128 heads; Llama 4: 10 million positions) and far
# below values that do harm.
MOST_LAYERS = 10_000
MOST_HEADS = 100_000
MOST_WIDTH = 10_000_000
MOST_TOKENS = 10_000_000_000
# `config.json` nests five deep at most (quantisation schemes of mixed checkpoints).
DEEPEST = 40
MOST_VALUES = 2_000_000


def _whole(value: Any) -> bool:
    # Python counts True and False as numbers; a config does not.
    return isinstance(value, int) and not isinstance(value, bool)


class ConfigError(ValueError):
    """A model's config cannot be used; its text is one sentence with the field, its value and what is needed."""


def shown(value: Any) -> str:
    """Return a value as JSON, cut to a length that fits into a message."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} values"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return f"a number of {value.bit_length()} bits"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def check_shape(config: Any) -> None:
    """Refuse a value that is not an object, is nested too deeply or holds too many values; no recursion is used."""
    if not isinstance(config, dict):
        raise ConfigError(f"config.json holds {shown(config)}: it must be one JSON object.")
    level: list[Any] = [config]
    seen = 0
    for _depth in range(DEEPEST):
        seen += len(level)
        if seen > MOST_VALUES:
            raise ConfigError(f"config.json holds more than {MOST_VALUES} values: this is not the config of a model.")
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise ConfigError(f"config.json nests more than {DEEPEST} levels deep: this is not the config of a model.")


class Values(NamedTuple):
    """One object of the config, and what its model type means where it says nothing."""

    given: Mapping[str, Any]
    path: str = ""
    """Where it stands, e.g. ``text_config.``; starts every field in a message."""
    defaults: Mapping[str, Any] = {}

    def get(self, *names: str) -> Any:
        """Return the first value given under one of the names, else the first default; a null given stays null."""
        for source in (self.given, self.defaults):
            known = False
            for name in names:
                value = source.get(name)
                if value is not None:
                    return value
                known = known or name in source
            if known:
                return None
        return None

    def refuse(self, name: str, needed: str) -> NoReturn:
        """Raise the error about one field."""
        value = self.given.get(name, self.defaults.get(name))
        held = "missing" if value is None else shown(value)
        raise ConfigError(f"config.json: {self.path}{name} is {held}: it must be {needed}.")

    def named(self, *names: str) -> str:
        """Return the name that a value is given under, for messages; the first where none is."""
        return next((name for name in names if self.given.get(name) is not None), names[0])

    def integer(self, *names: str, most: int, least: int = 1) -> int | None:
        """Return a whole number within bounds, or None where the config gives none."""
        value = self.get(*names)
        if value is None:
            return None
        if not _whole(value) or not least <= value <= most:
            self.refuse(self.named(*names), f"a whole number from {least} to {most}")
        return int(value)

    def required(self, *names: str, most: int, least: int = 1) -> int:
        """Return a whole number that no model can do without."""
        value = self.integer(*names, most=most, least=least)
        if value is None:
            self.refuse(names[0], f"a whole number from {least} to {most}")
        return value

    def number(self, *names: str, most: float, least: float = 0.0) -> float | None:
        """Return a finite number within bounds, or None."""
        value = self.get(*names)
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            self.refuse(self.named(*names), f"a number from {least:g} to {most:g}")
        return float(value)

    def text(self, *names: str) -> str | None:
        """Return a text, or None."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(self.named(*names), "a text")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def texts(self, *names: str) -> list[str] | None:
        """Return a list of texts, or None."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.refuse(self.named(*names), "a list of texts")
        return list(value)

    def integers(self, *names: str, most: int, least: int = 0) -> list[int] | None:
        """Return a list of whole numbers within bounds, or None."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, list) or not all(_whole(item) and least <= item <= most for item in value):
            self.refuse(self.named(*names), f"a list of whole numbers from {least} to {most}")
        return list(value)

    def inner(self, name: str) -> Values | None:
        """Return an object inside this one, or None; it has no defaults."""
        value = self.given.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(name, "an object")
        return Values(value, f"{self.path}{name}.")
