# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attention kernels ask of a cache, by card: blocks, packed tokens, fp8 below 8.9, states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import flags, kernels, kv_cache, release
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import geometry

REPOSITORY = Path(__file__).parents[5]
LATENT = {"type": "mla", "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}


def attention(width: int = 128, count: int = 8, **more: Any) -> dict[str, Any]:
    kind = {"type": "full_attention", "count": count, "num_kv_heads": 8, "head_size": width, "head_size_v": width}
    return {**kind, **more}


def facts(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    count = sum(layer.get("count", 8) for layer in layers)
    return {
        "layers": [{"count": 8, **layer} for layer in layers],
        "num_hidden_layers": count,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        **more,
    }


def sparse(**more: Any) -> dict[str, Any]:
    indexer = {"type": "indexer", "head_size": 128}
    return {**facts(LATENT, indexer, layer_order=[-2] * 8, **more), "num_hidden_layers": 8}


def laid_out(asked: dict[str, Any], **more: Any) -> kv_cache.Geometry:
    return geometry(asked, **{"tensor_parallel_size": 1, "dtype": "bfloat16", "max_num_batched_tokens": 8192, **more})


def test_the_release_is_the_one_that_is_installed() -> None:
    for kind in ("cuda", "cpu"):
        pins = (REPOSITORY / "roles" / "vllm" / "files" / f"vllm-{kind}.in").read_text()
        assert f"=={release.PINNED[0]}.{release.PINNED[1]}." in pins


@pytest.mark.parametrize(
    ("model", "card", "tokens"),
    [
        # Image masks on data-centre Blackwell have pages of 64 tokens for wide heads, and there alone.
        (facts(attention(256), image_prefix=True), "10.0", 64),
        (facts(attention(256), image_prefix=True), "10.3", 64),
        (facts(attention(128), image_prefix=True), "10.0", 16),
        (facts(attention(256)), "10.0", 16),
        (facts(attention(256), image_prefix=True), "9.0", 16),
        (facts(attention(256), image_prefix=True), "12.0", 16),
        (facts(LATENT), "10.0", 32),
        (facts({**LATENT, "qk_nope_head_dim": 192}), "10.3", 32),
        (facts({**LATENT, "qk_nope_head_dim": 96}), "10.0", 16),
        (facts(LATENT), "8.0", 16),
        (sparse(), "9.0", 64),
        (sparse(), "12.0", 64),
    ],
)
def test_blocks_by_card(model: dict[str, Any], card: str, tokens: int) -> None:
    assert laid_out(model, compute_capability=card).block_size == tokens


@pytest.mark.parametrize(
    ("width", "card", "tokens"), [(512, "9.0", 64), (512, "8.9", 16), (512, "10.0", 16), (256, "9.0", 16)]
)
def test_the_widest_heads_with_an_fp8_cache_on_hopper(width: int, card: str, tokens: int) -> None:
    assert laid_out(facts(attention(width)), kv_cache_dtype="fp8", compute_capability=card).block_size == tokens
    assert laid_out(facts(attention(width)), compute_capability=card).block_size == 16


@pytest.mark.parametrize(
    ("model_type", "card", "asked", "size"),
    [
        ("deepseek_v32", "9.0", "auto", 1152),
        ("deepseek_v32", "9.0", "fp8", 656),
        ("deepseek_v32", "10.0", "auto", 1152),
        ("deepseek_v32", "10.0", "fp8", 576),
        ("deepseek_v32", "12.0", "auto", 656),
        ("deepseek_v32", "12.1", "fp8", 656),
        # GLM 5 takes an fp8 cache by itself there.
        ("glm_moe_dsa", "9.0", "auto", 1152),
        ("glm_moe_dsa", "10.0", "auto", 576),
        ("glm_moe_dsa", "10.3", "bfloat16", 1152),
    ],
)
def test_a_token_of_sparse_attention(model_type: str, card: str, asked: str, size: int) -> None:
    layout = laid_out(sparse(model_type=model_type), kv_cache_dtype=asked, compute_capability=card)
    assert layout.bytes_per_block == 8 * 64 * (size + 132)


@pytest.mark.parametrize(
    ("model", "asked", "card", "part"),
    [
        (facts(attention()), "fp8", (8, 0), ""),
        (facts(attention(64)), "fp8_e5m2", (8, 6), ""),
        (facts(attention(256), attention(count=24, type="linear_attention", state=[])), "fp8", (8, 6), ""),
        (facts(attention(512)), "fp8_e4m3", (8, 7), ""),
        (facts(attention()), "auto", (7, 5), ""),
        (facts(attention(96)), "fp8", (8, 9), ""),
        (facts(attention()), "fp8", (7, 5), "needs compute capability 8.0"),
        (facts(attention(96)), "fp8", (8, 0), "heads of 96 needs compute capability 8.9"),
        (facts(attention(64), attention_sinks=True), "fp8", (8, 0), "attention sinks needs"),
        (facts(attention(256), image_prefix=True), "fp8", (8, 6), "an image mask needs"),
        (facts(LATENT), "fp8", (8, 0), "latent attention needs"),
        (facts(attention(192, head_size_v=128)), "fp8", (10, 0), "differ in width"),
        (facts(attention(192, head_size_v=128)), "fp8", (9, 0), ""),
        (sparse(), "fp8", (9, 0), ""),
        (facts(), "fp8", (8, 0), ""),
        # An encoder keeps no cache, and its backend is asked for the type all the same.
        (facts(encoder_only=True), "fp8", (8, 0), "attention in both directions needs compute capability 8.9"),
        (facts(encoder_only=True), "fp8_e5m2", (8, 6), "attention in both directions needs"),
        (facts(encoder_only=True), "fp8", (8, 9), ""),
        (facts(encoder_only=True), "auto", (8, 0), ""),
    ],
)
def test_an_fp8_cache_that_no_backend_has_is_refused(
    model: dict[str, Any], asked: str, card: tuple[int, int], part: str
) -> None:
    said = kernels.fp8_refusal(model, asked, card, "NVIDIA X")
    assert part in said
    assert bool(part) == bool(said)
    assert "NVIDIA X" in said or not said


def test_sparse_attention_needs_hopper() -> None:
    for card in ((7, 5), (8, 0), (8, 9)):
        said = kernels.refusal(sparse(), card, "NVIDIA X")
        assert said is not None
        assert said[0].startswith(
            f"its sparse attention needs compute capability 9.0, NVIDIA X has {card[0]}.{card[1]}"
        )
        assert "9.0 or newer" in said[1]
        assert kernels.refusal(facts(LATENT), card, "NVIDIA X") is None
    for card in ((9, 0), (10, 0), (12, 1)):
        assert kernels.refusal(sparse(), card, "NVIDIA X") is None


@pytest.mark.parametrize(
    ("args", "blocks"),
    [
        ({}, 2),
        ({"enable-prefix-caching": True}, 2),
        ({"enable-prefix-caching": None}, 2),
        ({"enable-prefix-caching": False}, 1),
        ({"enable-prefix-caching": "false"}, 1),
        ({"no-enable-prefix-caching": True}, 1),
    ],
)
def test_states_without_prefix_caching(args: dict[str, Any], blocks: int) -> None:
    part = {"shape": [8, 4, 4], "sharded": 0, "dtype": "float32"}
    state = {"type": "linear_attention", "kind": "gated_delta_net", "state": [part]}
    hybrid = facts(attention(), state)
    assert laid_out(hybrid, args=args).blocks_for(1) == 1 + blocks
    # Blocks were multiples of 64 with prefix caching alone, in the release that has checkpoints.
    newer = laid_out(hybrid, args=args, release=(0, 33))
    assert newer.blocks_for(1) == 1 + (3 if blocks == 2 else 1)
    assert newer.block_size == (64 if blocks == 2 else 16)
    # Whatever is asked for, a state has no second block where there is nothing but states.
    assert laid_out(facts(state), args=args).blocks_for(1) == 1


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), ("true", True), (False, False), ("False", False), (None, False), (1, True), ("0", False)],
)
def test_switches(value: Any, on: bool) -> None:
    assert flags.switched({"x": value}, "x") is on
    assert not flags.switched({"x": True, "no-x": True}, "x")
    assert flags.switched({}, "x", True)


@pytest.mark.parametrize(
    ("value", "found"),
    [(8, 8.0), ("8.5", 8.5), (None, 0.0), (-1, 0.0), ("nan", 0.0), ("x", 0.0), (True, 1.0), ([], 0.0)],
)
def test_numbers(value: Any, found: float) -> None:
    assert flags.number({"x": value}, "x") == found


@pytest.mark.parametrize(
    ("value", "found"), [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("x", {}), ("[1]", {}), (None, {})]
)
def test_structures(value: Any, found: dict[str, Any]) -> None:
    assert flags.structure({"x": value}, "x") == found
