# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vLLM's arithmetic of the KV cache: how many blocks and tokens fit, and how long a context.

Exact: tests/unit/plugins/module_utils/vllm/test_kv_cache.py holds what vLLM 0.33 itself answers. Lengths are in tokens,
sizes in bytes of one rank. Facts of a model are those that ``checkpoint/config.py`` (``describe``) returns.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import drafters, kernels
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import switched, text_only
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import (
    CHUNKED,
    DTYPE_BYTES,
    FULL,
    SLIDING,
    STATE,
    GeometryError,
    Group,
    bytes_per_block,
    groups_of,
    kv_bytes,
    layer_specs,
    stages,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import rank_weight_bytes
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import PINNED, Release

__all__ = ["Geometry", "GeometryError", "geometry", "rank_weight_bytes", "tensor_parallel_allowed"]

# Blocks of hybrids with latent attention are multiples of this (`_align_hybrid_block_size`).
HYBRID_MLA_ALIGNMENT = 128
# Hopper, for which the arithmetic was recorded, is assumed where no card is given.
HOPPER = (9, 0)


class Geometry(NamedTuple):
    """How one rank's KV cache is laid out, for one model with one set of flags."""

    groups: tuple[Group, ...]
    block_size: int
    """Tokens of a block as vLLM reports it: of the attention layers, raised for hybrids."""
    bytes_per_block: int
    """Bytes of one block of the pool, on the pipeline stage that needs most; 0 without a cache."""
    in_flight_tokens: int
    """Tokens that may be scheduled and not settled yet."""
    terms: tuple[tuple[str, int, int, int], ...]
    """Kind, block size, span and number of groups alike: what `blocks_for` adds up."""
    limits_sequences: bool
    """Whether vLLM refuses a `max_num_seqs` above the number of blocks, as it does for models with a state."""

    def blocks_for(self, length: int) -> int:
        """Return the blocks that one request of this length takes."""
        total = 0
        for kind, block, span, number in self.terms:
            if kind == FULL:
                blocks = -(-length // block)
            elif kind == SLIDING:
                # One more, as a window need not start with a block.
                blocks = -(-min(span - 1 + self.in_flight_tokens, length) // block) + 1
            elif kind == CHUNKED:
                blocks = -(-min(span + self.in_flight_tokens, length) // block)
            else:
                blocks = span
            total += number * blocks
        return total

    def bytes_to_start(self, length: int) -> int:
        """Return the least KV memory with which vLLM starts: one request of this length and the null block."""
        return (self.blocks_for(length) + 1) * self.bytes_per_block if self.groups else 0

    def num_blocks(self, available: int) -> int:
        """Return the blocks that so much KV memory makes; 0 without a cache."""
        return max(0, available) // self.bytes_per_block if self.groups else 0

    def fits(self, available: int, length: int) -> bool:
        """Check whether vLLM starts with so much KV memory and this `max_model_len`."""
        return self.bytes_to_start(length) <= available

    def longest(self, available: int, limit: int) -> int:
        """Return the longest `max_model_len` up to `limit` that fits, as vLLM's `auto` finds it; 0 for none."""
        if limit < 1 or not self.fits(available, 1):
            return 0
        if self.fits(available, limit):
            return limit
        low, high = 1, limit
        # `low` fits, `high` does not.
        while high - low > 1:
            middle = (low + high) // 2
            if self.fits(available, middle):
                low = middle
            else:
                high = middle
        return low

    def capacity(self, available: int, length: int) -> dict[str, Any]:
        """Return what vLLM logs at its start: blocks, tokens, and how many requests of this length run at once.

        All are zero for a model without a cache.
        """
        blocks = self.num_blocks(available)
        at_once = blocks / self.blocks_for(length) if self.groups else 0.0
        return {
            "kv_cache_blocks": blocks,
            "kv_cache_tokens": int(at_once * length),
            "max_concurrency": round(at_once, 4),
        }


def _capability(compute_capability: str | None) -> tuple[int, int]:
    """Return a compute capability as numbers."""
    if compute_capability is None:
        return HOPPER
    major, _dot, minor = compute_capability.partition(".")
    return int(major), int(minor or 0)


def _lcm(one: int, other: int) -> int:
    """Return the least common multiple; `math.lcm` came with Python 3.9."""
    product = one * other
    while other:
        one, other = other, one % other
    return product // one


def geometry(
    facts: Mapping[str, Any],
    *,
    tensor_parallel_size: int,
    dtype: str,
    kv_cache_dtype: str = "auto",
    block_size: int | None = None,
    max_num_batched_tokens: int,
    pipeline_parallel_size: int = 1,
    mamba_cache_mode: str | None = None,
    device: str = "cuda",
    compute_capability: str | None = None,
    args: Mapping[str, Any] | None = None,
    release: Release = PINNED,
) -> Geometry:
    """Lay out the KV cache of a model.

    `mamba_cache_mode` is `align` unless given, as vLLM takes it with prefix caching on. `device` is `cuda` or `cpu`;
    without a `compute_capability` Hopper's kernels are assumed. `args` are the model's flags: prefix caching and
    speculative decoding change the cache. `release` is vLLM's. Raises `GeometryError` for a tensor-parallel size that
    the model does not allow, for sizes below one and for a dtype that is not planned.
    """
    if dtype not in DTYPE_BYTES:
        raise GeometryError(f"dtype {dtype} is not planned: take one of {', '.join(DTYPE_BYTES)}.")
    for name, number in (
        ("tensor_parallel_size", tensor_parallel_size),
        ("pipeline_parallel_size", pipeline_parallel_size),
        ("max_num_batched_tokens", max_num_batched_tokens),
        ("block_size", 1 if block_size is None else block_size),
    ):
        if number < 1:
            raise GeometryError(f"{name} is {number}: it must be at least 1.")
    if not tensor_parallel_allowed(facts, tensor_parallel_size):
        raise GeometryError(
            f"tensor_parallel_size {tensor_parallel_size} does not divide this model: it has "
            f"{facts['num_attention_heads']} attention heads and {facts['num_key_value_heads']} key-value heads."
        )
    if pipeline_parallel_size > facts["num_hidden_layers"]:
        raise GeometryError(
            f"pipeline_parallel_size {pipeline_parallel_size} is more than the model's "
            f"{facts['num_hidden_layers']} layers."
        )
    capability = _capability(compute_capability)
    if facts.get("image_prefix") and text_only(args or {}):
        facts = {**facts, "image_prefix": False}
    drafter = drafters.of(facts, args or {})
    layers = [*facts["layers"], *drafter.layers]
    asked = kernels.cache_type(facts, kv_cache_dtype, capability) if device == "cuda" else kv_cache_dtype
    size = kv_bytes(asked, dtype, facts.get("kv_cache_quantization"))
    block = block_size or kernels.block_size(facts, size, device, capability)
    # Every stage has a batch under way; asynchronous scheduling, which CPUs do without, prepares one more.
    in_flight = max_num_batched_tokens * (pipeline_parallel_size + (device != "cpu"))
    states = [layer for layer in layers if layer["type"] == STATE]
    mode = mamba_cache_mode or cache_mode(facts, args or {})
    state_blocks, alignment = kernels.state_blocks(
        (layer.get("kind") for layer in states),
        any(layer.get("bounded") for layer in states),
        mode,
        device,
        capability,
        release,
    )
    if states:
        latent = any(layer["type"] == "mla" for layer in layers)
        alignment = _lcm(max(block, HYBRID_MLA_ALIGNMENT) if latent else block, alignment)
    specs = layer_specs(
        layers,
        tensor_parallel_size=tensor_parallel_size,
        dtype=dtype,
        size=size,
        block_size=block,
        alignment=alignment,
        state_blocks=state_blocks + drafter.tokens,
        sparse_bytes=kernels.sparse_token_bytes(size, capability),
        drafted=drafter.tokens,
    )
    groups = groups_of(specs, _members(facts, drafter.layers))
    terms: dict[tuple[str, int, int], int] = {}
    for group in groups:
        term = (group.kind, group.block_size, group.span)
        terms[term] = terms.get(term, 0) + 1
    return Geometry(
        groups=tuple(groups),
        block_size=max((spec.block_size for spec in specs), default=block),
        bytes_per_block=max(
            bytes_per_block(groups, first, last)
            for first, last in _with_drafter(stages(facts["num_hidden_layers"], pipeline_parallel_size), drafter.layers)
        ),
        in_flight_tokens=in_flight,
        terms=tuple((kind, tokens, span, number) for (kind, tokens, span), number in terms.items()),
        limits_sequences=bool(states),
    )


def cache_mode(facts: Mapping[str, Any], args: Mapping[str, Any]) -> str:
    """Return how states are kept (`MambaModelConfig.verify_and_update_config`): `align` with prefix caching, or `none`.

    A model of states alone has no prefix caching.
    """
    if {layer["type"] for layer in facts["layers"]} == {STATE} or not switched(args, "enable-prefix-caching", True):
        return "none"
    return "align"


def _with_drafter(cuts: list[tuple[int, int]], drafted: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Return the stages with the drafter's layers on the last one."""
    first, last = cuts[-1]
    return [*cuts[:-1], (first, last + sum(layer["count"] for layer in drafted))]


def _members(facts: Mapping[str, Any], drafted: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the places of each kind's layers; facts without an order are taken as one kind after the other.

    The layers of a drafter follow those of the model.
    """
    layers = facts["layers"]
    order = facts.get("layer_order")
    members: list[list[int]] = [[] for _layer in layers]
    if order:
        for place, entry in enumerate(order):
            for part in range(len(layers)) if entry == -2 else (entry,) if entry >= 0 else ():
                members[part].append(place)
    else:
        place = 0
        for part, layer in zip(members, layers):
            part.extend(range(place, place + layer["count"]))
            place += layer["count"]
    place = facts["num_hidden_layers"]
    for layer in drafted:
        members.append(list(range(place, place + layer["count"])))
        place += 0 if layer["type"] == "mla" else layer["count"]
    return members


def tensor_parallel_allowed(facts: Mapping[str, Any], tensor_parallel_size: int) -> bool:
    """Check whether vLLM can distribute the model over so many ranks.

    Attention heads must divide by it, key-value heads and it must divide one another, and so must the heads of a state.
    """
    tp = tensor_parallel_size
    if tp < 1 or facts["num_attention_heads"] % tp:
        return False
    if facts.get("encoder_only") and not _divides(facts["num_key_value_heads"], tp):
        return False
    for layer in facts["layers"]:
        if "num_kv_heads" in layer and not _divides(layer["num_kv_heads"], tp):
            return False
        if layer["type"] == STATE and not _state_divides(layer, tp):
            return False
    # A dense feed-forward layer is cut into equal parts; those of experts are padded.
    intermediate = facts.get("intermediate_size")
    return not (intermediate and not facts.get("num_experts") and intermediate % tp)


def _divides(heads: int, tp: int) -> bool:
    return heads % tp == 0 or tp % heads == 0


def _state_divides(layer: Mapping[str, Any], tp: int) -> bool:
    grouped = "n_groups" in layer
    # Groups are filled up to whole ones per rank, heads are not.
    if grouped and layer["n_groups"] % tp and layer["n_groups"] != 1:
        return False
    return all(part["shape"][part["sharded"]] % tp == 0 for part in layer["state"][1 if grouped else 0 :])
