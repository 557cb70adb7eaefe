# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put a model's layers into the groups that vLLM allots its KV cache by.

Sources, vLLM 0.32: the `*Spec` classes of `v1/kv_cache_interface.py`, `get_kv_cache_groups` of
`v1/core/kv_cache_utils.py`, `_align_hybrid_block_size` of `platforms/interface.py`.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}
FP8_KV_DTYPES = ("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc")
# An indexer's key is fp8 with one float32 scale for each 128 values.
_INDEXER_SCALE_VALUES = 128

FULL = "full_attention"
SLIDING = "sliding_attention"
CHUNKED = "chunked_attention"
STATE = "linear_attention"
_ATTENDS_TO_ALL = (FULL, "mla", "indexer")


class GeometryError(LayoutError):
    """A model that vLLM cannot lay out; its text is one sentence."""


class Spec(NamedTuple):
    """The cache of one layer; equal specs are one kind of layer."""

    kind: str
    """`full_attention` (latent attention too), `sliding_attention`, `chunked_attention` or `linear_attention`."""
    block_size: int
    """Tokens of one block."""
    page_size: int
    """Bytes of one block of one layer, on one rank."""
    span: int = 0
    """Window or chunk in tokens; for a state the blocks that one request takes."""
    shape: tuple[int, ...] = ()
    """Heads and widths on one rank: layers of another shape are another kind, even with pages of one size."""
    latent: bool = False
    """Whether it keeps latent attention, whose pages cannot be padded."""


class Group(NamedTuple):
    """Layers that share block tables."""

    kind: str
    layers: int
    block_size: int
    page_size: int
    """Bytes of one block of one layer; the largest where they differ."""
    span: int
    pages: tuple[int, ...]
    """The page of each kind of layer in it."""
    members: tuple[tuple[int, ...], ...]
    """The layers of each kind, as places among the layers of the model."""


def kv_bytes(kv_cache_dtype: str, dtype: str, declared: str | None) -> int:
    """Return the bytes of one value in the cache.

    `auto` keeps the model's dtype unless the checkpoint `declared` a scheme of its own. Raises `GeometryError` for a
    dtype whose layout is not planned.
    """
    wanted = declared if kv_cache_dtype == "auto" and declared else kv_cache_dtype
    if wanted in FP8_KV_DTYPES:
        return 1
    size = DTYPE_BYTES.get(dtype if wanted == "auto" else wanted)
    if size is None:
        known = ", ".join(["auto", *FP8_KV_DTYPES, *DTYPE_BYTES])
        raise GeometryError(f"kv_cache_dtype {kv_cache_dtype} of a {dtype} model is not planned: take one of {known}.")
    return size


def heads_on_rank(heads: int, tensor_parallel_size: int) -> int:
    """Return the KV heads of one rank; fewer heads than ranks are copied."""
    return max(1, heads // tensor_parallel_size)


def attention_bytes(layer: Mapping[str, Any], tensor_parallel_size: int, size: int) -> int:
    """Return the bytes that one token takes in one attention layer on one rank."""
    if layer["type"] == "mla":
        return (int(layer["kv_lora_rank"]) + int(layer["qk_rope_head_dim"])) * size
    if layer["type"] == "indexer":
        width = int(layer["head_size"])
        return width + width // _INDEXER_SCALE_VALUES * 4
    heads = heads_on_rank(layer["num_kv_heads"], tensor_parallel_size)
    return heads * (int(layer["head_size"]) + int(layer["head_size_v"])) * size


def _shape(layer: Mapping[str, Any], tensor_parallel_size: int) -> tuple[int, ...]:
    heads = heads_on_rank(layer["num_kv_heads"], tensor_parallel_size)
    return heads, layer["head_size"], layer["head_size_v"]


# States of these kinds keep one convolution input more for each token that a drafter proposes.
_DRAFTED_STATES = ("gated_delta_net", "kimi_delta_attention", "mamba2")


def state_bytes(layer: Mapping[str, Any], tensor_parallel_size: int, dtype: str, drafted: int = 0) -> int:
    """Return the bytes of one request's state in one layer on one rank.

    :param drafted: tokens that a drafter proposes.
    """
    total = 0
    for part in layer["state"]:
        shape = list(part["shape"])
        if part["sharded"] == 1 and layer.get("kind") in _DRAFTED_STATES:
            shape[0] += drafted
        if part["sharded"] == 1 and "n_groups" in layer:
            groups = layer["n_groups"]
            # `extra_groups_for_head_shards`: every rank gets a whole group.
            extra = tensor_parallel_size - groups if groups % tensor_parallel_size else 0
            shape[1] += 2 * extra * layer["state_size"]
        shape[part["sharded"]] //= tensor_parallel_size
        total += math.prod(shape) * DTYPE_BYTES[part["dtype"] or dtype]
    return total


def layer_specs(
    layers: Sequence[Mapping[str, Any]],
    *,
    tensor_parallel_size: int,
    dtype: str,
    size: int,
    block_size: int,
    alignment: int,
    state_blocks: int,
    sparse_bytes: int | None = None,
    drafted: int = 0,
) -> list[Spec]:
    """Return the spec of every entry of `layers`, the block size raised where a state asks for it.

    `alignment` is the number of tokens that a raised block is a multiple of, `state_blocks` what a request takes of
    each state, `sparse_bytes` what a token takes of packed sparse attention, `drafted` the tokens that are proposed.
    """
    attention = [layer for layer in layers if layer["type"] != STATE]
    states = [state_bytes(layer, tensor_parallel_size, dtype, drafted) for layer in layers if layer["type"] == STATE]
    sparse = any(layer["type"] == "indexer" for layer in layers)
    tokens = [
        sparse_bytes
        if sparse and sparse_bytes and layer["type"] == "mla"
        else attention_bytes(layer, tensor_parallel_size, size)
        for layer in attention
    ]
    page = max(states, default=0)
    if page and tokens:
        # A block grows until its page covers the state, which is padded to that page.
        per_token = next(
            (count for layer, count in zip(attention, tokens) if layer["type"] in _ATTENDS_TO_ALL), tokens[0]
        )
        block_size = max(block_size, alignment * -(-page // (alignment * per_token)))
        page = block_size * per_token
    counts = iter(tokens)
    specs = []
    for layer in layers:
        if layer["type"] == STATE:
            specs.append(Spec(STATE, block_size, page, state_blocks))
            continue
        kind = FULL if layer["type"] in _ATTENDS_TO_ALL else layer["type"]
        span = layer.get("sliding_window", layer.get("attention_chunk_size", 0)) if kind != FULL else 0
        latent = layer["type"] in ("mla", "indexer")
        shape = () if latent else _shape(layer, tensor_parallel_size)
        specs.append(Spec(kind, block_size, block_size * next(counts), span, shape, latent))
    return specs


def _unified(specs: Sequence[Spec]) -> list[Spec] | None:
    """Set the page of all layers to the largest: by more tokens in a block where that divides it, else by padding.

    Returns None where neither is possible.
    """
    largest = max(spec.page_size for spec in specs)
    unified = []
    for spec in specs:
        if spec.page_size == largest or spec.kind == STATE:
            unified.append(spec._replace(page_size=largest))
        elif largest % spec.page_size == 0:
            ratio = largest // spec.page_size
            unified.append(spec._replace(page_size=largest, block_size=spec.block_size * ratio))
        elif not spec.latent:
            unified.append(spec._replace(page_size=largest))
        else:
            return None
    return unified


def _one_group(specs: Sequence[Spec], members: Sequence[Sequence[int]]) -> Group:
    first = specs[0]
    pages = tuple(spec.page_size for spec in specs)
    places = tuple(tuple(part) for part in members)
    return Group(first.kind, sum(map(len, places)), first.block_size, max(pages), first.span, pages, places)


def groups_of(specs: Sequence[Spec], members: Sequence[Sequence[int]]) -> list[Group]:
    """Return the groups of a model, each kind of layer with its `members`, the places of its layers.

    Layers that need the same number of blocks are one group. Otherwise all groups get as many layers: those of the
    rarest kind, or of the commonest where that is less than half as many again.
    """
    if not specs:
        return []
    if len({(spec.kind, spec.block_size, spec.span) for spec in specs}) == 1:
        return [_one_group(specs, members)]
    unified = _unified(specs)
    if unified is None:
        if {spec.kind for spec in specs} - {FULL, SLIDING}:
            raise GeometryError("vLLM cannot give the pages of this model's layers one size.")
        # Windows are then kept in full: all layers need the same number of blocks.
        return [_one_group([spec._replace(kind=FULL, span=0) for spec in specs], members)]
    buckets: dict[Spec, list[int]] = {}
    for spec, places in zip(unified, members):
        buckets.setdefault(spec, []).extend(places)
    fewest = min(map(len, buckets.values()))
    most = max(map(len, buckets.values()))
    size = most if most < fewest * 1.5 else fewest
    groups: list[Group] = []
    for spec, places in buckets.items():
        number = -(-len(places) // size)
        groups.extend(_one_group([spec], [sorted(places)[first::number]]) for first in range(number))
    return groups


def bytes_per_block(groups: Sequence[Group], first: int, last: int) -> int:
    """Return the bytes of one block of the pool on the stage that holds the layers from `first` to before `last`."""
    return max(
        (
            sum(
                page * sum(1 for place in places if first <= place < last)
                for page, places in zip(group.pages, group.members)
            )
            for group in groups
        ),
        default=0,
    )


def stages(layers: int, pipeline_parallel_size: int) -> list[tuple[int, int]]:
    """Return first and last-plus-one layer of every pipeline stage (`get_pp_indices`): the rest of an uneven split
    goes to the stages before the last one."""
    parts = [layers // pipeline_parallel_size] * pipeline_parallel_size
    for stage in range(2, layers % pipeline_parallel_size + 2):
        parts[-stage] += 1
    ends = [sum(parts[: stage + 1]) for stage in range(pipeline_parallel_size)]
    return [(end - part, end) for end, part in zip(ends, parts)]
