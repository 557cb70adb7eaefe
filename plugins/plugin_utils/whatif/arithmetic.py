# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of a planned instance, line by line, each with a value and a unit. Pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import GIB, MARGIN_SHARE, MIB
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes

WEIGHTS = {
    "headers": "of the headers of its files",
    "index": "of the index of its files",
    "size": "of the sizes of its files",
    "published": "as published",
    "config": "estimated from the shapes in its config.json",
    "given": "given as weights_gib",
}
PARTS = (
    ("activation", "activations", "estimated for a full step of max_num_batched_tokens and max_num_seqs"),
    ("cuda_graphs", "CUDA graphs", "estimated"),
    ("other", "other", "estimated"),
)


def lines(one: dict[str, Any], weights_source: str) -> list[dict[str, Any]]:
    """Return the arithmetic of each card of an instance as `{what, value, unit, why}`.

    :param one: an instance of a plan.
    :param weights_source: where the bytes of the weights come from, as `model_info` names it.
    """
    memory, card = one["memory"], cards.find(one["product_name"])
    total, context = memory["total"], context_bytes(one, memory["total"])
    found: list[tuple[str, float, str, str]] = []
    if card is not None:
        found.append(("memory of the card", card.memory_mib, "MiB", "as nvidia-smi reports it"))
        kept = card.memory_mib * MIB - total
        found.append(
            ("kept by the driver", round(kept / MIB), "MiB", "reserved memory, or 1.5 % where it is not known")
        )
    found.append(("total", _gib(total), "GiB", "what CUDA calls the total"))
    found.append(("CUDA context", _gib(context), "GiB", "CUDA, NCCL and cuBLAS, which the engine does not count"))
    why = WEIGHTS.get(weights_source, WEIGHTS["headers"])
    found.append(("weights", _gib(memory["weights"]), "GiB", f"share of each card, {why}"))
    found += [(name, _gib(memory[part]), "GiB", text) for part, name, text in PARTS]
    found.append(("KV cache", _gib(memory["kv_cache"]), "GiB", "what its blocks take"))
    found.append(("margin", _gib(memory["margin"]), "GiB", "what the estimates may be exceeded by"))
    free = f"{MARGIN_SHARE:.0%} of the total that stays free, and what no instance can use"
    found.append(("unused", _gib(memory["headroom"] - memory["margin"]), "GiB", free))
    found += _cache(one)
    return [dict(zip(("what", "value", "unit", "why"), line)) for line in found]


def _gib(count: int) -> float:
    return round(count / GIB, 2)


def _cache(one: dict[str, Any]) -> list[tuple[str, float, str, str]]:
    """Return the lines about the KV cache, none for models without one."""
    blocks, size = int(one["kv_cache_blocks"] or 0), int(one["memory"]["kv_cache"])
    if not blocks or not one["kv_cache_tokens"]:
        return []
    tokens = int(one["kv_cache_tokens"])
    return [
        ("blocks", blocks, "blocks", "of the KV cache, on each card"),
        ("size of a block", round(size / blocks / 1024, 1), "KiB", f"of {one['block_size']} tokens, on each card"),
        ("KV cache of a token", round(size / tokens / 1024, 2), "KiB", "on each card, on average"),
        ("tokens", tokens, "tokens", "that the KV cache holds"),
        ("context", int(one["max_model_len"]), "tokens", "of one request, prompt and answer"),
        ("requests at once", round(one["max_concurrency"], 1), "requests", "of the full context"),
    ]
