# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What engines answered when they were asked how an instance would start, and by what an answer is found again.

An answer is a fact: `accepted`, the engine's `sentence` if it refused, and its figures in bytes of each GPU; one of the
table that comes with the collection is `shipped`. It holds for one release of the engine, one config of a model, one
kind of card and one set of flags. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry

# What an answer is found by. `flags` is the digest of args and environment of the model, less the flags that are fields
# of an instance.
KEY = (
    "engine",
    "release",
    "config",
    "product_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "dtype",
    "kv_cache_dtype",
    "max_num_batched_tokens",
    "flags",
)
# Tokens of one step.
STEP = "max_num_batched_tokens"
SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
# The card of instances on processors.
PROCESSORS = "cpu"
# Answers that a host keeps, the newest ones. One takes half a kilobyte.
MOST_ANSWERS = 200


def digest(*values: Any) -> str:
    """Return the digest of values: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key by which two answers are about the same thing."""
    return tuple(entry.get(name) for name in KEY)


def key_of(
    model: Mapping[str, Any], device: str, product_name: str, sizes: Mapping[str, Any], release: str
) -> dict[str, Any]:
    """Return the key of a model with certain sizes on a kind of card.

    :param model: a resolved model with its facts.
    :param device: ``cpu`` or ``cuda``.
    :param sizes: an instance, or the same fields of one that is thought of.
    :param release: release of the engine, as ``0.32.0``.
    """
    engine = registry.of(model)
    fields = engine.field_flags(device)
    args = {flag: value for flag, value in model["args"].items() if flag not in fields}
    return {
        "engine": engine.name,
        "release": release,
        "config": (model.get("facts") or {}).get("config_digest"),
        "product_name": product_name if device == "cuda" else PROCESSORS,
        **{name: int(sizes.get(name) or 1) for name in SIZES},
        "dtype": sizes.get("dtype"),
        "kv_cache_dtype": sizes.get("kv_cache_dtype"),
        "max_num_batched_tokens": sizes.get("max_num_batched_tokens"),
        "flags": digest(args, model["env"]),
    }


def covers(answer: Mapping[str, Any], length: int | None) -> bool:
    """Check whether an answer holds for another context in tokens; null is one that the engine chooses.

    What starts with a context starts with a shorter one, and what is refused is refused with a longer one.
    """
    asked = answer.get("max_model_len")
    if asked is None or length is None:
        return asked is None and length is None
    return bool(length <= asked if answer["accepted"] else length >= asked)


class Answers:
    """The answers of the releases that the fleet is served with."""

    def __init__(self, facts: Iterable[Mapping[str, Any]] = (), releases: Mapping[str, str] | None = None) -> None:
        """Take the answers that count.

        :param facts: answers, those that count more first.
        :param releases: release by engine; answers of another one are left out.
        """
        self.releases = dict(releases or {})
        self._known: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        self._refused: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        self._silent: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for fact in facts:
            if fact.get("accepted") is None:
                self._silent[key(fact)] = fact
            elif self.releases.get(str(fact.get("engine"))) == fact.get("release") and fact.get("config"):
                self._known.setdefault(key(fact), []).append(fact)
                if not fact["accepted"]:
                    self._refused.setdefault(key({**fact, STEP: None}), []).append(fact)

    def __bool__(self) -> bool:
        """Check whether there is any answer."""
        return bool(self._known)

    def release(self, record: Mapping[str, Any]) -> str:
        """Return the release of the engine of a model or an instance; empty where it is not known."""
        return self.releases.get(registry.of(record).name, "")

    def about(self, wanted: Mapping[str, Any], length: int | None) -> Mapping[str, Any] | None:
        """Return the answer that covers a context with these sizes; null where nobody was asked."""
        return next((fact for fact in self._known.get(key(wanted), ()) if covers(fact, length)), None)

    def silence(self, wanted: Mapping[str, Any]) -> str:
        """Return why an engine that was asked about these sizes could not tell; empty where it could or was not."""
        return str(self._silent.get(key(wanted), {}).get("sentence") or "")

    def refused(self, wanted: Mapping[str, Any], length: int) -> Mapping[str, Any] | None:
        """Return the refusal that covers a context of so many tokens with these sizes; null for none.

        Engines refuse steps that are too short, and none that is too long: what is refused with a longer step is
        refused with this one.
        """
        said = self.about(wanted, length)
        if said:
            return None if said["accepted"] else said
        step = int(wanted.get(STEP) or 0)
        longer = self._refused.get(key({**wanted, STEP: None}), ())
        return next((fact for fact in longer if int(fact.get(STEP) or 0) > step and covers(fact, length)), None)

    def figures(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return an answer with the engine's figures for these sizes, whatever the context."""
        found = self._known.get(key(wanted), ())
        return next((fact for fact in found if fact["accepted"] and fact.get("weights")), None)


def merged(new: Iterable[Mapping[str, Any]], earlier: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers to keep: new ones first, each in place of earlier ones that it covers.

    Answers of another release of the same engine are dropped, and so are those that say nothing.
    """
    fresh = [dict(one) for one in new if one.get("accepted") is not None]
    releases = {one["engine"]: one["release"] for one in fresh}
    again = {(key(one), one.get("max_model_len")) for one in fresh}
    kept = [
        dict(one)
        for one in earlier
        if releases.get(one.get("engine"), one.get("release")) == one.get("release")
        and (key(one), one.get("max_model_len")) not in again
    ]
    return (fresh + kept)[:MOST_ANSWERS]
