# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shipped table of what an engine answers about the catalogue's models on common cards, and what a fleet needs.

The table (`plugin_utils/fleet/answers.json`, written by `make answers`) is of one release of one engine. An entry is of
one config with one set of flags: `shape` is the digest of the facts of that config, and each of its `rows` has what the
engine `said` and about which `asked` combinations. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Iterable, Iterator, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import digest, key_of
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device, devices
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import batches

# Facts of where a model was read and how large its files are; an engine that has the config needs none of them.
NO_SHAPE = (
    "config_digest",
    "drafter",
    "encoder_parameters",
    "parameters",
    "revision",
    "source",
    "weight_bytes",
    "weight_bytes_source",
)
# Flags of the server in front of the engine. They change neither what it holds nor what it refuses.
SERVER_FLAGS = (
    "chat-template",
    "enable-auto-tool-choice",
    "exclude-tools-when-tool-choice-none",
    "reasoning-parser",
    "tool-call-parser",
)
# `engine_settings` of a host that starts no instance with flags or variables of its own: the table was asked so.
NO_SETTINGS = hashlib.sha256(json.dumps([{"vllm": {}}, {"vllm": {}}]).encode()).hexdigest()[:12]
RANKS = (1, 2, 4, 8)
# Of answers that are the same for every step of at least this many tokens.
ANY_STEP, LEAST_STEP = "*", 2048


def shape_of(facts: Mapping[str, Any]) -> str:
    """Return the digest by which two models have the same shape, dtype and quantisation."""
    return digest({name: value for name, value in facts.items() if name not in NO_SHAPE})


def flags_of(model: Mapping[str, Any]) -> str:
    """Return the digest of the flags and variables that an entry of the table was asked with."""
    fields = (*registry.of(model).field_flags("cuda"), *SERVER_FLAGS)
    return digest({flag: value for flag, value in model["args"].items() if flag not in fields}, model["env"])


def combination(device: Device, one: Mapping[str, Any], any_step: bool = False) -> str:
    """Return sizes on a card as the table writes them: ``8.9/2/bfloat16/fp8/2048``.

    :param any_step: whether for every step that is long enough.
    """
    step = one["max_num_batched_tokens"]
    written = ANY_STEP if any_step and step >= LEAST_STEP else step
    capability = ".".join(map(str, device.capability))
    return f"{capability}/{one['tensor_parallel_size']}/{one['dtype']}/{one['kv_cache_dtype']}/{written}"


def sizes(model: dict[str, Any], device: Device) -> Iterator[dict[str, Any]]:
    """Yield the sizes with which the plan tries a model on a kind of card, of those that the table can have."""
    engine = registry.of(model)
    for ranks in RANKS:
        for step, sequences in batches(model, device):
            yield {
                "tensor_parallel_size": ranks,
                "dtype": engine.dtype(model["args"], model["facts"], device)[0],
                "kv_cache_dtype": engine.kv_dtype(model["args"], model["facts"], device)[0],
                "max_num_batched_tokens": step,
                "max_num_seqs": sequences,
            }


def kinds(hosts: Mapping[str, Mapping[str, Any]]) -> list[Device]:
    """Return one card of each kind that hosts have."""
    found: dict[Any, Device] = {}
    for facts in hosts.values():
        if facts.get("device") == "cuda" and facts.get("gpu_facts"):
            memory = int((facts.get("cpu") or {}).get("memory_mib") or 0)
            for device in devices(facts["gpu_facts"], [], set(), {}, memory)[0]:
                found.setdefault(device.kind, device)
    return list(found.values())


def answers(
    table: Mapping[str, Any],
    models: Iterable[dict[str, Any]],
    hosts: Mapping[str, Mapping[str, Any]],
    releases: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return the table's answers about models on the cards of hosts, keyed as those that hosts keep.

    :param models: resolved models with their facts.
    :param hosts: inference hosts by name, with ``gpu_facts``, and ``engine_settings`` where they were read.
    :param releases: release by engine. A table of another one says nothing.
    """
    release = str(table["release"])
    if releases.get(table["engine"]) != release:
        return []
    if any(one.get("engine_settings") not in (None, NO_SETTINGS) for one in hosts.values()):
        return []
    entries = {(entry["shape"], entry["flags"]): entry for entry in table["entries"]}
    cards = kinds(hosts)
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        facts = model.get("facts") or {}
        given = facts.get("weight_bytes_source") == "given"
        if given or "layers" not in facts or registry.of(model).name != table["engine"]:
            continue
        entry = entries.get((shape_of(facts), flags_of(model)))
        for one in _about(model, entry, cards, release) if entry else ():
            found.setdefault(repr(sorted(one.items())), one)
    return list(found.values())


def _about(
    model: dict[str, Any], entry: Mapping[str, Any], cards: list[Device], release: str
) -> Iterator[dict[str, Any]]:
    """Yield an entry's answers about a model."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for row in entry["rows"]:
        for asked in row["asked"]:
            known.setdefault(asked, []).append(row["said"])
    for device in cards:
        for one in sizes(model, device):
            wanted = key_of(model, "cuda", device.name, one, release)
            exact, any_step = combination(device, one), combination(device, one, any_step=True)
            for said in known.get(exact) or known.get(any_step) or []:
                yield {**wanted, "sentence": "", **said, "shipped": True}
