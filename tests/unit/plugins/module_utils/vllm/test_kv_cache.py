# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of the KV cache against what vLLM 0.33 answered for 13 models, and its rules one by one.

data/kv_cache/vllm-0.33.json holds vLLM's answers with the defaults of `vllm serve` on an H100: per case its layers, its
groups (type, layers, block size, page, blocks at the longest context) and, per size of the cache, length, blocks,
tokens and concurrency, first with `--max-model-len auto`, then at 8192; data/kv_cache/configs.json the models' configs.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kv_cache, kv_groups
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import (
    GeometryError,
    geometry,
    rank_weight_bytes,
    tensor_parallel_allowed,
)
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data" / "kv_cache"
CONFIGS: dict[str, Any] = json.loads((DATA / "configs.json").read_text())
CASES: list[dict[str, Any]] = json.loads((DATA / "vllm-0.33.json").read_text())
FACTS = {model: describe(config) for model, config in CONFIGS.items()}
GIB = 1 << 30


def named(case: dict[str, Any]) -> str:
    return f"{case['model']}-tp{case['tp']}-{case['kv_cache_dtype']}"


def cached(case: dict[str, Any]) -> kv_cache.Geometry:
    return geometry(
        FACTS[case["model"]],
        tensor_parallel_size=case["tp"],
        dtype=case["dtype"],
        kv_cache_dtype=case["kv_cache_dtype"],
        max_num_batched_tokens=case["max_num_batched_tokens"],
        release=(0, 33),
    )


def facts_of(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    count = sum(layer["count"] for layer in layers)
    return {
        "layers": list(layers),
        "num_hidden_layers": count,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        **more,
    }


def attention(
    count: int, heads: int = 8, width: int = 128, kind: str = "full_attention", **more: Any
) -> dict[str, Any]:
    return {"type": kind, "count": count, "num_kv_heads": heads, "head_size": width, "head_size_v": width, **more}


def laid_out(facts: dict[str, Any], **more: Any) -> kv_cache.Geometry:
    given_ = {"tensor_parallel_size": 1, "dtype": "bfloat16", "max_num_batched_tokens": 8192, **more}
    return geometry(facts, **given_)


ANSWERED = [case for case in CASES if not case.get("refused")]
WITH_CACHE = [case for case in ANSWERED if "groups" in case]


def test_no_case_is_left_out() -> None:
    assert len(CASES) == 60
    assert len(ANSWERED) == 57
    assert len(WITH_CACHE) == 53


@pytest.mark.parametrize("case", [case for case in CASES if case.get("refused")], ids=named)
def test_what_vllm_refuses_is_refused(case: dict[str, Any]) -> None:
    assert not tensor_parallel_allowed(FACTS[case["model"]], case["tp"])
    with pytest.raises(GeometryError, match=f"tensor_parallel_size {case['tp']} does not divide this model"):
        cached({**case, "dtype": "bfloat16", "max_num_batched_tokens": 8192})


@pytest.mark.parametrize("case", ANSWERED, ids=named)
def test_the_config_gives_vllms_lengths_and_buffers(case: dict[str, Any]) -> None:
    facts = FACTS[case["model"]]
    assert tensor_parallel_allowed(facts, case["tp"])
    assert facts["max_position_embeddings"] == case["max_model_len"]
    assert facts["buffer_bytes"] == pytest.approx(case["buffer_bytes"], rel=2e-4)
    assert [layer["count"] for layer in facts["layers"]] == [layer["count"] for layer in case["layers"]]


@pytest.mark.parametrize("case", WITH_CACHE, ids=named)
def test_layers_groups_and_results_are_vllms(case: dict[str, Any]) -> None:
    layout = cached(case)
    facts = FACTS[case["model"]]
    assert layout.block_size == case["block_size"]

    pages = {group.kind: (group.block_size, group.page_size) for group in layout.groups}
    for mine, layer in zip(facts["layers"], case["layers"]):
        assert mine["type"] == layer["type"]
        kind = "full_attention" if mine["type"] == "mla" else mine["type"]
        assert pages[kind] == (layer["block_size"], layer["page"])
        if mine["type"] == "linear_attention":
            assert kv_groups.state_bytes(mine, case["tp"], case["dtype"]) == layer["state_bytes"]
        elif mine["type"] == "mla":
            assert mine["kv_lora_rank"] + mine["qk_rope_head_dim"] == layer["head_size"]
        else:
            assert kv_groups.heads_on_rank(mine["num_kv_heads"], case["tp"]) == layer["num_kv_heads"]
            for field in ("head_size", "head_size_v"):
                assert mine[field] == layer[field]
        for field in ("sliding_window", "attention_chunk_size"):
            assert mine.get(field) == layer.get(field)

    length = case["max_model_len"]
    groups = [
        [
            "mla" if facts["layers"][0]["type"] == "mla" else group.kind,
            group.layers,
            group.block_size,
            group.page_size,
            layout._replace(terms=((group.kind, group.block_size, group.span, 1),)).blocks_for(length),
        ]
        for group in layout.groups
    ]
    assert groups == case["groups"]
    assert layout.blocks_for(length) == sum(group[-1] for group in case["groups"])
    assert layout.bytes_per_block == case["bytes_per_block"]
    assert layout.bytes_to_start(length) == case["bytes_to_start"]

    for available, auto, at_8192 in case["results"]:
        assert layout.longest(available, length) == auto[0]
        for asked, *answer in (auto, at_8192):
            assert list(layout.capacity(available, asked).values()) == answer
            assert layout.fits(available, asked)


@pytest.mark.parametrize("case", [case for case in ANSWERED if "groups" not in case], ids=named)
def test_an_encoder_needs_no_cache(case: dict[str, Any]) -> None:
    layout = cached(case)
    assert layout.groups == ()
    assert layout.bytes_per_block == layout.bytes_to_start(2048) == layout.num_blocks(GIB) == 0
    assert layout.fits(0, 2048)
    assert layout.longest(0, 2048) == 2048
    assert layout.capacity(GIB, 2048) == {"kv_cache_blocks": 0, "kv_cache_tokens": 0, "max_concurrency": 0.0}


@pytest.mark.parametrize("case", ANSWERED, ids=named)
def test_weights_of_a_rank(case: dict[str, Any]) -> None:
    whole = next(other for other in ANSWERED if other["model"] == case["model"] and other["tp"] == 1)
    facts = {**FACTS[case["model"]], "weight_bytes": whole["weight_bytes"]}
    assert rank_weight_bytes(facts, case["tp"]) == pytest.approx(case["weight_bytes"], rel=0.02)


def test_weights_of_pipeline_stages_and_of_copied_heads() -> None:
    llama = {**FACTS["Llama-3.1-8B-Instruct"], "weight_bytes": 16_060_522_496}
    embedding = 128_256 * 4096 * 2
    body = llama["weight_bytes"] - 2 * embedding
    assert rank_weight_bytes(llama, 1, 2) == pytest.approx(body / 2 + embedding, rel=1e-9)
    assert rank_weight_bytes(llama, 1, 3) == pytest.approx(body * 11 / 32 + embedding, rel=0.04)
    # Eight KV heads on sixteen ranks: each holds one whole, so half of them twice.
    assert rank_weight_bytes(llama, 16) - llama["weight_bytes"] / 16 > 32 * 4096 * 256 * 2 * 0.5
    tied = {**FACTS["Qwen3-0.6B"], "weight_bytes": 1_192_099_840}
    # Both ends of the pipeline hold a tied embedding.
    assert sum((rank_weight_bytes(tied, 1, 2),) * 2) == pytest.approx(1_192_099_840 + 151_936 * 1024 * 2, rel=1e-9)
    for bad in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="both must be at least 1"):
            rank_weight_bytes(tied, *bad)
    with pytest.raises(ValueError, match="weight_bytes is missing"):
        rank_weight_bytes({**tied, "weight_bytes": None}, 1)


def test_the_null_block_decides() -> None:
    layout = laid_out(facts_of(attention(32)))
    assert layout.bytes_per_block == 32 * 16 * 8 * 256 * 2
    enough = (8192 // 16 + 1) * layout.bytes_per_block
    assert layout.bytes_to_start(8192) == enough
    assert layout.fits(enough, 8192)
    assert not layout.fits(enough - 1, 8192)
    assert layout.longest(enough - 1, 8192) == 8192 - 16
    assert layout.longest(2 * layout.bytes_per_block - 1, 8192) == 0
    assert layout.longest(enough, 0) == 0
    assert layout.num_blocks(-5) == 0


def test_layers_of_one_type_and_different_widths_are_one_group() -> None:
    layout = laid_out(facts_of(attention(10, heads=8), attention(20, heads=4)))
    assert [(group.layers, group.pages) for group in layout.groups] == [(30, (65536, 32768))]
    assert layout.bytes_per_block == 10 * 65536 + 20 * 32768
    assert layout.blocks_for(1600) == 100


def test_unequal_pages_get_more_tokens_or_padding() -> None:
    window = attention(10, heads=4, kind="sliding_attention", sliding_window=1024)
    more_tokens = laid_out(facts_of(attention(10, heads=8), window))
    assert [(group.block_size, group.page_size) for group in more_tokens.groups] == [(16, 65536), (32, 65536)]
    assert more_tokens.block_size == 16
    padded = laid_out(facts_of(attention(10, heads=8, width=96), window))
    assert [(group.block_size, group.page_size) for group in padded.groups] == [(16, 49152), (16, 49152)]
    latent = {"type": "mla", "count": 10, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    # Latent pages cannot be padded: the windows are kept in full instead, which chunks cannot be.
    kept = laid_out(facts_of(latent, window))
    assert [(group.layers, group.pages) for group in kept.groups] == [(20, (18432, 32768))]
    assert kept.blocks_for(131072) == 131072 // 16
    with pytest.raises(GeometryError, match="cannot give the pages"):
        laid_out(facts_of(latent, attention(10, heads=4, kind="chunked_attention", attention_chunk_size=1024)))
    # Padded to one page, and still two kinds of layers.
    apart = laid_out(facts_of(attention(6, width=96), attention(6, heads=4, width=80), window))
    assert [group.layers for group in apart.groups] == [6, 6, 5, 5]
    assert {group.page_size for group in apart.groups} == {16 * 8 * 192 * 2}


def test_groups_are_as_large_as_the_rarest_kind_or_the_commonest_when_close() -> None:
    window = {"kind": "sliding_attention", "sliding_window": 1024}
    close = laid_out(facts_of(attention(12), attention(13, **window)))
    assert [group.layers for group in close.groups] == [12, 13]
    apart = laid_out(facts_of(attention(12), attention(18, **window)))
    assert [group.layers for group in apart.groups] == [12, 9, 9]
    # A block is as large as the largest group.
    assert close.bytes_per_block == 13 * 65536


def test_a_pipeline_stage_holds_its_layers() -> None:
    facts = facts_of(attention(30))
    assert kv_groups.stages(30, 4) == [(0, 7), (7, 15), (15, 23), (23, 30)]
    assert kv_groups.stages(30, 1) == [(0, 30)]
    layout = laid_out(facts, pipeline_parallel_size=4)
    assert layout.bytes_per_block == 8 * 65536
    assert layout.in_flight_tokens == 5 * 8192
    gemma = FACTS["gemma-3-27b-it"]
    # 31 layers a stage, 26 of them sliding in six groups, so at most five of one group.
    assert laid_out(gemma, pipeline_parallel_size=2).bytes_per_block == 5 * 131072
    # Facts without an order: one kind after the other.
    assert laid_out({**gemma, "layer_order": []}, pipeline_parallel_size=2).bytes_per_block > 5 * 131072


def test_windows_and_chunks_hold_what_is_in_flight() -> None:
    window = attention(10, kind="sliding_attention", sliding_window=1024)
    chunk = attention(10, kind="chunked_attention", attention_chunk_size=8192)
    assert laid_out(facts_of(window)).blocks_for(131072) == math.ceil((1023 + 16384) / 16) + 1
    assert laid_out(facts_of(window)).blocks_for(100) == 7 + 1
    assert laid_out(facts_of(chunk)).blocks_for(131072) == (8192 + 16384) // 16
    # A CPU schedules nothing ahead.
    assert laid_out(facts_of(window), device="cpu").blocks_for(131072) == math.ceil((1023 + 8192) / 128) + 1


def test_block_sizes_of_devices_and_kernels() -> None:
    dense, latent = facts_of(attention(32)), FACTS["DeepSeek-V3"]
    assert laid_out(dense).block_size == 16
    assert laid_out(dense, block_size=32).block_size == 32
    assert laid_out(dense, device="cpu").block_size == 128
    assert laid_out(latent, device="cpu").block_size == 16
    assert laid_out(latent, kv_cache_dtype="fp8").block_size == 64
    assert laid_out(latent, kv_cache_dtype="fp8", compute_capability="12.0").block_size == 16
    assert laid_out(latent, compute_capability="10.0").block_size == 32
    sparse = facts_of(
        {"type": "mla", "count": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
        {"type": "indexer", "count": 61, "head_size": 128},
        num_hidden_layers=61,
        layer_order=[-2] * 61,
    )
    assert laid_out(sparse).bytes_per_block == 61 * 64 * (576 * 2 + 132)
    assert laid_out(sparse, kv_cache_dtype="fp8").bytes_per_block == 61 * 64 * (656 + 132)


def test_the_checkpoint_may_declare_an_fp8_cache() -> None:
    declared = facts_of(attention(32), kv_cache_quantization="fp8")
    half = laid_out(facts_of(attention(32))).bytes_per_block // 2
    assert laid_out(declared).bytes_per_block == half
    assert laid_out(declared, kv_cache_dtype="bfloat16").bytes_per_block == 2 * half
    assert laid_out(facts_of(attention(32)), dtype="float32").bytes_per_block == 4 * half


def test_a_hybrids_block_covers_its_state() -> None:
    qwen = FACTS["Qwen3-Next-80B-A3B-Instruct"]
    assert laid_out(qwen).limits_sequences
    assert not laid_out(facts_of(attention(32))).limits_sequences
    # No checkpoint kernel before Hopper, and none in the pinned release: two states, blocks are multiples of 16 alone.
    for older in (laid_out(qwen, compute_capability="8.0", release=(0, 33)), laid_out(qwen)):
        assert (older.block_size, older.blocks_for(262144)) == (544, 3 * 2 + math.ceil(262144 / 544))
    newer = laid_out(qwen, release=(0, 33))
    assert (newer.block_size, newer.blocks_for(262144)) == (576, 3 * 3 + math.ceil(262144 / 576))
    plain = laid_out(qwen, mamba_cache_mode="none")
    assert (plain.block_size, plain.blocks_for(262144)) == (544, 3 * 1 + math.ceil(262144 / 544))
    assert laid_out(qwen, device="cpu").block_size % 128 == 0
    # A state smaller than a block's page is padded to it.
    small = {"type": "linear_attention", "count": 8, "state": [{"shape": [8, 4, 4], "sharded": 0, "dtype": "float32"}]}
    padded = laid_out(facts_of(attention(8), small))
    assert {(group.block_size, group.page_size) for group in padded.groups} == {(16, 65536)}
    # Of states alone, one block a request.
    assert laid_out(facts_of(small)).blocks_for(100_000) == 1
    latent = {"type": "mla", "count": 8, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    big = {"type": "linear_attention", "count": 24, "state": [{"shape": [32, 128, 128], "sharded": 0, "dtype": None}]}
    assert laid_out(facts_of(latent, big)).block_size % 128 == 0


def test_state_space_groups_are_filled_up_to_the_ranks() -> None:
    state = {
        "type": "linear_attention",
        "kind": "mamba2",
        "count": 27,
        "n_groups": 1,
        "state_size": 256,
        "state": [
            {"shape": [3, 3072 + 2 * 256], "sharded": 1, "dtype": None},
            {"shape": [48, 64, 256], "sharded": 0, "dtype": "float32"},
        ],
    }
    assert kv_groups.state_bytes(state, 1, "bfloat16") == 3 * 3584 * 2 + 48 * 64 * 256 * 4
    assert kv_groups.state_bytes(state, 4, "bfloat16") == 3 * (3072 // 4 + 2 * 256) * 2 + 12 * 64 * 256 * 4
    assert tensor_parallel_allowed(facts_of(attention(4), state), 4)
    # Prefix caching holds two states and a checkpoint of each; a kernel that exports none two.
    hybrid = facts_of(attention(27), state)
    for kind, device, bounded, blocks in (
        ("mamba2", "cpu", False, 3),
        ("kimi_delta_attention", "cuda", True, 3),
        ("kimi_delta_attention", "cuda", False, 2),
        ("kimi_delta_attention", "cpu", True, 2),
        ("mamba1", "cuda", False, 2),
    ):
        kept = {**state, "kind": kind, "bounded": bounded}
        layout = laid_out({**hybrid, "layers": [hybrid["layers"][0], kept]}, device=device)
        assert layout.blocks_for(1) == 1 + blocks
    assert not tensor_parallel_allowed(facts_of(attention(4), state, num_attention_heads=64), 32)
    assert not tensor_parallel_allowed(facts_of(attention(4), {**state, "n_groups": 8}, num_attention_heads=48), 3)


def test_sizes_that_do_not_divide_are_refused() -> None:
    facts = facts_of(attention(32), intermediate_size=14336)
    assert [size for size in range(17) if tensor_parallel_allowed(facts, size)] == [1, 2, 4, 8, 16]
    assert not tensor_parallel_allowed({**facts, "intermediate_size": 14337}, 2)
    assert tensor_parallel_allowed({**facts, "intermediate_size": 14337, "num_experts": 8}, 2)
    assert [size for size in range(1, 9) if tensor_parallel_allowed(FACTS["phi-4"], size)] == [1, 2, 5]
    for name, value in (
        ("tensor_parallel_size", 0),
        ("pipeline_parallel_size", 0),
        ("max_num_batched_tokens", 0),
        ("block_size", 0),
    ):
        with pytest.raises(GeometryError, match=f"{name} is 0: it must be at least 1"):
            laid_out(facts, **{name: value})
    with pytest.raises(GeometryError, match="pipeline_parallel_size 33 is more than the model's 32 layers"):
        laid_out(facts, pipeline_parallel_size=33)
    with pytest.raises(GeometryError, match="dtype int8 is not planned"):
        laid_out(facts, dtype="int8")
    with pytest.raises(GeometryError, match="kv_cache_dtype nvfp4 of a bfloat16 model is not planned"):
        laid_out(facts, kv_cache_dtype="nvfp4")


LAYOUTS = [cached(case) for case in WITH_CACHE]


@given(layout=st.sampled_from(LAYOUTS), available=st.integers(0, 80 * GIB), limit=st.integers(1, 300_000))
def test_the_longest_fits_and_one_more_does_not(layout: kv_cache.Geometry, available: int, limit: int) -> None:
    longest = layout.longest(available, limit)
    assert 0 <= longest <= limit
    assert longest == 0 or layout.fits(available, longest)
    assert longest == limit or not layout.fits(available, longest + 1)


@given(layout=st.sampled_from(LAYOUTS), length=st.integers(1, 300_000), available=st.integers(0, 80 * GIB))
def test_it_starts_when_a_request_and_the_null_block_fit(
    layout: kv_cache.Geometry, length: int, available: int
) -> None:
    assert layout.blocks_for(length) <= layout.blocks_for(length + 1)
    assert layout.fits(available, length) == (layout.num_blocks(available) > layout.blocks_for(length))
    capacity = layout.capacity(available, length)
    if layout.fits(available, length):
        assert capacity["kv_cache_tokens"] >= length


def test_a_planner_may_ask_thousands_of_times() -> None:
    facts = FACTS["gemma-3-27b-it"]
    start = time.process_time()
    for _turn in range(200):
        layout = laid_out(facts)
        layout.capacity(10 * GIB, layout.longest(10 * GIB, 131072))
    # A tenth of a millisecond each; ten times that on a busy machine.
    assert time.process_time() - start < 200 * 0.001
