# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import safetensors
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import (
    HEADER_LIMIT,
    Index,
    SafetensorsError,
    Tensor,
    Weights,
    header_length,
    merge,
    parse_header,
    parse_index,
    parse_object,
    weigh,
)
from hypothesis import given
from hypothesis import strategies as st


def entry(begin: Any, end: Any, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def header(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def test_a_header_is_read() -> None:
    data = header(
        __metadata__={"format": "pt"},
        b=entry(8, 14, "BF16", [3]),
        a=entry(0, 8, "F32", [2, 1]),
        empty=entry(14, 14, "I64", [0, 5]),
        scalar=entry(14, 15, "U8", []),
        packed=entry(15, 18, "F6_E2M3", [4]),
        tomorrow=entry(18, 19, "F1_X", [8]),
    )
    # Writers pad the header with spaces.
    data += b"   "
    assert parse_header(data, "x", 8 + len(data) + 19) == {
        "a": Tensor(2, 8, "F32"),
        "b": Tensor(3, 6, "BF16"),
        "empty": Tensor(0, 0, "I64"),
        "scalar": Tensor(1, 1, "U8"),
        "packed": Tensor(4, 3, "F6_E2M3"),
        "tomorrow": Tensor(8, 1, "F1_X"),
    }
    assert parse_header(header(__metadata__=None), "x") == {}


@pytest.mark.parametrize(
    ("prefix", "size", "words"),
    [
        (b"", 0, "x has 0 bytes, too few for a safetensors header; fetch the file again"),
        (b"1234567", 7, "x has 7 bytes"),
        (
            (2 << 30).to_bytes(8, "little"),
            10**10,
            f"claims a header of 2147483648 bytes, the format has 2 to {HEADER_LIMIT}",
        ),
        (b"\xff" * 8, None, "claims a header of 18446744073709551615 bytes"),
        (bytes(8), None, "claims a header of 0 bytes"),
        ((500).to_bytes(8, "little"), 507, "claims a header of 500 bytes and has only 507 in all"),
        (b"version https://git-lfs", 130, "Git LFS pointer, not the file itself; run git lfs pull"),
    ],
)
def test_a_header_that_cannot_be(prefix: bytes, size: int | None, words: str) -> None:
    with pytest.raises(SafetensorsError) as raised:
        header_length(prefix[:8], "x", size)
    assert words in str(raised.value)


def test_headers_have_a_limit_together() -> None:
    allowed = safetensors.Allowance()
    assert allowed.take(HEADER_LIMIT - 5) == HEADER_LIMIT - 5
    assert allowed.take(5) == 5
    with pytest.raises(SafetensorsError, match="take more than 100 MB; choose another checkpoint"):
        allowed.take(1)


def test_the_length_of_a_header() -> None:
    assert header_length((500).to_bytes(8, "little"), "x", 508) == 500
    assert header_length(HEADER_LIMIT.to_bytes(8, "little"), "x") == HEADER_LIMIT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin with {"),
        (b" {}", "does not begin with {"),
        (b"[]", "does not begin with {"),
        (b'{"a":', "is no valid JSON"),
        (b'{"a": \xff}', "is no valid JSON"),
        (b'{"a": 1, "a": 1}', "a name stands twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number has 5000 digits"),
        (b'{"a": ' + b"[" * 200_000, "nested deeper than 64 levels"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 64 levels"),
        (header(__metadata__=[1]), "__metadata__ of x is no map of texts"),
        (header(__metadata__=[]), "__metadata__ of x is no map of texts"),
        (header(__metadata__={"a": 1}), "__metadata__ of x is no map of texts"),
        (header(a=entry(0, 4), b=entry(2, 6)), "tensor 'b' of x overlaps the one before it"),
        (header(a=entry(0, 4), b=entry(8, 12)), "tensor 'b' of x leaves a hole before it"),
        (header(a=entry(4, 8)), "tensor 'a' of x leaves a hole before it"),
        (header(a=entry(0, 5, "F32", [1])), "takes 5 bytes, which does not fit its shape in F32"),
        (header(a=entry(0, 1, "F4", [1])), "takes 1 bytes, which does not fit its shape in F4"),
        (header(**{"n" * 5000: entry(0, 5, "F32", [1])}), "n' of x takes 5 bytes"),
    ],
)
def test_a_hostile_header(data: bytes, words: str) -> None:
    with pytest.raises(SafetensorsError) as raised:
        parse_header(data, "x")
    assert words in str(raised.value)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    "tensor",
    [
        None,
        [],
        "text",
        7,
        {},
        {"dtype": "F32", "shape": [1]},
        {"dtype": 32, "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": 4},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [False, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4.0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40] * 10_000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**63]},
    ],
)
def test_a_tensor_of_wrong_types(tensor: Any) -> None:
    with pytest.raises(SafetensorsError, match="tensor 'a' of x needs a dtype"):
        parse_header(header(a=tensor), "x")


def test_tensors_fill_their_file() -> None:
    data = header(a=entry(0, 4))
    assert parse_header(data, "x", 8 + len(data) + 4) == {"a": Tensor(1, 4, "F32")}
    with pytest.raises(
        SafetensorsError, match=f"should have {len(data) + 12} bytes by its header and has {len(data) + 9}"
    ):
        parse_header(data, "x", 8 + len(data) + 1)


NAMES = ["a", "__metadata__", "dtype", "shape", "data_offsets", "weight_map", "metadata", "total_size"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


def complaint(parse: Callable[[bytes, str], object], data: bytes) -> str:
    try:
        parse(data, "x")
    except SafetensorsError as error:
        return str(error)
    return "none; fine"


@given(JSON)
def test_nothing_but_its_own_error(document: Any) -> None:
    for data in (json.dumps(document).encode(), json.dumps({"a": document}).encode()):
        assert "; " in complaint(parse_header, data)
        assert "; " in complaint(parse_index, data)


@given(st.binary(max_size=40))
def test_no_bytes_break_it(data: bytes) -> None:
    for parse in (parse_header, parse_index, header_length):
        assert "; " in complaint(parse, data)


def test_an_object_out_of_nowhere() -> None:
    # Mamba's configs hold it.
    assert parse_object(b'{"time_step_limit": [0.0, Infinity]}', "x")["time_step_limit"][1] == float("inf")
    assert parse_object(b'{"a": [[{"b": -9223372036854775808}]]}', "x") == {"a": [[{"b": -(2**63)}]]}
    with pytest.raises(SafetensorsError, match="x is no JSON object"):
        parse_object(b"[]", "x")


def index(where: Any, **metadata: Any) -> bytes:
    return json.dumps({"metadata": metadata, "weight_map": where}).encode()


def test_an_index_is_read() -> None:
    shards = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors")
    where = {"a": shards[1], "b": shards[0], "c": shards[1]}
    assert parse_index(index(where, total_size=10), "x") == Index(shards, 10)
    # Sums of 4-bit tensors are floats.
    assert parse_index(index(where, total_size=10.0), "x") == Index(shards, 10)
    assert parse_index(index(where), "x") == Index(shards, None)
    assert parse_index(index(where, total_size=0), "x") == Index(shards, None)
    assert parse_index(json.dumps({"weight_map": where}).encode(), "x") == Index(shards, None)
    assert parse_index(index({"a": "pytorch_model.bin"}), "x", ".bin") == Index(("pytorch_model.bin",), None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[]", "x is no JSON object"),
        (b"{}", "x has no weight_map"),
        (index({}), "x has no weight_map"),
        (index(["a"]), "x has no weight_map"),
        (index({"a": 1}), "weight_map of x names '1', which is no .safetensors file of the same folder"),
        (index({"a": "/etc/shadow"}), "'/etc/shadow'"),
        (index({"a": "../x.safetensors"}), "'../x.safetensors'"),
        (index({"a": ".safetensors"}), "'.safetensors'"),
        (index({"a": "a.safetensors?x.safetensors"}), "same folder"),
        (index({"a": "a.bin"}), "'a.bin'"),
        (index({"a": "a.safetensors\n"}), "same folder"),
        (index({"a": "a.safetensors"}, total_size="12"), "metadata.total_size of x is '12', not a number of bytes"),
        (index({"a": "a.safetensors"}, total_size=-1), "is '-1'"),
        (index({"a": "a.safetensors"}, total_size=True), "is 'True'"),
        (index({"a": "a.safetensors"}, total_size=1.5), "is '1.5'"),
        (index({"a": "a.safetensors"}, total_size=1e300), "metadata.total_size of x is '1000"),
        (index({"a": "a.safetensors"}, total_size=[]), "is '[]'"),
    ],
)
def test_a_hostile_index(data: bytes, words: str) -> None:
    with pytest.raises(SafetensorsError) as raised:
        parse_index(data, "x")
    assert words in str(raised.value)


def tensors(*names: str) -> dict[str, Tensor]:
    return {name: Tensor(10, 20) for name in names}


@pytest.mark.parametrize(
    "spare",
    [
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.61.embed_tokens.weight",
        "language_model.model.layers.2.shared_head.norm.weight",
        "model.language_model.layers.3.mlp.up_proj.weight",
        "mtp.layers.0.mlp.up_proj.weight",
        "mtp.fc.weight",
        "model.mtp_layers.0.input_proj.weight",
        "model.mtp_block.0.norm.weight",
    ],
)
def test_layers_for_prediction_are_not_loaded(spare: str) -> None:
    facts = {"num_hidden_layers": 2, "tie_word_embeddings": False}
    assert weigh(tensors("model.layers.1.mlp.up_proj.weight", spare), facts) == Weights(20, 10)


@pytest.mark.parametrize(
    "name",
    [
        # A vision tower's layers are its own.
        "vision_tower.vision_model.encoder.layers.26.mlp.fc1.weight",
        "model.visual.blocks.26.norm1.weight",
        "model.layers.1.mtp_gate.weight",
        "lm_head.weight",
        "model.layers.x.weight",
    ],
)
def test_what_is_loaded(name: str) -> None:
    facts = {"num_hidden_layers": 2, "tie_word_embeddings": False}
    assert weigh(tensors("model.embed_tokens.weight", name), facts) == Weights(40, 20)


@pytest.mark.parametrize("head", ["lm_head.weight", "language_model.lm_head.weight"])
@pytest.mark.parametrize("embedding", ["model.embed_tokens.weight", "transformer.wte.weight", "embed_in.weight"])
def test_a_tied_head_is_the_embedding_once_more(head: str, embedding: str) -> None:
    facts = {"num_hidden_layers": 2, "tie_word_embeddings": True}
    assert weigh(tensors(embedding, head), facts) == Weights(20, 10)
    assert weigh(tensors(embedding, head), {**facts, "tie_word_embeddings": False}) == Weights(40, 20)
    # Without the embedding the head stands for both.
    assert weigh(tensors(head), facts) == Weights(20, 10)


def test_qwen3_weighs_what_vllm_loads() -> None:
    """Qwen3-0.6B: the repository has a head beside the embedding, vLLM loads 1192099840 bytes."""
    hidden, inner, vocabulary, query, key = 1024, 3072, 151936, 2048, 1024
    shapes = {f"{name}.weight": vocabulary * hidden for name in ("model.embed_tokens", "lm_head")}
    shapes["model.norm.weight"] = hidden
    for number in range(28):
        layer = f"model.layers.{number}."
        shapes.update({f"{layer}mlp.{name}_proj.weight": inner * hidden for name in ("gate", "up", "down")})
        shapes.update({f"{layer}self_attn.{name}_proj.weight": query * hidden for name in ("q", "o")})
        shapes.update({f"{layer}self_attn.{name}_proj.weight": key * hidden for name in ("k", "v")})
        shapes.update({f"{layer}self_attn.{name}_norm.weight": 128 for name in ("q", "k")})
        shapes.update({f"{layer}{name}_layernorm.weight": hidden for name in ("input", "post_attention")})
    held = {name: Tensor(elements, 2 * elements) for name, elements in shapes.items()}
    assert weigh(held, {"num_hidden_layers": 28, "tie_word_embeddings": True}).size == 1192099840


def test_a_checkpoint_of_nothing() -> None:
    with pytest.raises(SafetensorsError, match="contain no tensor"):
        weigh({}, {"num_hidden_layers": None})
    with pytest.raises(SafetensorsError, match="contain no tensor"):
        weigh(tensors("mtp.fc.weight"), {})


def test_a_tensor_in_two_files_counts_once() -> None:
    assert merge([tensors("a", "b"), tensors("b", "c")]) == tensors("a", "b", "c")


def test_every_format_of_the_reference_has_its_bits() -> None:
    assert safetensors.BITS["F8_E4M3"] == 8
    assert set(safetensors.BITS.values()) == {4, 6, 8, 16, 32, 64}
