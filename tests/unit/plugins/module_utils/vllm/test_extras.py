# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What drafters, adapters, offloading and data parallelism change of an instance's memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import drafters, extras, kv_cache
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import geometry
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import rank_weight_bytes

CONFIGS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "kv_cache" / "configs.json").read_text())
GIB = 1 << 30
LLAMA = {**describe(CONFIGS["Llama-3.1-8B-Instruct"]), "weight_bytes": 16_060_522_496}
MOE = {**describe({**CONFIGS["Qwen3-30B-A3B"], "moe_intermediate_size": 768}), "weight_bytes": 61_064_245_248}
DEEPSEEK = {
    **describe({**CONFIGS["DeepSeek-V3"], "moe_intermediate_size": 2048, "first_k_dense_replace": 3}),
    "weight_bytes": 673_150_611_808,
}
HYBRID = {**describe(CONFIGS["Qwen3-Next-80B-A3B-Instruct"]), "weight_bytes": 159_348_784_896}
DRAFT = {**describe(CONFIGS["Qwen3-0.6B"]), "weight_bytes": 1_192_099_840, "parameters": 596_049_920}


def speculative(**config: Any) -> dict[str, Any]:
    return {"speculative-config": config}


def laid_out(facts: dict[str, Any], args: dict[str, Any] | None = None, **more: Any) -> kv_cache.Geometry:
    sizes = {"tensor_parallel_size": 1, "dtype": "bfloat16", "max_num_batched_tokens": 8192, **more}
    return geometry(facts, args=args or {}, **sizes)


@pytest.mark.parametrize(
    ("config", "facts", "method"),
    [
        ({"method": "eagle3", "model": "org/x"}, LLAMA, "eagle3"),
        ({"method": "deepseek_mtp"}, DEEPSEEK, "mtp"),
        ({"method": "qwen3_next_mtp"}, HYBRID, "mtp"),
        ({"num_speculative_tokens": 2}, DEEPSEEK, "mtp"),
        ({"model": "ngram"}, LLAMA, "ngram"),
        ({"num_speculative_tokens": 2}, LLAMA, "ngram"),
        ({"model": "org/EAGLE3-LLaMA3.1-8B"}, LLAMA, "eagle3"),
        ({"model": "org/EAGLE-LLaMA3-8B"}, LLAMA, "eagle"),
        ({"model": "org/medusa-vicuna"}, LLAMA, "medusa"),
        ({"model": "org/Llama-1B"}, LLAMA, "draft_model"),
    ],
)
def test_methods(config: dict[str, Any], facts: dict[str, Any], method: str) -> None:
    assert drafters.of(facts, speculative(**config)).method == method
    # A user may write JSON.
    assert drafters.of(facts, {"speculative-config": json.dumps(config)}).method == method


def test_nothing_is_added_without_a_drafter_or_by_one_without_a_model() -> None:
    assert drafters.of(LLAMA, {}) == drafters.NONE
    assert drafters.of(LLAMA, {"speculative-config": "x"}) == drafters.NONE
    for args in ({}, speculative(method="ngram", num_speculative_tokens=4), speculative(method="suffix")):
        assert laid_out(LLAMA, args) == laid_out(LLAMA)
        assert extras.drafter_bytes(LLAMA, args, 1, "bfloat16") == 0


def test_an_eagle_head_is_one_layer_more() -> None:
    args = speculative(method="eagle3", model="org/EAGLE3-8B", num_speculative_tokens=3)
    assert laid_out(LLAMA, args).bytes_per_block == laid_out(LLAMA).bytes_per_block * 33 // 32
    # EAGLE3-LLaMA3.1-Instruct-8B has 0.8 GiB without the embedding, which it shares.
    assert extras.drafter_bytes(LLAMA, args, 1, "bfloat16") == pytest.approx(0.79 * GIB, rel=0.05)
    # The projection of its inputs is whole on every rank.
    assert extras.drafter_bytes(LLAMA, args, 2, "bfloat16") == pytest.approx(0.44 * GIB, rel=0.02)
    own = {"speculative-config": {**args["speculative-config"], "draft_tensor_parallel_size": 1}}
    assert extras.drafter_bytes(LLAMA, own, 2, "bfloat16") == pytest.approx(0.79 * GIB, rel=0.05)
    # A head for latent attention has plain attention of all heads.
    latent = drafters.of(DEEPSEEK, args).layers
    assert [(layer["type"], layer["num_kv_heads"]) for layer in latent] == [("full_attention", 128)]


@pytest.mark.parametrize(
    ("name", "layers", "width", "gib"),
    [
        ("org/Llama-1B", 16, 64, 2.3),
        ("meta-llama/Llama-3.2-3B-Instruct", 28, 128, 5.98),
        ("Qwen/Qwen3-0.6B", 28, 128, 1.11),
        ("google/gemma-3-1b-it", 26, 256, 1.86),
        # Of others the size is read from the name, and the shape is assumed to be large.
        ("org/drafter-500M", 32, 128, 1.16),
        ("org/some_2B_draft", 32, 128, 4.66),
        ("org/drafter", 32, 128, 14.9),
    ],
)
def test_draft_models_by_name(name: str, layers: int, width: int, gib: float) -> None:
    args = speculative(model=name, num_speculative_tokens=5)
    found = drafters.of(LLAMA, args)
    assert [(entry["count"], entry["head_size"]) for entry in found.layers] == [(layers, width)]
    assert extras.drafter_bytes(LLAMA, args, 1, "bfloat16") == pytest.approx(gib * GIB, rel=0.02)
    assert found.known is not name.startswith("org/") or "Llama" in name


def test_a_draft_model_whose_files_were_read_is_exact() -> None:
    facts = {**LLAMA, "drafter": DRAFT}
    args = speculative(model="org/unknown", num_speculative_tokens=5)
    assert laid_out(facts, args).bytes_per_block == 16 * 2 * 2 * (32 * 8 * 128 + 28 * 8 * 128)
    assert extras.drafter_bytes(facts, args, 1, "bfloat16") == DRAFT["weight_bytes"]
    # It lies on the last stage of a pipeline.
    two = laid_out(facts, args, pipeline_parallel_size=2)
    assert two.bytes_per_block == 16 * 2 * 2 * (16 * 8 * 128 + 28 * 8 * 128)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model": "/srv/models/d"}, ("path:/srv/models/d", None)),
        ({"model": "org/d", "revision": "abc"}, ("hf://org/d", "abc")),
        ({"model": "ngram"}, ("", None)),
        ({"model": "[ngram]"}, ("", None)),
        ({"method": "mtp"}, ("", None)),
        ({}, ("", None)),
    ],
)
def test_where_the_files_of_a_drafter_are(config: dict[str, Any], found: tuple[str, str | None]) -> None:
    assert drafters.source(speculative(**config)) == found


def test_files_of_another_drafter_do_not_count() -> None:
    args = speculative(model="org/d", num_speculative_tokens=5)
    own = {**LLAMA, "drafter": {**DRAFT, "source": "hf://org/d"}}
    other = {**LLAMA, "drafter": {**DRAFT, "source": "hf://org/e"}}
    assert drafters.of(own, args).known
    assert not drafters.of(other, args).known


def test_a_draft_model_has_the_vocabulary_of_its_model() -> None:
    facts = {**LLAMA, "drafter": DRAFT}
    refused = drafters.refusal(facts, speculative(model="/d", num_speculative_tokens=5))
    assert refused is not None
    assert refused[0] == "the draft model /d has 151936 tokens in its vocabulary, the model 128256"
    assert "same family" in refused[1]
    same = {**LLAMA, "drafter": {**DRAFT, "vocab_size": LLAMA["vocab_size"]}}
    assert drafters.refusal(same, speculative(model="/d", num_speculative_tokens=5)) is None
    # Heads of EAGLE have vocabularies of their own.
    assert drafters.refusal(facts, speculative(model="/d", method="eagle3", num_speculative_tokens=5)) is None
    assert drafters.refusal(LLAMA, speculative(model="/d")) is None
    assert drafters.refusal(facts, {}) is None


@pytest.mark.parametrize(
    ("config", "tensor", "words"),
    [
        ({"model": "/d"}, 2, ""),
        ({"model": "/d"}, 3, "TP 3 does not divide the 16 attention heads of the drafter /d"),
        ({"model": "/d", "draft_tensor_parallel_size": 1}, 3, ""),
        ({"model": "/d", "draft_tensor_parallel_size": 2}, 4, "draft_tensor_parallel_size 2 is neither 1 nor TP 4"),
        ({"model": "/d", "method": "mlp_speculator"}, 3, ""),
        ({"method": "mtp"}, 3, ""),
    ],
)
def test_ranks_of_a_drafter(config: dict[str, Any], tensor: int, words: str) -> None:
    facts = {**LLAMA, "drafter": DRAFT}
    assert words in drafters.division_refusal(facts, speculative(**config), tensor)
    assert bool(words) is bool(drafters.division_refusal(facts, speculative(**config), tensor))
    assert drafters.division_refusal(facts, {}, tensor) == ""


@pytest.mark.parametrize(
    ("facts", "layers"),
    [
        (DEEPSEEK, ["mla"]),
        (HYBRID, ["full_attention"]),
        (describe({**CONFIGS["Qwen3-30B-A3B"], "num_nextn_predict_layers": 2}), ["full_attention"]),
    ],
)
def test_layers_for_prediction_attend_as_the_model_does(facts: dict[str, Any], layers: list[str]) -> None:
    found = drafters.of(facts, speculative(method="mtp", num_speculative_tokens=1)).layers
    assert [layer["type"] for layer in found] == layers
    assert found[0]["count"] == max(1, facts["num_nextn_predict_layers"])


def test_layers_for_prediction_of_sparse_and_windowed_models() -> None:
    sparse = {
        **DEEPSEEK,
        "layers": [DEEPSEEK["layers"][0], {"type": "indexer", "head_size": 128, "count": 61}],
        "layer_order": [-2] * 61,
    }
    args = speculative(method="mtp", num_speculative_tokens=1)
    assert [layer["type"] for layer in drafters.of(sparse, args).layers] == ["mla", "indexer"]
    assert laid_out(sparse, args).bytes_per_block == 62 * 64 * (576 * 2 + 132)
    window = {
        "type": "sliding_attention",
        "num_kv_heads": 8,
        "head_size": 192,
        "head_size_v": 128,
        "sliding_window": 128,
    }
    windowed = {**LLAMA, "model_type": "mimo_v2_flash", "layers": [*LLAMA["layers"], {**window, "count": 8}]}
    assert drafters.of(windowed, args).layers == ({**window, "count": 1},)


@pytest.mark.parametrize("tokens", [1, 2, 4])
@pytest.mark.parametrize(("args", "states"), [({}, 2), ({"enable-prefix-caching": False}, 1)])
def test_each_proposed_token_keeps_a_state_and_an_input(tokens: int, args: dict[str, Any], states: int) -> None:
    drafted = laid_out(HYBRID, {**args, **speculative(method="mtp", num_speculative_tokens=tokens)})
    plain = laid_out(HYBRID, args)
    assert plain.blocks_for(1) == 3 * states + 1
    assert drafted.blocks_for(1) == 3 * (states + tokens) + 1
    assert drafted.block_size >= plain.block_size
    # Thirteen layers attend, so that a block grows.
    assert drafted.bytes_per_block > plain.bytes_per_block


def test_a_convolution_keeps_the_proposed_tokens() -> None:
    # vLLM 0.32 takes blocks of 288 tokens instead of 272 for Qwen3-Next on four GPUs with three proposed tokens.
    args = speculative(method="mtp", num_speculative_tokens=3)
    assert laid_out(HYBRID, {}, tensor_parallel_size=4).block_size == 272
    assert laid_out(HYBRID, args, tensor_parallel_size=4).block_size == 288


@pytest.mark.parametrize(
    ("args", "tensor", "gib"),
    [
        ({}, 1, 0),
        ({"enable-lora": False, "max-loras": 8}, 1, 0),
        # 81,920 rows and columns of each of 32 layers, 256 deep, two bytes each: 1.25 GiB a slot. Embedding and output
        # are 0.126 GiB more on every rank.
        ({"enable-lora": True, "max-loras": 1, "max-lora-rank": 256}, 1, 1.376),
        ({"enable-lora": True, "max-loras": 8, "max-lora-rank": 256}, 1, 11.01),
        ({"enable-lora": "true"}, 1, 1.376 / 16),
        ({"enable-lora": True, "max-lora-rank": 256, "lora-dtype": "float32"}, 1, 2.752),
        ({"enable-lora": True, "max-lora-rank": 256}, 2, 0.97),
        ({"enable-lora": True, "max-lora-rank": 256, "fully-sharded-loras": True}, 2, 0.751),
    ],
)
def test_adapters(args: dict[str, Any], tensor: int, gib: float) -> None:
    assert extras.adapter_bytes(LLAMA, args, tensor, 1, "bfloat16") == pytest.approx(gib * GIB, rel=0.01)
    assert extras.adapter_bytes(LLAMA, args, tensor, 2, "bfloat16") == pytest.approx(gib * GIB / 2, rel=0.01)


def test_adapters_of_experts_are_one_for_each() -> None:
    args = {"enable-lora": True, "max-lora-rank": 16}
    per_layer = 3 * (768 + 2048) * 128 + (2048 + 4096) + 2 * (2048 + 512) + (4096 + 2048) + 2048 + 128
    ends = 2 * (151936 + 2048)
    # vLLM 0.32 reserves 1,700,880,768 bytes.
    assert extras.adapter_bytes(MOE, args, 1, 1, "bfloat16") == (48 * per_layer + ends) * 16 * 2 == 1_700_880_384


@pytest.mark.parametrize(
    ("args", "gib"),
    [
        ({}, 0),
        ({"cpu-offload-gb": 8}, 8),
        ({"cpu-offload-gb": "2.5"}, 2.5),
        # Neither embedding nor output are offloaded.
        ({"cpu-offload-gb": 100}, 13.0),
        ({"cpu-offload-gb": 8, "offload-backend": "prefetch"}, 0),
        ({"cpu-offload-gb": 8, "cpu-offload-params": ["mlp"]}, 0),
        # A quarter of the layers is away, and one of them there once more.
        ({"offload-group-size": 8, "offload-num-in-group": 2}, 13.0 / 4 - 13.0 / 32),
        ({"offload-group-size": 8, "cpu-offload-gb": 8}, 13.0 / 8 - 13.0 / 32),
        ({"offload-group-size": 8, "cpu-offload-gb": 8, "offload-backend": "uva"}, 8),
    ],
)
def test_weights_that_stay_on_the_host(args: dict[str, Any], gib: float) -> None:
    found = extras.offloaded_bytes(LLAMA, args, LLAMA["weight_bytes"])
    assert found == pytest.approx(gib * GIB, rel=0.01)


def test_experts_are_spread_over_data_parallel_ranks() -> None:
    experts = 48 * 128 * 3 * 768 * 2048 * 2
    whole = rank_weight_bytes(MOE, 1)
    for ranks in (2, 4, 8):
        assert rank_weight_bytes(MOE, 1, dp=ranks) == pytest.approx(whole - experts * (1 - 1 / ranks), rel=0.001)
    assert rank_weight_bytes(MOE, 2, dp=2) < rank_weight_bytes(MOE, 2)
    # Only experts are: a dense model is copied.
    assert rank_weight_bytes(LLAMA, 1, dp=8) == rank_weight_bytes(LLAMA, 1)
    # Three of DeepSeek's layers have none: 58 x 256 experts of 44 million numbers.
    spread = 58 * 256 * 3 * 7168 * 2048
    whole = rank_weight_bytes(DEEPSEEK, 1)
    assert rank_weight_bytes(DEEPSEEK, 1, dp=8) == pytest.approx(whole - spread * 7 / 8, rel=0.001)


@pytest.mark.parametrize(("ranks", "factor"), [(1, 1), (2, 1), (4, 1), (8, 2), (16, 4)])
def test_experts_of_kimi_linear_are_padded(ranks: int, factor: int) -> None:
    wide = {**MOE, "projections": [{"name": "mlp.experts", "experts": 1024}], "weight_bytes": 90 * 10**9}
    own = 48 * 128 * 3 * 1024 * 2048 * 2 // ranks
    padded = rank_weight_bytes({**wide, "model_type": "kimi_linear"}, ranks) - rank_weight_bytes(wide, ranks)
    assert padded == pytest.approx(own * (factor - 1), rel=1e-6)


@pytest.mark.parametrize(
    ("width", "ranks", "factor"),
    [(768, 1, 1), (768, 4, 4 / 3), (512, 8, 2), (1408, 8, 16 / 11), (1856, 1, 15 / 14.5), (2048, 8, 1)],
)
def test_experts_that_are_not_quantised_are_rounded_up_on_data_centre_blackwell(
    width: int, ranks: int, factor: float
) -> None:
    wide = {**MOE, "projections": [{"name": "mlp.experts", "experts": width}], "weight_bytes": 90 * 10**9}
    own = 48 * 128 * 3 * width * 2048 * 2 / ranks
    on_hopper = rank_weight_bytes(wide, ranks, capability=(9, 0))
    for card in ((10, 0), (10, 3)):
        assert rank_weight_bytes(wide, ranks, capability=card) - on_hopper == pytest.approx(
            own * (factor - 1), abs=1000
        )
    assert rank_weight_bytes(wide, ranks, capability=(12, 0)) == on_hopper
    for other in ({"quantization": "fp8"}, {"model_type": "gemma4"}):
        sized = [rank_weight_bytes({**wide, **other}, ranks, capability=card) for card in ((9, 0), (10, 0))]
        assert sized[0] == sized[1]
    # Whole experts are not cut, so that there is less to round up.
    whole = rank_weight_bytes(wide, ranks, capability=(10, 0), whole_experts=True) - on_hopper
    assert whole == pytest.approx(own * (-(-width // 128) * 128 / width - 1), abs=1000)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_encoders_are_whole_on_every_rank(ranks: int) -> None:
    seeing = {**LLAMA, "uncut_parameters": 500_000_000}
    more = rank_weight_bytes(seeing, ranks) - rank_weight_bytes(LLAMA, ranks)
    assert more == pytest.approx(10**9 * (1 - 1 / ranks), rel=1e-6)


@pytest.mark.parametrize(
    ("number", "width", "hidden", "ranks", "card", "padded", "across"),
    [
        (32, 2880, 2880, 2, (9, 0), 1536, 3072),
        (32, 2880, 2880, 4, (8, 9), 768, 3072),
        (128, 2880, 2880, 8, (10, 0), 384, 3072),
        (32, 2816, 2816, 2, (9, 0), 1408, 2816),
        (64, 1536, 4096, 1, (9, 0), 1536, 4096),
    ],
)
def test_adapters_of_stacked_experts_in_mxfp4(
    number: int, width: int, hidden: int, ranks: int, card: tuple[int, int], padded: int, across: int
) -> None:
    model = {
        **MOE,
        "model_type": "gpt_oss",
        "quantization": "mxfp4",
        "num_experts": number,
        "num_hidden_layers": 24,
        "expert_layers": 24,
        "hidden_size": hidden,
        "layer_order": [0] * 24,
        "projections": [{"name": "mlp.experts", "experts": width}],
    }
    # Gate and up are one matrix, and Marlin's kernels, which take adapters, fill experts up; routers are adapted too.
    columns = 24 * (number * (3 * padded + 2 * across) + hidden + number)
    args = {"enable-lora": True, "max-loras": 4, "max-lora-rank": 64}
    assert extras.adapter_bytes(model, args, ranks, 1, "bfloat16") == columns * 64 * 4 * 2
    plain, adapted = (rank_weight_bytes(model, ranks, 1, card, adapted=there) for there in (False, True))
    # Triton's on Hopper, which take none, fill up to 64.
    assert (adapted > plain) is (card == (9, 0) and (across > hidden or width // ranks % 64 != padded % 64))
