# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vLLM's kernels for attention and for states ask of a cache on a card: blocks, bytes of a token, types.

Sources, vLLM 0.32: `_get_backend_priorities` of `platforms/cuda.py` and the backends that it lists
(`v1/attention/backends`), with FlashInfer installed, as it is by roles/vllm/files/vllm-cuda.txt.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Tuple

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import GATED_DELTA_CHECKPOINTS, Release

Capability = Tuple[int, int]

DEFAULT_BLOCK_SIZE = 16
CPU_BLOCK_SIZE = 128
# FlashMLA, which serves an fp8 cache on Hopper, the sparse kernels and their indexer take blocks of 64 tokens only.
FLASHMLA_BLOCK_SIZE = 64
# FlashInfer's latent attention on data-centre Blackwell takes blocks of 32 or 64, and heads of these widths.
BLACKWELL_MLA_BLOCK_SIZE = 32
BLACKWELL_MLA_WIDTHS = (64, 128, 192)
# TRITON_FLASHINFER, which serves image masks on data-centre Blackwell, has pages of 64 tokens for these heads, and so
# has FlashAttention 4 with an fp8 cache of heads of 512 on Hopper.
WIDE_BLOCK_SIZE = 64
IMAGE_MASK_WIDTHS = (256, 512)
WIDEST_HEAD = 512
# Widths of heads of FlashInfer, the only kernel with an fp8 cache on Ampere.
FLASHINFER_WIDTHS = (64, 128, 256, 512)
FP8_KV_CAPABILITY: Capability = (8, 9)
FLASHINFER_CAPABILITY: Capability = (8, 0)
# There is no sparse latent attention before Hopper.
SPARSE_CAPABILITY: Capability = (9, 0)
# Bytes of one token that `fp8_ds_mla` keeps for sparse latent attention: 512 values, their scales, 64 rotary bf16.
FP8_SPARSE_MLA_BYTES = 656
# FlashInfer's gated delta rule exports states at multiples of this many tokens.
CHECKPOINT_ALIGNMENT = 64
# FlashKDA exports them at multiples of this many, on these cards.
FLASHKDA_ALIGNMENT = 16
FLASHKDA_MAJORS = (9, 10, 12)


def _types(facts: Mapping[str, Any]) -> set[str]:
    return {layer["type"] for layer in facts["layers"]}


def _widths(facts: Mapping[str, Any]) -> set[int]:
    return {int(layer["head_size"]) for layer in facts["layers"] if "num_kv_heads" in layer}


def block_size(facts: Mapping[str, Any], size: int, device: str, capability: Capability) -> int:
    """Return the tokens of a block where none are asked for.

    :param size: bytes of one value in the cache.
    :param device: ``cuda`` or ``cpu``.
    """
    kinds, major = _types(facts), capability[0]
    if device == "cpu":
        # Latent attention takes 16 without AMX tiles.
        return DEFAULT_BLOCK_SIZE if "mla" in kinds else CPU_BLOCK_SIZE
    if "indexer" in kinds:
        return FLASHMLA_BLOCK_SIZE
    if "mla" in kinds:
        if major == 10 and _nope_width(facts) in (0, *BLACKWELL_MLA_WIDTHS):
            return BLACKWELL_MLA_BLOCK_SIZE
        return FLASHMLA_BLOCK_SIZE if size == 1 and major == 9 else DEFAULT_BLOCK_SIZE
    if major == 10 and facts.get("image_prefix") and _widths(facts) & set(IMAGE_MASK_WIDTHS):
        return WIDE_BLOCK_SIZE
    if major == 9 and size == 1 and WIDEST_HEAD in _widths(facts):
        return WIDE_BLOCK_SIZE
    return DEFAULT_BLOCK_SIZE


def _nope_width(facts: Mapping[str, Any]) -> int:
    """Return the width of a latent head without positions; 0 where the facts do not tell it."""
    return next((int(layer.get("qk_nope_head_dim") or 0) for layer in facts["layers"] if layer["type"] == "mla"), 0)


def cache_type(facts: Mapping[str, Any], asked: str, capability: Capability) -> str:
    """Return the dtype of the cache that vLLM makes of the one asked for: `auto` is fp8 for GLM 5 on SM10x."""
    sparse = facts.get("model_type") == "glm_moe_dsa" and "indexer" in _types(facts)
    return "fp8_e4m3" if asked == "auto" and sparse and capability[0] == 10 else asked


def sparse_token_bytes(size: int, capability: Capability) -> int | None:
    """Return the bytes of a token in the packed layout of sparse latent attention; none where it is not packed.

    FlashMLA packs an fp8 cache on Hopper; on SM10x FlashInfer keeps plain fp8; SM12x has the packed layout alone.
    """
    if capability[0] == 12 or (size == 1 and capability[0] != 10):
        return FP8_SPARSE_MLA_BYTES
    return None


def state_blocks(
    kinds: Iterable[Any], bounded: bool, mode: str, device: str, capability: Capability, release: Release
) -> tuple[int, int]:
    """Return the blocks that a request takes of a state, and what block sizes are multiples of because of it.

    With prefix caching (`align`) two states, and one prefill checkpoint where the kernel can export one: Mamba 2's
    can, FlashKDA, which needs a gate with a bound, and later FlashInfer's gated delta rule, which needs Hopper.

    :param kinds: kinds of the model's states.
    :param bounded: whether the gate has a lower bound.
    """
    if mode != "align":
        return 1, 1
    kinds, cuda = set(kinds), device == "cuda"
    if kinds == {"gated_delta_net"} and cuda and capability[0] >= 9 and release >= GATED_DELTA_CHECKPOINTS:
        return 3, CHECKPOINT_ALIGNMENT
    if kinds == {"kimi_delta_attention"} and cuda and bounded and capability[0] in FLASHKDA_MAJORS:
        return 3, FLASHKDA_ALIGNMENT if release >= GATED_DELTA_CHECKPOINTS else 1
    return (3, 1) if kinds == {"mamba2"} else (2, 1)


def refusal(facts: Mapping[str, Any], capability: Capability, name: str) -> tuple[str, str] | None:
    """Return why no backend of vLLM can run a model's attention on a card, and the remedy; none where one can.

    :param name: of the card.
    """
    if "indexer" in _types(facts) and capability < SPARSE_CAPABILITY:
        text = (
            f"its sparse attention needs compute capability 9.0, {name} has {_power(capability)}: vLLM has no "
            "attention backend for it there"
        )
        return text, "choose a host with GPUs of compute capability 9.0 or newer"
    return None


def fp8_refusal(facts: Mapping[str, Any], kv_cache_dtype: str, capability: Capability, name: str) -> str:
    """Return why no backend of vLLM has an fp8 cache for a model on a card; empty where one has, and for other types.

    :param kv_cache_dtype: as asked for, or as the checkpoint declares it.
    :param name: of the card.
    """
    if not kv_cache_dtype.startswith("fp8") or not (facts["layers"] or facts.get("encoder_only")):
        return ""
    power = _power(capability)
    if capability[0] != 9 and any(_differs(layer) for layer in facts["layers"]):
        return (
            "its keys and values differ in width, for which FlashAttention has an fp8 KV cache on compute capability "
            f"9.0 alone: {name} has {power}"
        )
    if capability >= FP8_KV_CAPABILITY:
        return ""
    if capability < FLASHINFER_CAPABILITY:
        return f"an fp8 KV cache needs compute capability 8.0, {name} has {power}"
    why = _why_not_flashinfer(facts)
    if why:
        return f"an fp8 KV cache of a model with {why} needs compute capability 8.9, {name} has {power}"
    return ""


def _power(capability: Capability) -> str:
    return ".".join(map(str, capability))


def _differs(layer: Mapping[str, Any]) -> bool:
    return "head_size_v" in layer and layer["head_size"] != layer["head_size_v"]


def _why_not_flashinfer(facts: Mapping[str, Any]) -> str:
    """Return what keeps a model from FlashInfer on Ampere, so that Triton would serve it; empty for nothing."""
    if _types(facts) & {"mla", "indexer"}:
        return "latent attention"
    if facts.get("encoder_only"):
        # It keeps no cache, and vLLM asks its backend for the type all the same.
        return "attention in both directions"
    if facts.get("attention_sinks"):
        return "attention sinks"
    if facts.get("image_prefix"):
        return "an image mask"
    odd = sorted(_widths(facts) - set(FLASHINFER_WIDTHS))
    return f"heads of {odd[0]}" if odd else ""
