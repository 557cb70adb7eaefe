# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM refuses of data types, quantisations and sizes of tensor parallelism, and what weights become at load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import divisions, dtypes, quantization
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import loaded, rank_weight_bytes
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import GPT_OSS

GIB = 1024**3
DENSE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
MOE = {
    **DENSE,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
}
BLOCKS = {"quant_method": "fp8", "weight_block_size": [128, 128]}


class Card(NamedTuple):
    name: str
    capability: tuple[int, int]
    total: int = 24 * GIB


T4, A100, L4, H100 = Card("T4", (7, 5)), Card("A100", (8, 0)), Card("L4", (8, 9)), Card("H100", (9, 0))
B200, RTX5090 = Card("B200", (10, 0)), Card("RTX 5090", (12, 0))


PROCESSORS_RUN = "choose a variant in awq, gptq or compressed-tensors, or the model without quantisation"


def facts(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return describe({**config, **more})


def quantized(config: dict[str, Any], method: str, **more: Any) -> dict[str, Any]:
    return facts(config, quantization_config={"quant_method": method, **more})


def ways(config: dict[str, Any], args: dict[str, Any] | None = None, most: int = 8) -> list[int]:
    return [ranks for ranks in range(1, most + 1) if not divisions.refusal(config, args or {}, ranks)]


def test_the_rules_are_those_of_the_pinned_release() -> None:
    lock = Path(__file__).parents[5] / "roles" / "vllm" / "files" / "vllm-cuda.in"
    pinned = re.search(r"^vllm==(\d+\.\d+)\.", lock.read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned.group(1) == quantization.RELEASE


@pytest.mark.parametrize(
    ("config", "args", "card", "dtype"),
    [
        # No dtype at all, as gpt-oss and some MiniMax are published.
        (GPT_OSS, {}, H100, "bfloat16"),
        (GPT_OSS, {}, L4, "bfloat16"),
        (DENSE, {}, A100, "bfloat16"),
        (DENSE, {}, T4, "float16"),
        ({**DENSE, "torch_dtype": "float32"}, {}, L4, "bfloat16"),
        ({**DENSE, "torch_dtype": "float32"}, {}, T4, "float16"),
        ({**DENSE, "torch_dtype": "float16"}, {}, H100, "float16"),
        ({**DENSE, "torch_dtype": "bfloat16"}, {}, T4, "float16"),
        ({**DENSE, "torch_dtype": "bfloat16"}, {"dtype": "auto"}, H100, "bfloat16"),
        ({**DENSE, "torch_dtype": "bfloat16"}, {"dtype": "half"}, H100, "float16"),
        ({**DENSE, "torch_dtype": "bfloat16"}, {"dtype": "float"}, T4, "float32"),
        # Models that pool prefer float16.
        ({**DENSE, "architectures": ["LlamaModel"], "torch_dtype": "float32"}, {}, H100, "float16"),
        ({**DENSE, "torch_dtype": "float32"}, {"runner": "pooling"}, H100, "float16"),
        ({**DENSE, "torch_dtype": "float32"}, {"convert": "embed"}, H100, "float16"),
        ({**DENSE, "architectures": ["LlamaModel"]}, {"runner": "generate"}, H100, "bfloat16"),
        ({**DENSE, "architectures": ["OddForRanking"]}, {}, H100, "bfloat16"),
        # Models that are unstable in float16.
        ({**DENSE, "model_type": "gemma2", "torch_dtype": "bfloat16"}, {}, T4, "float32"),
        ({**DENSE, "model_type": "glm4", "torch_dtype": "float16"}, {}, T4, "float32"),
        ({**DENSE, "model_type": "glm4", "torch_dtype": "float16"}, {}, L4, "bfloat16"),
        ({**DENSE, "model_type": "gemma3_text", "torch_dtype": "float32"}, {}, A100, "bfloat16"),
        ({**DENSE, "model_type": "gemma2", "architectures": ["Gemma2Model"]}, {}, H100, "bfloat16"),
        # A method that computes in bfloat16 alone decides for a checkpoint in float16.
        ({**GPT_OSS, "torch_dtype": "float16"}, {}, H100, "bfloat16"),
    ],
)
def test_the_data_type_is_what_vllm_takes(config: dict[str, Any], args: dict[str, Any], card: Card, dtype: str) -> None:
    found, _why = dtypes.dtype_for(args, describe(config), card)
    assert found == dtype
    assert args or dtypes.refusal(describe(config), args, card) is None


@pytest.mark.parametrize(
    ("config", "args", "card", "words"),
    [
        (DENSE, {"dtype": "bfloat16"}, T4, "args dtype is bfloat16, which needs compute capability 8.0, T4 has 7.5"),
        ({**DENSE, "model_type": "gemma3"}, {"dtype": "float16"}, H100, "in which vLLM refuses gemma3"),
        ({**DENSE, "model_type": "glm4"}, {"dtype": "half"}, T4, "in which vLLM refuses glm4"),
        (GPT_OSS, {"dtype": "float16"}, H100, "vLLM runs mxfp4 in bfloat16, and args dtype is float16"),
        (
            {**DENSE, "model_type": "gemma2", "quantization_config": {"quant_method": "gptq", "bits": 4}},
            {},
            T4,
            "vLLM runs gptq in bfloat16 or float16, and T4 leaves gemma2 nothing but float32",
        ),
        (DENSE, {"dtype": "float32", "quantization": "fp8"}, L4, "vLLM runs fp8 in bfloat16 or float16"),
    ],
)
def test_a_data_type_that_vllm_refuses(config: dict[str, Any], args: dict[str, Any], card: Card, words: str) -> None:
    refused = dtypes.refusal(describe(config), args, card)
    assert refused is not None
    assert words in refused[0]
    assert "dtype" in refused[1]


def test_compressed_tensors_run_in_float32_too() -> None:
    config = {**DENSE, "model_type": "gemma2", "quantization_config": {"quant_method": "compressed-tensors"}}
    assert dtypes.refusal(describe(config), {}, T4) is None


@pytest.mark.parametrize("method", ["bitsandbytes", "hqq", "aqlm", "eetq", "quip", "exl3", "gguf", "bitnet"])
def test_a_quantisation_that_vllm_does_not_have(method: str) -> None:
    refused = quantization.refusal(quantized(DENSE, method), {}, H100)
    assert refused is not None
    assert refused[0] == f"vLLM 0.32 has no quantisation {method}, in which the checkpoint is stored"
    assert "awq, gptq, fp8" in refused[1]


@pytest.mark.parametrize("method", ["bitsandbytes", "hqq", "exl3"])
def test_a_remedy_names_what_the_card_or_the_processor_runs(method: str) -> None:
    config = quantized(DENSE, method)
    on_card, on_old_card, on_processors = (quantization.refusal(config, {}, card) for card in (H100, T4, None))
    assert on_card is not None
    assert "awq, gptq, fp8, compressed-tensors or mxfp4," in on_card[1]
    assert on_old_card is not None
    assert "awq, gptq, fp8 or compressed-tensors," in on_old_card[1]
    assert on_processors == (on_card[0], PROCESSORS_RUN)


@pytest.mark.parametrize(
    ("method", "known"),
    [
        ("fp8", True),
        ("awq", True),
        ("mxfp4", True),
        ("modelopt_mxfp8", False),
        ("mxfp8", False),
        ("modelopt_fp4", False),
    ],
)
def test_processors_have_kernels_for_some_methods(method: str, known: bool) -> None:
    refused = quantization.refusal(quantized(DENSE, method), {}, None)
    assert (refused is None) is known
    assert known or refused == (f"vLLM 0.32 has no kernel for {method} on processors", PROCESSORS_RUN)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quant_method": "fbgemm_fp8"}, "deprecated"),
        ({"quant_method": "gptq", "bits": 3}, "gptq with 4 or 8 bits, the checkpoint has 3"),
        ({"quant_method": "gptq", "bits": 4, "sym": False}, "symmetric"),
        ({"quant_method": "awq", "bits": 8}, "awq with 4 bits, the checkpoint has 8"),
    ],
)
def test_a_checkpoint_that_no_kernel_reads(given: dict[str, Any], words: str) -> None:
    refused = quantization.refusal(facts(DENSE, quantization_config=given), {}, H100)
    assert refused is not None
    assert words in refused[0]


@pytest.mark.parametrize(
    "given",
    [
        {"quant_method": "auto-round", "bits": 4, "group_size": 128},
        {"quant_method": "compressed_tensors"},
        {"quant_method": "gptq", "bits": 8, "group_size": -1},
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
    ],
)
def test_what_vllm_reads_under_another_name(given: dict[str, Any]) -> None:
    assert quantization.refusal(facts(DENSE, quantization_config=given), {}, H100) is None


@pytest.mark.parametrize(
    ("config", "args", "refused", "accepted"),
    [
        (GPT_OSS, {}, [T4], [A100, L4, H100, B200, RTX5090]),
        ({**DENSE, "quantization_config": {"quant_method": "experts_int8"}}, {}, [T4], [A100]),
        (
            {**DENSE, "quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}},
            {},
            [T4],
            [A100, H100],
        ),
        ({**DENSE, "quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, {}, [], [T4, H100]),
        ({**DENSE, "quantization_config": {"quant_method": "modelopt", "quant_algo": "MXFP8"}}, {}, [T4], [A100]),
        (
            {**DENSE, "quantization_config": {"quant_method": "fbgemm_fp8"}},
            {"allow-deprecated-quantization": True},
            [T4],
            [A100],
        ),
        ({**DENSE, "quantization_config": {"quant_method": "fp8"}}, {}, [], [T4, A100, L4]),
        ({**DENSE, "quantization_config": {"quant_method": "awq", "bits": 4}}, {}, [], [T4]),
        # The same word is a scheme of quantisation at load, which needs no more than 7.5, and Blackwell's own.
        (DENSE, {"quantization": "mxfp8"}, [], [T4, H100]),
        (DENSE, {"quantization": "nvfp4_per_token"}, [A100, H100, RTX5090], [B200]),
        (DENSE, {"quantization": "experts_int8"}, [T4], [A100]),
    ],
)
def test_the_least_compute_capability(
    config: dict[str, Any], args: dict[str, Any], refused: list[Card], accepted: list[Card]
) -> None:
    for card in refused:
        said = quantization.refusal(describe(config), args, card)
        assert said is not None
        assert f"{card.name} has {card.capability[0]}.{card.capability[1]}" in said[0]
    assert [card.name for card in accepted if quantization.refusal(describe(config), args, card)] == []


@pytest.mark.parametrize(
    ("bits", "kind", "group", "activations", "least"),
    [
        (4, "int", 128, {"num_bits": 8, "type": "float"}, (9, 0)),
        (4, "float", 32, {"num_bits": 4, "type": "float"}, (8, 0)),
        (8, "float", None, {"num_bits": 8, "type": "float"}, (7, 5)),
        (4, "int", 128, None, (7, 5)),
    ],
)
def test_schemes_of_compressed_tensors_have_their_own(
    bits: int, kind: str, group: int | None, activations: Any, least: tuple[int, int]
) -> None:
    weights = {"num_bits": bits, "type": kind, "strategy": "group" if group else "channel", "group_size": group}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": activations}}
    config = quantized(DENSE, "compressed-tensors", config_groups=groups)
    cards = (T4, A100, L4, H100, B200)
    runs = [card for card in cards if quantization.refusal(config, {}, card) is None]
    assert runs == [card for card in cards if card.capability >= least]


@pytest.mark.parametrize(
    ("own", "asked", "words"),
    [
        (None, "awq", "the checkpoint is not quantised"),
        (None, "int4", "vLLM 0.32 does not know it"),
        ("awq", "gptq", "the checkpoint is stored in awq"),
        ("fp8", "fp8_per_tensor", "the checkpoint is stored in fp8"),
        ("awq", "awq_marlin", ""),
        ("gptq", "moe_wna16", ""),
        ("fp8", "humming", ""),
        ("mxfp8", "modelopt_mxfp8", ""),
        (None, "torchao", ""),
    ],
)
def test_a_quantisation_in_args_agrees_with_the_checkpoint(own: str | None, asked: str, words: str) -> None:
    config = quantized(DENSE, own) if own else facts(DENSE)
    refused = quantization.refusal(config, {"quantization": asked}, H100)
    assert words in refused[0] if refused and words else refused is None and not words


@pytest.mark.parametrize(
    ("config", "allowed"),
    [
        # Shared experts of 512: each of eight ranks would hold half a block.
        ({**MOE, "shared_expert_intermediate_size": 512, "num_key_value_heads": 8}, [1, 2, 4]),
        ({**MOE, "n_shared_experts": 2, "moe_intermediate_size": 256}, [1, 2, 4]),
        # Routed experts are refined to blocks of 32, not to 16.
        ({**MOE, "moe_intermediate_size": 320}, [1, 2]),
        ({**MOE, "moe_intermediate_size": 1408}, [1, 2, 4]),
        ({**MOE, "moe_intermediate_size": 768}, [1, 2, 4, 8]),
        # Dense layers have no such help, and neither have heads of 64.
        ({**DENSE, "intermediate_size": 14336}, [1, 2, 4, 8]),
        (DENSE, [1, 2]),
        ({**DENSE, "intermediate_size": 4096, "num_key_value_heads": 4, "head_dim": 64}, [1, 2]),
        # A dense first layer in a mixture of experts.
        ({**MOE, "first_k_dense_replace": 1, "intermediate_size": 10944}, []),
        ({**MOE, "intermediate_size": 10944}, [1, 2, 4, 8]),
    ],
)
def test_blocks_of_fp8_are_not_cut(config: dict[str, Any], allowed: list[int]) -> None:
    assert ways(facts(config, quantization_config=BLOCKS)) == allowed
    # The same model without blocks can be distributed further.
    assert 8 in ways(quantized(config, "fp8")) or config["num_attention_heads"] % 8


@pytest.mark.parametrize(
    ("card", "allowed"), [(A100, [1, 2, 4]), (T4, [1, 2, 4]), (L4, [1, 2, 4, 8]), (B200, [1, 2, 4, 8])]
)
def test_only_cards_with_fp8_take_finer_blocks_of_experts(card: Card, allowed: list[int]) -> None:
    config = facts({**MOE, "moe_intermediate_size": 1536}, quantization_config=BLOCKS)
    assert [ranks for ranks in ways(config) if not divisions.refusal(config, {}, ranks, card)] == allowed


def test_compressed_tensors_have_no_finer_blocks() -> None:
    weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
    groups = {"a": {"targets": ["Linear"], "weights": weights}}
    config = {**MOE, "moe_intermediate_size": 1536}
    assert ways(quantized(config, "compressed-tensors", config_groups=groups)) == [1, 2, 4]


def test_what_cannot_be_cut_is_named() -> None:
    config = facts({**MOE, "shared_expert_intermediate_size": 512}, quantization_config=BLOCKS)
    assert divisions.refusal(config, {}, 8) == (
        "TP 8 leaves mlp.shared_experts.down_proj an input of 64, which is not divisible by the blocks of 128 that "
        "share a scale"
    )
    odd = facts({**DENSE, "intermediate_size": 11040}, quantization_config=BLOCKS)
    assert divisions.refusal(odd, {}, 1).startswith("mlp.gate_up_proj has an output of 11040, which")
    assert divisions.refusal(odd, {}, 3) == "TP 3 does not divide its 32 attention and 32 KV heads"


def test_whole_experts_are_not_cut() -> None:
    config = facts({**MOE, "moe_intermediate_size": 320}, quantization_config=BLOCKS)
    assert ways(config, {"enable-expert-parallel": True}) == [1, 2, 4, 8]


def test_layers_that_are_not_quantised_are_cut_freely() -> None:
    left = [f"model.layers.{layer}.mlp.shared_expert.down_proj" for layer in range(32)]
    config = {**MOE, "shared_expert_intermediate_size": 512}
    assert ways(facts(config, quantization_config={**BLOCKS, "modules_to_not_convert": left})) == [1, 2, 4, 8]
    # One layer that is quantised decides.
    assert ways(facts(config, quantization_config={**BLOCKS, "modules_to_not_convert": left[:-1]})) == [1, 2, 4]


@pytest.mark.parametrize(
    "left",
    [
        {"modules_to_not_convert": ["down_proj", "gate_proj"]},
        {"modules_to_not_convert": ["mlp"]},
        {"dynamic": {"-:.*mlp.*": {}}},
        {"exclude_modules": ["*mlp*"]},
    ],
)
def test_a_method_that_names_parts_of_names(left: dict[str, Any]) -> None:
    config = {**DENSE, "intermediate_size": 29568}
    assert ways(quantized(config, "gptq", bits=4, group_size=128)) == [1]
    assert ways(quantized(config, "gptq", bits=4, group_size=128, **left)) == [1, 2, 4, 8]


@pytest.mark.parametrize("pattern", ["re:(a+)+$", "re:" + ".*" * 20, "re:(", "*a*b*c*d*e*", "re:" + "x" * 1000])
def test_a_pattern_that_could_take_for_ever_is_not_used(pattern: str) -> None:
    config = {**DENSE, "intermediate_size": 29568}
    assert ways(quantized(config, "awq", bits=4, group_size=128, modules_to_not_convert=[pattern])) == [1]


W4A16 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}


@pytest.mark.parametrize(
    ("config", "given", "allowed"),
    [
        # 29568 is 231 groups of 128.
        ({**DENSE, "intermediate_size": 29568}, {"quant_method": "awq", "bits": 4, "group_size": 128}, [1]),
        ({**DENSE, "intermediate_size": 29568}, {"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, [1, 2]),
        ({**DENSE, "intermediate_size": 29696}, {"quant_method": "gptq", "bits": 4, "group_size": 128}, [1, 2, 4, 8]),
        ({**DENSE, "intermediate_size": 29568}, {"quant_method": "gptq", "bits": 4, "group_size": -1}, [1, 2, 4, 8]),
        (
            {**DENSE, "intermediate_size": 18944},
            {"quant_method": "auto-round", "bits": 4, "group_size": 128},
            [1, 2, 4],
        ),
        (
            {**DENSE, "intermediate_size": 18944},
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": ["Linear"], "weights": W4A16}}},
            [1, 2, 4],
        ),
        # Routed experts: 4-bit methods halve groups down to 32, compressed-tensors does not.
        (MOE, {"quant_method": "awq", "bits": 4, "group_size": 128}, [1, 2, 4, 8]),
        ({**MOE, "moe_intermediate_size": 704}, {"quant_method": "gptq", "bits": 4, "group_size": 128}, [1, 2]),
        (
            MOE,
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": ["Linear"], "weights": W4A16}}},
            [1, 2],
        ),
        # Shared experts are dense.
        (
            {**MOE, "n_shared_experts": 1, "moe_intermediate_size": 1408},
            {"quant_method": "awq", "bits": 4, "group_size": 128},
            [1],
        ),
        ({**DENSE, "intermediate_size": 9248}, {"quant_method": "modelopt", "quant_algo": "NVFP4"}, [1, 2]),
        ({**DENSE, "intermediate_size": 11072}, {"quant_method": "mxfp8"}, [1, 2]),
    ],
)
def test_groups_are_not_cut(config: dict[str, Any], given: dict[str, Any], allowed: list[int]) -> None:
    assert ways(facts(config, quantization_config=given)) == allowed


def test_sets_of_compressed_tensors_are_told_apart() -> None:
    wide = {"targets": ["re:.*mlp.*"], "weights": W4A16}
    narrow = {"targets": ["re:.*self_attn.*"], "weights": {**W4A16, "group_size": 32}}
    given = {"quant_method": "compressed-tensors", "config_groups": {"a": narrow, "b": wide}}
    parts = {part["name"]: part for part in facts(DENSE, quantization_config=given)["projections"]}
    assert parts["mlp.down_proj"]["group"] == 128
    assert parts["self_attn.o_proj"]["group"] == 32


def test_blocks_at_load_are_not_cut_either() -> None:
    assert ways(facts(DENSE), {"quantization": "fp8_per_block"}) == [1, 2]
    assert ways(facts(DENSE), {"quantization": "fp8_per_channel"}) == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("stored", "numbers", "dtype", "size"),
    [
        ("float32", None, "bfloat16", 0.5),
        ("float32", None, "float16", 0.5),
        ("float32", None, "float32", 1),
        ("bfloat16", None, "float32", 2),
        ("bfloat16", None, "float16", 1),
        # The config names float32, the file holds 16 bits: its numbers tell.
        ("float32", 13_475_000_000, "bfloat16", 1),
        (None, None, "bfloat16", 1),
    ],
)
def test_weights_are_cast_while_they_are_loaded(
    stored: str | None, numbers: int | None, dtype: str, size: float
) -> None:
    model = {**facts(DENSE, torch_dtype=stored), "weight_bytes": 26_950_000_000, "parameters": numbers}
    assert loaded(model, {}, dtype)["weight_bytes"] == pytest.approx(26_950_000_000 * size, rel=0.001)
    quantised = {**quantized(DENSE, "awq", bits=4), "weight_bytes": 4_000_000_000, "dtype": "float32"}
    assert loaded(quantised, {}, dtype) == quantised


@pytest.mark.parametrize(
    ("config", "way", "share"),
    [
        (DENSE, "fp8", 0.519),
        (DENSE, "fp8_per_block", 0.519),
        (DENSE, "mxfp8", 0.535),
        (DENSE, "mxfp4", 0.294),
        # These concern experts alone.
        (DENSE, "int8_per_channel_weight_only", 1),
        (MOE, "experts_int8", 0.523),
        (MOE, "nvfp4_per_token", 0.314),
    ],
)
def test_weights_that_are_quantised_while_they_are_loaded(config: dict[str, Any], way: str, share: float) -> None:
    total = 13_476_000_000 if config is DENSE else 40_550_000_000
    model = {**facts(config, torch_dtype="bfloat16"), "weight_bytes": total}
    assert loaded(model, {"quantization": way}, "bfloat16")["weight_bytes"] == pytest.approx(total * share, rel=0.02)
    assert loaded(model, {}, "bfloat16")["weight_bytes"] == total


@pytest.mark.parametrize(
    ("layers", "experts", "total", "card", "tp", "gib"),
    [
        # What vLLM 0.32's own layers allocate.
        (24, 32, 13_761_264_768, RTX5090, 1, 13.67),
        (24, 32, 13_761_264_768, L4, 1, 13.67),
        (36, 128, 65_248_815_744, A100, 1, 65.90),
        (36, 128, 65_248_815_744, L4, 2, 34.32),
        (36, 128, 65_248_815_744, H100, 1, 60.77),
        (36, 128, 65_248_815_744, B200, 1, 65.90),
    ],
)
def test_kernels_for_mxfp4_pad_experts(layers: int, experts: int, total: int, card: Card, tp: int, gib: float) -> None:
    config = facts(GPT_OSS, num_hidden_layers=layers, num_local_experts=experts)
    found = rank_weight_bytes({**config, "weight_bytes": total}, tp, 1, card.capability)
    assert found / GIB == pytest.approx(gib, rel=0.005)


def test_facts_of_an_earlier_version_are_padded_too() -> None:
    config = {name: value for name, value in facts(GPT_OSS).items() if name != "projections"}
    found = rank_weight_bytes({**config, "weight_bytes": 13_761_264_768}, 1, 1, RTX5090.capability)
    assert found / GIB == pytest.approx(13.67, rel=0.005)


def test_only_gpt_oss_has_triton_for_mxfp4() -> None:
    other = {**facts(GPT_OSS, model_type="mixtral"), "weight_bytes": 13_761_264_768}
    assert rank_weight_bytes(other, 1, 1, (9, 0)) == rank_weight_bytes(other, 1, 1, (8, 0)) > 14_000_000_000
