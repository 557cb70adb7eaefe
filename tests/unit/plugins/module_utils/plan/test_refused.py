# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan places nothing that vLLM would refuse, and advises nothing that it would."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.measured import KEY
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    A100,
    BIG,
    FACTS,
    GIB,
    GPT_OSS,
    H100,
    L4,
    T4,
    gpu,
    host,
    machine,
    model,
    places,
    plan,
)

L40S: dict[str, Any] = {"name": "NVIDIA L40S", "mib": 46068, "reserved": 609, "power": "8.9"}
QWEN_72B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "torch_dtype": "float16",
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}


def asked(config: dict[str, Any], weights: int, **more: Any) -> dict[str, Any]:
    return model("m", facts={**describe(config), "weight_bytes": weights, "parameters": None}, **more)


def missing(one: dict[str, Any], at: dict[str, Any]) -> tuple[str, str]:
    found = plan([one], {"h": at})
    assert found["instances"] == []
    (unplaced,) = found["unplaced"]
    return unplaced["reason"], unplaced["remedy"]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_card_that_cannot_run_a_method_is_not_advised(count: int) -> None:
    reason, remedy = missing(asked(GPT_OSS, 13_761_264_768), machine(count, T4))
    assert reason == "h: mxfp4 needs compute capability 8.0, Tesla T4 has 7.5"
    assert remedy == "choose a host with newer GPUs, or a variant of the model that these can run"


def test_a_newer_card_beside_it_is_used_and_advised() -> None:
    mixed = host(gpu(0, T4), gpu(1, T4), gpu(2, L4))
    assert places(plan([asked(GPT_OSS, 13_761_264_768)], {"h": mixed})) == {"m-0": ("h", ("GPU-2",))}
    reason, remedy = missing(asked(GPT_OSS, 40_000_000_000), mixed)
    assert "NVIDIA L4" in reason
    assert "T4" not in reason + remedy


def test_an_unknown_quantisation_names_no_card() -> None:
    config = {**QWEN_72B, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    reason, remedy = missing(asked(config, 40_000_000_000), machine(2, L40S))
    assert reason == "vLLM 0.32 has no quantisation bitsandbytes, in which the checkpoint is stored"
    assert remedy.startswith("choose a variant in awq, gptq, fp8")


def test_groups_that_may_not_be_cut_are_staged() -> None:
    (one,) = plan([asked(QWEN_72B, 41_500_000_000)], {"h": machine(2, L40S)})["instances"]
    assert (one["tensor_parallel_size"], one["pipeline_parallel_size"]) == (1, 2)


def test_a_pinned_size_that_would_cut_groups_is_refused() -> None:
    one = asked(QWEN_72B, 41_500_000_000, args={"tensor-parallel-size": 2})
    reason, remedy = missing(one, machine(2, L40S))
    assert reason == (
        'args are {"tensor-parallel-size": 2}: TP 2 leaves mlp.down_proj an input of 14784, which is not divisible by '
        "the groups of 128 that share a scale"
    )
    assert remedy == "leave it out, so that the plan chooses"


def test_a_model_that_can_be_divided_in_no_way_says_so() -> None:
    odd = {**QWEN_72B, "intermediate_size": 11040, "quantization_config": {"quant_method": "fp8"}}
    odd["quantization_config"]["weight_block_size"] = [128, 128]
    reason, remedy = missing(asked(odd, 8_000_000_000), machine(2, L40S))
    assert reason.startswith("mlp.gate_up_proj has an output of 11040, which is not divisible")
    assert remedy == "choose a variant of the model in another quantisation"
    layered = asked(QWEN_72B, 41_500_000_000, args={"pipeline-parallel-size": 81})
    assert "its 80 layers cannot be divided into so many stages" in missing(layered, machine(2, L40S))[0]


def test_a_model_stored_in_float32_takes_half_of_it() -> None:
    facts = {**FACTS["Llama-3.1-8B-Instruct"], "dtype": "float32", "weight_bytes": 2 * 16_060_522_496}
    (one,) = plan([model("m", facts=facts)], {"h": machine(1, L4)})["instances"]
    assert one["dtype"] == "bfloat16"
    assert one["memory"]["weights"] == pytest.approx(16_060_522_496, rel=0.01)


def test_a_model_that_is_quantised_at_load_takes_half_of_it() -> None:
    (one,) = plan([model("m", BIG, args={"quantization": "fp8"})], {"h": machine(2, L40S)})["instances"]
    assert one["memory"]["weights"] / GIB == pytest.approx(34, rel=0.01)
    # A model that is quantised at load already is not told to take a quantised variant.
    _reason, remedy = missing(model("m", BIG, args={"quantization": "fp8"}), machine(1, L40S))
    assert "8-bit" not in remedy


def test_what_was_measured_without_quantisation_is_of_something_else() -> None:
    args = {"quantization": "fp8"}
    (one,) = plan([model("m", BIG, args=args)], {"h": machine(2, L40S)})["instances"]
    assert one["quantization"] == "fp8"
    same = {name: one.get(name) for name in KEY}
    for noted, taken in (({}, True), ({"quantization": None}, False)):
        entry = {**same, **noted, "weights": 30 * GIB, "measured_on": "h"}
        (again,) = plan([model("m", BIG, args=args)], {"h": machine(2, L40S)}, overheads=[entry])["instances"]
        assert (again["memory"]["weights"] == 30 * GIB) is taken


def test_a_model_that_is_unstable_in_float16_says_what_it_runs_in() -> None:
    reason, remedy = missing(model("m", "gemma-3-27b-it"), machine(8, T4))
    assert "it runs in float32: compute capability 7.5 has no bfloat16, and vLLM refuses gemma3 in float16" in reason
    # Quantised it could not run there either, as methods compute in 16 bits.
    assert "8-bit" not in remedy


@pytest.mark.parametrize(("kind", "runs"), [(T4, False), (A100, True), (L4, True), (H100, True)])
def test_bfloat16_that_is_pinned_needs_a_card_that_has_it(kind: dict[str, Any], runs: bool) -> None:
    one = model("m", "Qwen3-0.6B", args={"dtype": "bfloat16"})
    if runs:
        assert plan([one], {"h": machine(1, kind)})["instances"][0]["dtype"] == "bfloat16"
    else:
        reason, remedy = missing(one, machine(1, kind))
        assert reason == "h: args dtype is bfloat16, which needs compute capability 8.0, Tesla T4 has 7.5"
        assert remedy.startswith("take dtype out of args")
