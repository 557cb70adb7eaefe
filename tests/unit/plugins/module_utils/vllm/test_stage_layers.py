# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on each pipeline stage: layers of different weight, copies of embedding and output, encoders, drafters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import drafters, extras, interfaces
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import (
    routed_bytes,
    stage_weight_bytes,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.stage_layers import (
    expert_places,
    layer_numbers,
    parts_of,
)

CONFIGS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "kv_cache" / "configs.json").read_text())
DENSE = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 6,
    "intermediate_size": 256,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
MIXED = {
    **DENSE,
    "model_type": "qwen3_moe",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
EMBEDDING = 1000 * 64 * 2


def facts_of(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**describe(config), "weight_bytes": 10_000_000, **more}


@pytest.mark.parametrize(
    ("config", "places"),
    [
        (DENSE, []),
        (MIXED, [0, 1, 2, 3, 4, 5]),
        ({**MIXED, "decoder_sparse_step": 2}, [1, 3, 5]),
        ({**MIXED, "model_type": "deepseek_v3", "first_k_dense_replace": 2}, [2, 3, 4, 5]),
        ({**MIXED, "model_type": "lfm2_moe", "num_dense_layers": 1, "conv_L_cache": 3}, [1, 2, 3, 4, 5]),
        ({**MIXED, "model_type": "ernie4_5_moe", "moe_layer_start_index": 1}, [1, 2, 3, 4, 5]),
    ],
)
def test_where_the_experts_are(config: dict[str, Any], places: list[int]) -> None:
    facts = describe(config)
    assert expert_places(facts) == places
    assert facts["expert_layers"] == len(places)


def test_layers_of_experts_that_are_layers_of_their_own() -> None:
    facts = {**facts_of(MIXED), "model_type": "nemotron_h", "expert_layers": 2, "layer_order": [0, -1, 0, 0, -1, 0]}
    facts["projections"] = [{"name": "mlp.experts", "experts": 32, "matrices": 2}]
    assert expert_places(facts) == [1, 4]
    numbers = layer_numbers(facts)
    assert numbers[1] == numbers[4] == 0.0 < numbers[0]


@pytest.mark.parametrize(
    ("kind", "tied", "copies"),
    [
        ("llama", False, [1, 0, 1]),
        ("llama", True, [1, 0, 1]),
        ("qwen3", False, [1, 0, 1]),
        ("deepseek_v3", False, [1, 0, 1]),
        ("olmoe", False, [2, 2, 2]),
        ("qwen2_moe", False, [2, 2, 2]),
        ("phimoe", False, [2, 2, 2]),
        ("gpt_oss", False, [2, 2, 2]),
        ("qwen3_5_text", False, [1, 1, 2]),
        ("internlm2", False, [1, 1, 2]),
        ("cohere2", True, [1, 1, 1]),
        ("gemma2", True, [1, 1, 1]),
        ("granitemoe", True, [1, 1, 1]),
        # Falcon H1 is of another class than Falcon.
        ("falcon_h1", False, [1, 0, 1]),
    ],
)
def test_copies_of_embedding_and_output(kind: str, tied: bool, copies: list[int]) -> None:
    facts = {**facts_of(DENSE), "model_type": kind, "tie_word_embeddings": tied}
    assert [part.embeddings for part in parts_of(facts, 3)] == copies
    whole = stage_weight_bytes(facts, 1)[0]
    held = stage_weight_bytes(facts, 1, 3)
    assert sum(held) - whole == pytest.approx((sum(copies) - (1 if tied else 2)) * EMBEDDING, abs=4)
    # One stage has both, or the one that is both.
    assert [part.embeddings for part in parts_of(facts, 1)] == [1 if tied else 2]


@pytest.mark.parametrize(("dense", "layers"), [(1, 6), (2, 6), (4, 12)])
def test_a_stage_of_dense_layers_is_lighter(dense: int, layers: int) -> None:
    config = {**MIXED, "model_type": "glm4_moe", "first_k_dense_replace": dense, "moe_intermediate_size": 128}
    config["num_hidden_layers"] = layers
    facts = facts_of(config)
    experts = facts["expert_layers"]
    assert experts == layers - dense
    facts["weight_bytes"] = int(2 * sum(layer_numbers(facts))) + routed_bytes(facts) + 2 * EMBEDDING
    first, last = stage_weight_bytes(facts, 1, 2)
    assert first < last
    assert first + last == pytest.approx(stage_weight_bytes(facts, 1)[0], abs=4)
    assert [round(part.experts * experts) for part in parts_of(facts, 2)] == [layers // 2 - dense, layers // 2]


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("numbers", [100_000, 400_000, 1_000_000])
def test_encoders_are_on_every_stage(ranks: int, numbers: int) -> None:
    facts, seeing = facts_of(DENSE), facts_of(DENSE, encoder_parameters=numbers)
    more = sum(stage_weight_bytes(seeing, ranks, 3)) - sum(stage_weight_bytes(facts, ranks, 3))
    assert more == pytest.approx(2 * numbers * 2 / ranks, rel=0.01)
    assert stage_weight_bytes(seeing, ranks) == stage_weight_bytes(facts, ranks)


def test_uncut_encoders_are_whole_on_every_rank_of_every_stage() -> None:
    facts = facts_of(DENSE, uncut_parameters=500_000, encoder_parameters=500_000)
    plain = facts_of(DENSE, weight_bytes=9_000_000)
    for stage, other in zip(stage_weight_bytes(facts, 4, 2), stage_weight_bytes(plain, 4, 2)):
        assert stage - other == pytest.approx(1_000_000, abs=4)


@pytest.mark.parametrize(
    ("architecture", "tied", "refused"),
    [
        ("LlamaForCausalLM", False, False),
        ("ModernBertModel", False, True),
        ("Gemma3nForConditionalGeneration", True, True),
        ("Zamba2ForCausalLM", True, True),
        ("Mamba2ForCausalLM", False, True),
        ("WhisperForConditionalGeneration", True, True),
        ("Ernie4_5_MoeForCausalLM", True, True),
        ("Ernie4_5_MoeForCausalLM", False, False),
        ("Ernie4_5_VLMoeForConditionalGeneration", True, True),
        ("UnknownForCausalLM", False, False),
    ],
)
def test_models_without_pipelines(architecture: str, tied: bool, refused: bool) -> None:
    facts = {"architectures": [architecture], "tie_word_embeddings": tied}
    assert interfaces.pipeline_refusal(facts, 1) == ""
    said = f"vLLM does not spread {architecture} over pipeline stages" if refused else ""
    assert interfaces.pipeline_refusal(facts, 2) == said


@pytest.mark.parametrize(
    ("architecture", "args", "refused"),
    [
        ("NomicBertModel", {"enable-lora": True}, True),
        ("FalconMambaForCausalLM", {"enable-lora": True}, True),
        ("KimiLinearForCausalLM", {"enable-lora": "true"}, True),
        ("Phi3VForCausalLM", {"enable-lora": True}, True),
        ("Phi3VForCausalLM", {"enable-lora": False}, False),
        ("Phi3VForCausalLM", {}, False),
        ("LlamaForCausalLM", {"enable-lora": True}, False),
    ],
)
def test_models_without_adapters(architecture: str, args: dict[str, Any], refused: bool) -> None:
    said = interfaces.adapters_refusal({"architectures": [architecture]}, args)
    assert (said is not None) is refused
    if said:
        assert architecture in said[0]


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("llama", {"model": "org/Llama-1B"}, "no draft model (org/Llama-1B)"),
        ("qwen3", {"model": "org/Qwen3-0.6B", "method": "draft_model"}, "no draft model"),
        ("llama", {"model": "org/EAGLE-8B", "method": "eagle"}, "no EAGLE head of the first kind (org/EAGLE-8B)"),
        ("qwen3_next", {"method": "mtp"}, "no multi-token prediction of qwen3_next"),
        ("exaone_moe", {"method": "mtp"}, "no multi-token prediction of exaone_moe"),
        ("deepseek_v3", {"method": "mtp"}, ""),
        ("llama", {"model": "org/EAGLE3-8B", "method": "eagle3"}, ""),
        ("llama", {"method": "ngram", "num_speculative_tokens": 3}, ""),
    ],
)
def test_drafters_beside_pipelines(kind: str, config: dict[str, Any], words: str) -> None:
    facts, args = {**facts_of(DENSE), "model_type": kind}, {"speculative-config": config}
    assert drafters.pipeline_refusal(facts, args, 1) == ""
    said = drafters.pipeline_refusal(facts, args, 2)
    assert words in said
    assert bool(said) is bool(words)
    assert drafters.pipeline_refusal(facts, {}, 2) == ""


@pytest.mark.parametrize(
    ("kind", "tied", "config", "copies"),
    [
        ("llama", False, {"model": "org/EAGLE3-8B", "method": "eagle3"}, 1),
        ("llama", True, {"model": "org/EAGLE3-1B", "method": "eagle3"}, 0),
        ("qwen3_moe", False, {"model": "org/EAGLE3-30B", "method": "eagle3"}, 0),
        ("deepseek_v3", False, {"method": "mtp"}, 1),
        ("qwen3_5", False, {"method": "mtp"}, 1),
        ("llama", False, {"method": "ngram", "num_speculative_tokens": 3}, 0),
    ],
)
def test_the_last_stage_holds_an_embedding_for_the_drafter(
    kind: str, tied: bool, config: dict[str, Any], copies: int
) -> None:
    facts = {**facts_of(DENSE), "model_type": kind, "tie_word_embeddings": tied}
    args = {"speculative-config": config}
    for ranks in (1, 2, 4):
        one, two = (extras.drafter_bytes(facts, args, ranks, "bfloat16", stages) for stages in (1, 2))
        assert two - one == copies * EMBEDDING // ranks


@pytest.mark.parametrize("pipeline", [2, 3])
def test_adapters_of_each_stage_are_those_of_its_layers(pipeline: int) -> None:
    args = {"enable-lora": True, "max-lora-rank": 32}
    for config in (DENSE, MIXED, {**MIXED, "model_type": "glm4_moe", "first_k_dense_replace": 2}):
        facts = facts_of(config)
        (whole,) = extras.stage_adapter_bytes(facts, args, 1, 1, "bfloat16")
        assert sum(extras.stage_adapter_bytes(facts, args, 1, pipeline, "bfloat16")) >= whole - 4
        assert extras.stage_adapter_bytes(facts, {}, 1, pipeline, "bfloat16") == [0] * pipeline


@pytest.mark.parametrize("name", ["Qwen3-Next-80B-A3B-Instruct", "DeepSeek-V3", "Llama-3.1-8B-Instruct"])
def test_layers_of_published_models_are_compared(name: str) -> None:
    facts = describe(CONFIGS[name])
    numbers = layer_numbers(facts)
    assert len(numbers) == facts["num_hidden_layers"]
    assert min(numbers) > 0
