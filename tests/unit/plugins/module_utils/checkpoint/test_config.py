# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says of a model, for every family that is planned, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import values as checkpoint_values
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import ConfigError, describe
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import (
    GeometryError,
    geometry,
    rank_weight_bytes,
)
from hypothesis import given
from hypothesis import strategies as st

CONFIGS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "kv_cache" / "configs.json").read_text())
LLAMA = CONFIGS["Llama-3.1-8B-Instruct"]
SMALL = {
    "hidden_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
}


def small(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **SMALL, **more}


def counts(config: dict[str, Any]) -> list[tuple[str, int]]:
    return [(layer["type"], layer["count"]) for layer in describe(config)["layers"]]


def test_a_dense_model() -> None:
    assert describe(LLAMA) == {
        "config_digest": "748f836ae4e3",
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "quantization": None,
        "quantization_sets": [],
        "kv_cache_quantization": None,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "max_model_len_limit": 131072,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "layers": [
            {"type": "full_attention", "num_kv_heads": 8, "head_size": 128, "head_size_v": 128, "count": 32},
        ],
        "layer_order": [0] * 32,
        "projections": [
            {"name": "self_attn.o_proj", "rows": 4096},
            {"name": "self_attn.qkv_proj", "columns": [[32, 128], [8, 128], [8, 128]]},
            {"name": "mlp.down_proj", "rows": 14336},
            {"name": "mlp.gate_up_proj", "columns": [[14336, 1], [14336, 1]]},
        ],
        "num_experts": None,
        "expert_layers": 0,
        "num_experts_per_tok": None,
        "multimodal": False,
        "image_prefix": False,
        "attention_sinks": False,
        "encoder_parameters": 0,
        "uncut_parameters": 0,
        "encoder_only": False,
        "tie_word_embeddings": False,
        "num_nextn_predict_layers": 0,
        "buffer_bytes": 33554944,
    }


def test_a_multimodal_model_is_read_from_its_text_config() -> None:
    gemma = describe(CONFIGS["gemma-3-27b-it"])
    assert gemma["multimodal"]
    assert gemma["dtype"] == "bfloat16"
    # Neither stands in its config: what its class fills in.
    assert (gemma["vocab_size"], gemma["max_position_embeddings"]) == (262208, 131072)
    assert gemma["layer_order"][:7] == [0, 0, 0, 0, 0, 1, 0]
    inner = small("qwen2", max_position_embeddings=4096)
    for wrapped in (
        {"model_type": "internvl_chat", "llm_config": inner, "vision_config": {"hidden_size": 1}},
        {"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": inner}},
        {"model_type": "deepseek_vl", "language_config": inner, "vision_config": {"hidden_size": 1}},
    ):
        facts = describe(wrapped)
        assert facts["multimodal"]
        assert facts["model_type"] == wrapped["model_type"]
        assert facts["hidden_size"] == 1024


def test_a_root_config_states_its_sizes_and_a_nested_one_need_not() -> None:
    with pytest.raises(ConfigError, match="hidden_size is missing: it must be a whole number from 1 to"):
        describe({"model_type": "llama"})
    assert describe({"model_type": "llava", "text_config": {"model_type": "llama"}})["hidden_size"] == 4096


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(small("mistral"), [("sliding_attention", 8)], id="mistral-by-default"),
        pytest.param(small("mistral", sliding_window=None), [("full_attention", 8)], id="a-null-is-no-default"),
        pytest.param(small("mistral", sliding_window=0), [("full_attention", 8)], id="zero-is-no-window"),
        pytest.param(small("qwen2", sliding_window=4096), [("full_attention", 8)], id="qwen-without-window"),
        pytest.param(
            small("qwen2", sliding_window=4096, use_sliding_window=True, max_window_layers=6),
            [("full_attention", 6), ("sliding_attention", 2)],
            id="qwen-with-window",
        ),
        pytest.param(small("gemma2"), [("sliding_attention", 4), ("full_attention", 4)], id="gemma2"),
        pytest.param(
            small("gemma3_text", sliding_window_pattern=4),
            [("sliding_attention", 6), ("full_attention", 2)],
            id="pattern-of-a-number",
        ),
        pytest.param(
            small("exaone4", sliding_window=64, sliding_window_pattern="LLG"),
            [("sliding_attention", 5), ("full_attention", 3)],
            id="pattern-of-letters",
        ),
        pytest.param(
            small("gemma3n_text", num_kv_shared_layers=3),
            [("sliding_attention", 4), ("full_attention", 1)],
            id="layers-that-share",
        ),
        pytest.param(
            small("llama", layer_types=["full_attention", "sliding_attention"] * 4, sliding_window=128),
            [("full_attention", 4), ("sliding_attention", 4)],
            id="listed",
        ),
        pytest.param(small("llama4_text"), [("chunked_attention", 6), ("full_attention", 2)], id="chunked-by-interval"),
        pytest.param(
            small("llama4_text", no_rope_layers=[1, 0] * 4),
            [("chunked_attention", 4), ("full_attention", 4)],
            id="chunked-by-list",
        ),
        pytest.param(
            small("llama4_text", attention_chunk_size=None), [("full_attention", 8)], id="chunked-without-chunks"
        ),
        pytest.param(small("qwen3_next"), [("linear_attention", 6), ("full_attention", 2)], id="linear-by-interval"),
        pytest.param(
            small("lfm2", full_attn_idxs=[2, 5]), [("linear_attention", 6), ("full_attention", 2)], id="by-index"
        ),
        pytest.param(small("jamba"), [("linear_attention", 7), ("full_attention", 1)], id="jamba"),
        pytest.param(
            small("nemotron_h", hybrid_override_pattern="M-M*E-"),
            [("linear_attention", 2), ("full_attention", 1)],
            id="pattern-of-blocks",
        ),
        pytest.param(
            small("granitemoehybrid", layer_types=["mamba"] * 7 + ["attention"], mamba_n_heads=32),
            [("linear_attention", 7), ("full_attention", 1)],
            id="old-names-of-blocks",
        ),
        pytest.param(
            small("falcon_h1", mamba_d_ssm=1536), [("full_attention", 8), ("linear_attention", 8)], id="both-in-each"
        ),
        pytest.param(
            small("mimo_v2_flash", hybrid_layer_pattern=[0, 1, 1, 1] * 2, sliding_window=128),
            [("full_attention", 2), ("sliding_attention", 6)],
            id="marked",
        ),
        pytest.param(
            small(
                "nemotron-nas",
                block_configs=[{"attention": {"no_op": True}}, {"attention": {"n_heads_in_group": 8}}] * 4,
            ),
            [("full_attention", 4)],
            id="searched",
        ),
    ],
)
def test_which_layers_there_are(config: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    assert counts(config) == expected
    order = describe(config)["layer_order"]
    assert len(order) == describe(config)["num_hidden_layers"]
    for place, (_kind, count) in enumerate(expected):
        assert sum(1 for entry in order if entry in (place, -2)) == count


def test_heads_and_widths_of_special_layers() -> None:
    searched = small("nemotron-nas", block_configs=[{"attention": {"n_heads_in_group": 8}}] * 8)
    assert describe(searched)["num_key_value_heads"] == 2
    gemma4 = describe(
        small("gemma4_text", head_dim=256, attention_k_eq_v=True, num_global_key_value_heads=2, sliding_window=1024)
    )
    assert [(layer["num_kv_heads"], layer["head_size"]) for layer in gemma4["layers"]] == [(4, 256), (2, 512)]
    assert gemma4["layer_order"][-1] == 1
    mimo = describe(
        small(
            "mimo_v2_flash",
            hybrid_layer_pattern=[0, 1] * 4,
            sliding_window=128,
            head_dim=192,
            v_head_dim=128,
            swa_num_key_value_heads=8,
            swa_head_dim=192,
            swa_v_head_dim=64,
        )
    )
    sizes = [(layer["num_kv_heads"], layer["head_size"], layer["head_size_v"]) for layer in mimo["layers"]]
    assert sizes == [(4, 192, 128), (8, 192, 64)]
    cohere = small("cohere2", sliding_window=4096)
    assert describe(cohere)["layers"][0]["sliding_window"] == 4097


def test_latent_attention() -> None:
    (layer,) = describe(CONFIGS["DeepSeek-V3"])["layers"]
    assert layer["type"] == "mla"
    assert (layer["kv_lora_rank"], layer["qk_rope_head_dim"], layer["count"]) == (512, 64, 61)
    sparse = describe({**CONFIGS["DeepSeek-V3"], "model_type": "deepseek_v32", "index_head_dim": 128})
    assert [(entry["type"], entry["count"]) for entry in sparse["layers"]] == [("mla", 61), ("indexer", 61)]
    assert sparse["layer_order"] == [-2] * 61
    kimi = small(
        "kimi_linear",
        linear_attn_config={"full_attn_layers": [4, 8], "num_heads": 16, "head_dim": 64},
    )
    assert counts(kimi) == [("linear_attention", 6), ("mla", 2)]
    state = describe(kimi)["layers"][0]["state"]
    assert [part["shape"] for part in state] == [[3, 3 * 16 * 64], [16, 64, 64]]
    assert state[1]["dtype"] == "float32"
    flash = {**CONFIGS["DeepSeek-V3"], "model_type": "longcat_flash", "num_layers": 28}
    assert counts(flash) == [("mla", 56)]


def test_states_of_linear_attention() -> None:
    def state(config: dict[str, Any]) -> list[tuple[list[int], int, str | None]]:
        entry = next(layer for layer in describe(config)["layers"] if layer["type"] == "linear_attention")
        return [(part["shape"], part["sharded"], part["dtype"]) for part in entry["state"]]

    assert state(small("qwen3_5_text", mamba_ssm_dtype="float32")) == [
        ([3, 8192], 1, None),
        ([32, 128, 128], 0, "float32"),
    ]
    assert state(small("nemotron_h", hybrid_override_pattern="M*", mamba_ssm_cache_dtype="auto")) == [
        ([3, 128 * 64 + 2 * 8 * 128], 1, None),
        ([128, 64, 128], 0, "float32"),
    ]
    assert state(small("granitemoehybrid", mamba_n_heads=32, mamba_d_state=128)) == [
        ([3, 2048 + 2 * 128], 1, None),
        ([32, 64, 128], 0, None),
    ]
    assert state(small("falcon_h1", mamba_d_ssm=1536, mamba_n_heads=24, mamba_d_head=64)) == [
        ([3, 1536 + 2 * 256], 1, None),
        ([24, 64, 256], 0, None),
    ]
    assert state(small("jamba")) == [([3, 2048], 1, None), ([2048, 16], 0, None)]
    assert state(small("lfm2", full_attn_idxs=[1])) == [([2, 1024], 1, None)]
    mamba = {
        "model_type": "mamba2",
        "hidden_size": 1024,
        "num_hidden_layers": 4,
        "vocab_size": 1000,
        "num_heads": 32,
        "head_dim": 64,
        "n_groups": 1,
        "state_size": 128,
        "conv_kernel": 4,
    }
    assert state(mamba) == [([3, 2048 + 2 * 128], 1, None), ([32, 64, 128], 0, None)]
    assert describe(mamba)["num_attention_heads"] == 0
    assert geometry(describe(mamba), tensor_parallel_size=1, dtype="bfloat16", max_num_batched_tokens=1).fits(
        1 << 30, 9
    )


@pytest.mark.parametrize(
    "config",
    [
        CONFIGS["nomic-embed-text-v1.5"],
        small("bert", architectures=["BertModel"]),
        small("xlm-roberta", architectures=["XLMRobertaModel"]),
        small("modernbert", architectures=["ModernBertModel"]),
        small("new", architectures=["NewModel"]),
        small("qwen2", architectures=["Qwen2ForCausalLM"], is_causal=False),
        small("gemma3_text", architectures=["Gemma3TextModel"], use_bidirectional_attention=True),
        small("llama_bidirec", architectures=["LlamaBidirectionalModel"]),
        {"model_type": "siglip", "text_config": small("siglip_text_model")},
    ],
    ids=lambda config: str(config["model_type"]),
)
def test_encoders_keep_no_cache(config: dict[str, Any]) -> None:
    facts = describe(config)
    assert facts["encoder_only"]
    assert facts["layers"] == facts["layer_order"] == []


def test_old_names_of_fields() -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}
    facts = describe(gpt2)
    assert facts["layers"] == [
        {"type": "full_attention", "num_kv_heads": 12, "head_size": 64, "head_size_v": 64, "count": 12}
    ]
    assert (facts["hidden_size"], facts["max_position_embeddings"]) == (768, 1024)
    mpt = {
        "model_type": "mpt",
        "d_model": 4096,
        "n_heads": 32,
        "n_layers": 32,
        "max_seq_len": 2048,
        "vocab_size": 50432,
    }
    assert describe({**mpt, "attn_config": {"kv_n_heads": 8}})["num_key_value_heads"] == 8
    falcon = small("falcon", multi_query=True)
    assert describe(falcon)["num_key_value_heads"] == 1
    assert describe({**falcon, "new_decoder_architecture": True, "num_kv_heads": 8})["num_key_value_heads"] == 8
    assert describe(small("chatglm", multi_query_group_num=2, num_key_value_heads=None))["num_key_value_heads"] == 2
    assert describe(small("llama", num_key_value_heads=None))["num_key_value_heads"] == 16


@pytest.mark.parametrize(
    ("config", "length", "limit"),
    [
        (small("llama"), 2048, 2048),
        (small("x"), 2048, 2048),
        (small("x", max_position_embeddings=4096, n_positions=1024), 1024, 1024),
        (small("cohere", max_position_embeddings=8192, model_max_length=131072), 131072, 131072),
        (small("x", max_position_embeddings=4096, rope_scaling={"type": "linear", "factor": 4}), 16384, 16384),
        (small("x", max_position_embeddings=4096, rope_scaling={"rope_type": "dynamic", "factor": 2.5}), 10240, 10240),
        (small("x", max_position_embeddings=4096, rope_scaling={"rope_type": "yarn", "factor": 4}), 4096, 4096),
        (small("x", max_position_embeddings=4096, rope_scaling={"rope_type": "default", "factor": None}), 4096, 4096),
        (
            small(
                "x",
                max_position_embeddings=64,
                rope_parameters={"full_attention": {"rope_type": "linear", "factor": 2}},
            ),
            128,
            128,
        ),
        (
            small(
                "phi3",
                max_position_embeddings=131072,
                original_max_position_embeddings=4096,
                rope_scaling={"type": "longrope"},
            ),
            4096,
            131072,
        ),
        (small("gemma3_text", max_position_embeddings=64, rope_scaling={"rope_type": "linear", "factor": 8}), 64, 64),
        (small("xlm-roberta", max_position_embeddings=514, pad_token_id=1), 512, 512),
        (small("roberta", max_position_embeddings=8194, position_embedding_type="rotary"), 8194, 8194),
        # Scaling that only the inner config names is not applied.
        (
            {
                "model_type": "llava",
                "text_config": small("llama", max_position_embeddings=64, rope_scaling={"type": "linear", "factor": 2}),
            },
            64,
            64,
        ),
    ],
)
def test_how_long_a_context_may_be(config: dict[str, Any], length: int, limit: int) -> None:
    facts = describe(config)
    assert (facts["max_position_embeddings"], facts["max_model_len_limit"]) == (length, limit)


def test_dtype_and_quantization() -> None:
    def said(**more: Any) -> tuple[Any, Any, Any]:
        facts = describe(small("llama", **more))
        return facts["dtype"], facts["quantization"], facts["kv_cache_quantization"]

    assert said() == (None, None, None)
    assert said(torch_dtype="torch.float16") == ("float16", None, None)
    assert said(dtype="bfloat16", torch_dtype="float32") == ("bfloat16", None, None)
    assert said(torch_dtype="float8_e4m3fn") == (None, None, None)
    assert said(quantization_config={"quant_method": "FP8"}) == (None, "fp8", None)
    scheme = {"num_bits": 8, "type": "float"}
    compressed = {"quant_method": "compressed_tensors", "kv_cache_scheme": scheme}
    assert said(quantization_config=compressed) == (None, "compressed-tensors", "fp8")
    assert said(compression_config={**compressed, "kv_cache_scheme": {"num_bits": 4}})[2] is None
    modelopt = {"producer": {"name": "modelopt"}, "quantization": {"kv_cache_quant_algo": "FP8"}}
    assert said(quantization_config=modelopt) == (None, "modelopt", "fp8")
    # vLLM takes no scheme from a file that names no method.
    for nameless in ({"quantization": modelopt["quantization"]}, {"kv_cache_scheme": scheme}, {"quant_algo": "FP8"}):
        assert said(quantization_config=nameless) == (None, None, None)
    inner = {"model_type": "llava", "text_config": small("llama", quantization_config={"quant_method": "awq"})}
    assert describe(inner)["quantization"] == "awq"


@pytest.mark.parametrize(
    ("model_type", "given", "more"),
    [
        ("nemotron_h", {"moe_latent_size": 1024}, {"inputs": 1024, "matrices": 2}),
        ("nemotron_h", {"moe_latent_size": None}, {"matrices": 2}),
        ("qwen3_moe", {}, {}),
    ],
)
def test_experts_that_are_not_as_usual(model_type: str, given: dict[str, Any], more: dict[str, int]) -> None:
    pattern = {"hybrid_override_pattern": "*E", "num_hidden_layers": 2} if model_type == "nemotron_h" else {}
    config = small(model_type, num_experts=8, n_routed_experts=8, moe_intermediate_size=256, **pattern, **given)
    experts = [part for part in describe(config)["projections"] if part["name"] == "mlp.experts"]
    assert experts == [{"name": "mlp.experts", "experts": 256, **more}]


def test_experts_and_extra_layers() -> None:
    facts = describe(CONFIGS["DeepSeek-V3"])
    assert (facts["num_experts"], facts["num_experts_per_tok"], facts["num_nextn_predict_layers"]) == (256, 8, 1)
    per_layer = describe(small("ernie4_5_moe", moe_num_experts=[64, 64], moe_k=6, intermediate_size=[1, 9]))
    assert (per_layer["num_experts"], per_layer["num_experts_per_tok"]) == (64, 6)
    assert per_layer["intermediate_size"] == 9
    assert describe(small("gemma2"))["tie_word_embeddings"]
    assert not describe(small("gemma2", tie_word_embeddings=False))["tie_word_embeddings"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0: it must be a whole number from 1 to 10000"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_hidden_layers": True}, "num_hidden_layers is true"),
        ({"num_hidden_layers": "32"}, 'num_hidden_layers is "32"'),
        ({"num_hidden_layers": 32.0}, "num_hidden_layers is 32.0"),
        ({"num_hidden_layers": 10_000_001}, "num_hidden_layers is 10000001"),
        ({"num_hidden_layers": None}, "num_hidden_layers is missing"),
        ({"num_hidden_layers": 10**40}, "num_hidden_layers is a number of 133 bits"),
        ({"num_attention_heads": 10**7}, "num_attention_heads is 10000000"),
        ({"num_attention_heads": 8192}, "hidden_size is 4096: it must be at least the 8192 attention heads"),
        ({"num_key_value_heads": False}, "num_key_value_heads is false"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
        ({"hidden_size": float("nan")}, "hidden_size is NaN"),
        ({"vocab_size": []}, "vocab_size is a list of 0 values"),
        ({"vocab_size": {"a": 1}}, "vocab_size is an object of 1 values"),
        ({"head_dim": -2}, "head_dim is -2"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings is 1000000000000"),
        ({"rope_scaling": {"type": "linear", "factor": float("nan")}}, "rope_scaling.factor is NaN"),
        ({"rope_scaling": {"type": "linear", "factor": True}}, "rope_scaling.factor is true"),
        ({"rope_scaling": "linear"}, 'rope_scaling is "linear": it must be an object'),
        ({"architectures": "Llama"}, 'architectures is "Llama": it must be a list of texts'),
        ({"model_type": 5}, "model_type is 5: it must be a text"),
        ({"torch_dtype": ["float16"]}, "torch_dtype is a list of 1 values: it must be a text"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1: it must be true or false"),
        ({"quantization_config": []}, "quantization_config is a list of 0 values: it must be an object"),
        ({"text_config": 3}, "text_config is 3: it must be an object"),
        ({"text_config": {"hidden_size": "x"}}, 'text_config.hidden_size is "x"'),
        ({"layer_types": ["full_attention"]}, "a list of one kind for each of the 32 layers"),
        ({"layer_types": ["magic"] * 32}, 'layer_types names "magic": it must name kinds that can be planned'),
        ({"layer_types": ["linear_attention"] * 32}, "no field says the size of their state"),
        ({"sliding_window": -1}, "sliding_window is -1"),
        ({"sliding_window": False}, "sliding_window is false"),
        ({"sliding_window": 8, "sliding_window_pattern": "LX"}, 'sliding_window_pattern is "LX"'),
        ({"hybrid_override_pattern": "MX"}, "made of the letters M, E, "),
        ({"hybrid_override_pattern": ""}, "1 to 10000 letters"),
        ({"hybrid_layer_pattern": [1]}, "hybrid_layer_pattern is a list of 1 values"),
        ({"hybrid_layer_pattern": [2] * 32}, "a list of whole numbers from 0 to 1"),
        ({"model_type": "llama4_text", "attention_chunk_size": 8, "no_rope_layers": [1]}, "no_rope_layers is a list"),
        ({"num_kv_shared_layers": 33}, "num_kv_shared_layers is 33"),
        ({"block_configs": [1]}, "block_configs is a list of 1 values: it must be a list of objects"),
        ({"block_configs": [{}]}, "a list of one block for each of the 32 layers"),
        (
            {"block_configs": [{"attention": {"n_heads_in_group": size}} for size in (4, 8) * 16]},
            "layers of different heads are not planned",
        ),
        ({"model_type": "deepseek_v4"}, 'model_type is "deepseek_v4": it must be of a kind whose cache can be planned'),
        ({"is_encoder_decoder": True}, "encoder-decoder models are not planned"),
        ({"model_type": "qwen3_next", "linear_conv_kernel_dim": 1}, "linear_conv_kernel_dim is 1"),
        ({"model_type": "qwen3_5_text", "mamba_ssm_dtype": "int8"}, 'mamba_ssm_dtype is "int8": it must be one of'),
    ],
)
def test_a_bad_value_is_one_clear_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        describe({**LLAMA, **change})
    said = str(caught.value)
    assert message in said
    assert said.startswith("config.json")
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 500


def test_what_is_no_config_at_all() -> None:
    for nothing in (None, [], "x", 5, True):
        with pytest.raises(ConfigError, match="it must be one JSON object"):
            describe(nothing)
    deep: dict[str, Any] = {}
    for _turn in range(100_000):
        deep = {"text_config": deep}
    with pytest.raises(ConfigError, match="nests more than 40 levels deep"):
        describe(deep)
    # Freed from the outside in, or the interpreter would recurse.
    while deep:
        deep = deep.pop("text_config")
    round_about: dict[str, Any] = dict(LLAMA)
    round_about["again"] = round_about
    with pytest.raises(ConfigError, match="nests more than 40 levels deep"):
        describe(round_about)


def test_a_config_of_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_values, "MOST_VALUES", 100)
    with pytest.raises(ConfigError, match="holds more than 100 values"):
        describe({**LLAMA, "more": [[] for _turn in range(200)]})


def test_the_config_is_left_as_it_was() -> None:
    for config in CONFIGS.values():
        before = copy.deepcopy(config)
        describe(config)
        assert config == before


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([10**7, 10**18, 10**30, -(10**9), 8192, 131072]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["linear", "yarn", "auto", "float32", "LLG", "M*", "nemotron_h", "qwen3_next", "bert", "jamba"]),
    st.lists(st.integers(-1, 2) | st.sampled_from(["mamba", "full_attention", "hybrid"]), max_size=70),
    st.dictionaries(
        st.sampled_from(["factor", "type", "num_bits", "quant_method", "model_type"]), st.integers(), max_size=2
    ),
)
MORE_FIELDS = """
    text_config llm_config layer_types layers_block_type hybrid_override_pattern full_attention_interval model_type
    sliding_window_pattern use_sliding_window max_window_layers num_kv_shared_layers no_rope_layers block_configs
    attn_layer_indices linear_attn_config hybrid_layer_pattern mamba_d_conv mamba_n_heads n_groups ssm_state_size
    conv_kernel conv_L_cache index_head_dim attn_config moe_k
"""
FIELDS = st.sampled_from(sorted({name for config in CONFIGS.values() for name in config} | set(MORE_FIELDS.split())))


def described(config: Any) -> dict[str, Any] | None:
    """Describe it, or return None where it is refused in one sentence."""
    try:
        return describe(config)
    except ConfigError as error:
        refused = str(error)
    assert refused.startswith("config.json")
    assert refused.endswith(".")
    return None


@given(
    config=st.sampled_from(sorted(CONFIGS)),
    changes=st.dictionaries(FIELDS, JUNK, max_size=4),
    dropped=st.sets(FIELDS, max_size=2),
    inside=st.booleans(),
)
def test_a_mutated_config_raises_nothing_but_its_own_error(
    config: str, changes: dict[str, Any], dropped: set[str], inside: bool
) -> None:
    mutated = copy.deepcopy(CONFIGS[config])
    target = mutated["text_config"] if inside and "text_config" in mutated else mutated
    target.update(changes)
    for name in dropped:
        target.pop(name, None)
    facts = described(mutated)
    if facts is None:
        return
    json.dumps(facts, allow_nan=False)
    assert sum(layer["count"] for layer in facts["layers"]) <= 2 * len(facts["layer_order"])
    rank_weight_bytes({**facts, "weight_bytes": 10**9}, 2, 2)
    try:
        layout = geometry(facts, tensor_parallel_size=1, dtype="bfloat16", max_num_batched_tokens=2048)
    except GeometryError:
        return
    length = layout.longest(1 << 40, facts["max_position_embeddings"])
    assert layout.capacity(1 << 40, max(1, length))["kv_cache_tokens"] >= 0


@given(st.recursive(JUNK, lambda inner: st.dictionaries(FIELDS, inner, max_size=6), max_leaves=20))
def test_anything_at_all_raises_nothing_but_its_own_error(config: Any) -> None:
    described(config)
    described({**LLAMA, "text_config": config})
