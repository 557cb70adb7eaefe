# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Estimate the weights of a model on one rank, as they are once they are loaded.

Within 2 % of what vLLM 0.33 allocates for the models of test_kv_cache.py.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import quantization
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import DTYPE_BYTES
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.stage_layers import parts_of

# Bytes of a weight of mxfp4: four bits, and eight for each 32 of them.
_MXFP4_BYTES = 17 / 32
MXFP4 = ("mxfp4", "gpt_oss_mxfp4")
_BIAS_BYTES = 2
# Experts of Kimi Linear are at least so wide on each rank.
_KIMI_WIDTH = 256
# FlashInfer's kernel for experts in 16 bits, on data-centre Blackwell, takes multiples of so many. It has no GELU.
_BLACKWELL_WIDTH = 128
_GELU_EXPERTS = ("gemma4",)
# Latent attention keeps the up-projection of keys and values twice, in the model's dtype (two bytes).
_UNPACKED_BYTES = 2


def _copied_bytes(facts: Mapping[str, Any], size: int) -> int:
    """Return the bytes that every rank holds in full: norms, routers, and the down-projections of latent attention."""
    hidden, layers = int(facts["hidden_size"]), int(facts["num_hidden_layers"])
    copied = (2 * layers + 1) * hidden * size
    copied += layers * hidden * int(facts.get("num_experts") or 0) * size
    weight = 1 if facts.get("quantization") == "fp8" else size
    for layer in facts["layers"]:
        if layer["type"] == "mla":
            ranks = int(layer.get("q_lora_rank") or 0) + int(layer["kv_lora_rank"]) + int(layer["qk_rope_head_dim"])
            copied += layer["count"] * hidden * ranks * weight
    return copied


def _copied_heads_bytes(facts: Mapping[str, Any], tp: int, size: int) -> int:
    """Return the bytes of key and value projections that a rank holds beyond its share, where heads are copied."""
    extra = 0.0
    for layer in facts["layers"]:
        heads = int(layer.get("num_kv_heads") or 0)
        if heads and tp > heads:
            widths = int(layer["head_size"]) + int(layer["head_size_v"])
            extra += layer["count"] * int(facts["hidden_size"]) * widths * size * (1 - heads / tp)
    return int(extra)


def _unpacked_bytes(facts: Mapping[str, Any]) -> int:
    """Return the bytes of the copies that latent attention with quantised projections makes, over all ranks."""
    if not facts.get("quantization"):
        return 0
    total = 0
    for layer in facts["layers"]:
        if layer["type"] == "mla":
            widths = int(layer.get("qk_nope_head_dim") or 0) + int(layer.get("v_head_dim") or 0)
            per_head = widths * int(layer["kv_lora_rank"])
            total += layer["count"] * int(facts["num_attention_heads"]) * per_head * _UNPACKED_BYTES
    return total


def loaded(facts: Mapping[str, Any], args: Mapping[str, Any], dtype: str) -> Mapping[str, Any]:
    """Return the facts of a model as it is once it is loaded: cast to a data type, or quantised while it is loaded.

    :param dtype: what the instance computes with.
    """
    if facts.get("quantization") or not facts.get("weight_bytes"):
        return facts
    own = facts.get("dtype") or dtype
    total, size = int(facts["weight_bytes"]), DTYPE_BYTES.get(dtype, 2)
    if DTYPE_BYTES.get(own, 2) != size:
        # Some checkpoints are not stored in the type that their config names: numbers tell it better than bytes.
        numbers = facts.get("parameters")
        total = int(numbers) * size if numbers else total * size // DTYPE_BYTES.get(own, 2)
    cast = {**facts, "weight_bytes": total, "dtype": dtype}
    way = quantization.at_load(facts, args)
    if way is None:
        return cast
    bits, everything = quantization.AT_LOAD[way]
    embedding = _embedding_bytes(cast, size)
    # Encoders are never quantised.
    copied = _copied_bytes(cast, size) + int(facts.get("uncut_parameters") or 0) * 2
    whole = min(copied + embedding * (1 if facts.get("tie_word_embeddings") else 2), total)
    concerned = total - whole if everything else min(_experts_bytes(cast, size), total - whole)
    saved = concerned * (1 - bits / 8 / size)
    return {**cast, "weight_bytes": total - int(saved), "quantization": "fp8" if everything else None}


def _embedding_bytes(facts: Mapping[str, Any], size: int) -> int:
    """Return the bytes of the embedding, which is never quantised."""
    return min(int(facts["vocab_size"]) * int(facts["hidden_size"]) * size, int(facts["weight_bytes"]) // 2)


def _expert_width(facts: Mapping[str, Any]) -> int:
    """Return the width of a routed expert; 0 where it is not known."""
    if "projections" not in facts and facts.get("model_type") == "gpt_oss":
        # Facts that an earlier version cached.
        return int(facts.get("intermediate_size") or 0)
    return next((int(part["experts"]) for part in facts.get("projections") or () if "experts" in part), 0)


def _experts_bytes(facts: Mapping[str, Any], size: float) -> int:
    """Return the bytes of all routed experts: gate where there is one, up and down of each, in every layer."""
    part: Mapping[str, Any] = next((one for one in facts.get("projections") or () if "experts" in one), {})
    numbers = (
        _expert_width(facts) * int(part.get("inputs") or facts["hidden_size"]) * int(facts.get("num_experts") or 0)
    )
    numbers *= int(part.get("matrices") or 3)
    return int(numbers * int(facts.get("expert_layers") or facts["num_hidden_layers"]) * size)


def routed_bytes(facts: Mapping[str, Any]) -> int:
    """Return the bytes of all routed experts as the checkpoint stores them."""
    method = facts.get("quantization")
    if not method:
        return _experts_bytes(facts, DTYPE_BYTES.get(facts.get("dtype") or "bfloat16", 2))
    if method in MXFP4:
        return _experts_bytes(facts, _MXFP4_BYTES)
    said = [int(one["bits"]) for one in facts.get("quantization_sets") or () if one.get("bits")]
    return _experts_bytes(facts, min(said, default=8) / 8)


def _width_padding(facts: Mapping[str, Any], tp: int, capability: tuple[int, int], cuts: int) -> int:
    """Return the bytes that experts on one rank grow by where they are filled up to a width.

    Kimi Linear has none narrower than 256 (`min_moe_intermediate_per_partition` of `models/kimi_k3/nvidia/model.py`);
    `unquantized_round_up_hidden_size_and_intermediate_size` rounds up what is not quantised on data-centre Blackwell.

    :param cuts: ranks over which each expert is cut.
    """
    own, padded, kind = _expert_width(facts) / cuts, 0, str(facts.get("model_type"))
    if kind.startswith("kimi_linear"):
        padded = _KIMI_WIDTH
    if capability[0] == 10 and not facts.get("quantization") and not kind.startswith(_GELU_EXPERTS):
        padded = max(padded, -(-int(own) // _BLACKWELL_WIDTH) * _BLACKWELL_WIDTH)
    return int(routed_bytes(facts) / tp * (padded / own - 1)) if 0 < own < padded else 0


def _mxfp4_padding(
    facts: Mapping[str, Any], tp: int, capability: tuple[int, int], cuts: int, adapted: bool = False
) -> int:
    """Return the bytes that kernels for mxfp4 add to the experts of one rank.

    `mxfp4_round_up_hidden_size_and_intermediate_size` of vLLM 0.32, with the kernels that it chooses by card: Triton on
    Hopper for gpt-oss, FlashInfer's on data-centre Blackwell, Marlin on all others.
    """
    width, hidden = _expert_width(facts), int(facts["hidden_size"])
    if facts.get("quantization") not in MXFP4 or not width:
        return 0
    triton = facts.get("model_type") == "gpt_oss" and capability[0] in (9, 11) and not adapted
    inner, outer = (64, 1) if triton else (128, 256)
    own = width / cuts
    padded, across = -(-width // cuts // inner) * inner, -(-hidden // outer) * outer
    biased = _BIAS_BYTES if facts.get("model_type") == "gpt_oss" else 0
    extra = 3 * (padded * across - own * hidden) * _MXFP4_BYTES + biased * (2 * (padded - own) + across - hidden)
    experts = int(facts.get("num_experts") or 0) * cuts / tp
    return int(extra * experts * int(facts["num_hidden_layers"]))


def rank_weight_bytes(
    facts: Mapping[str, Any],
    tp: int,
    pp: int = 1,
    capability: tuple[int, int] = (9, 0),
    dp: int = 1,
    whole_experts: bool = False,
    adapted: bool = False,
) -> int:
    """Return the bytes of weights on the rank that holds most; see `stage_weight_bytes`."""
    return max(stage_weight_bytes(facts, tp, pp, capability, dp, whole_experts, adapted))


def stage_weight_bytes(
    facts: Mapping[str, Any],
    tp: int,
    pp: int = 1,
    capability: tuple[int, int] = (9, 0),
    dp: int = 1,
    whole_experts: bool = False,
    adapted: bool = False,
) -> list[int]:
    """Return the bytes of weights on a rank of each pipeline stage, with `facts["weight_bytes"]` of the whole model.

    :param capability: compute capability of its GPU.
    :param dp: ranks of data parallelism, over which experts are spread, with expert parallelism or without.
    :param whole_experts: whether a rank holds whole experts instead of a part of each.
    :param adapted: whether there are adapters (LoRA), which other kernels for experts take.

    Raises `ValueError` for facts without weights and for sizes below one.
    """
    total = facts.get("weight_bytes")
    if total is None:
        raise ValueError("weight_bytes is missing: give the size of the model's weights in bytes.")
    if tp < 1 or pp < 1:
        raise ValueError(f"tensor_parallel_size {tp} and pipeline_parallel_size {pp}: both must be at least 1.")
    size = DTYPE_BYTES.get(facts.get("dtype") or "bfloat16", 2)
    embedding = _embedding_bytes(facts, size)
    body = int(total) - embedding * (1 if facts.get("tie_word_embeddings") else 2)
    if body < 0:
        # An encoder has no output head.
        body, embedding = int(total), 0
    parts = parts_of(facts, pp)
    # Encoders of images and sound are on every stage.
    uncut = min(int(facts.get("uncut_parameters") or 0) * 2, body)
    encoders = min(max(uncut, int(facts.get("encoder_parameters") or 0) * 2), body) if len(parts) > 1 else uncut
    cuts = 1 if whole_experts else tp
    padding = _mxfp4_padding(facts, tp, capability, cuts, adapted)
    if not adapted:
        padding += _width_padding(facts, tp, capability, cuts)
    routed = min(routed_bytes(facts), body - encoders)
    found = []
    for part in parts:
        experts = routed * part.experts
        own = (body - encoders - routed) * part.layers + experts + (encoders - uncut) + embedding * part.embeddings
        copied = min(_copied_bytes(facts, size) * part.layers, own)
        spread = min(experts, own - copied) * (1 - 1 / dp)
        rank = uncut + copied + (own - copied - spread) / tp + padding * (part.experts if routed else part.layers)
        rank += (_copied_heads_bytes(facts, tp, size) + _unpacked_bytes(facts) / tp) * part.layers
        found.append(int(rank))
    return found
