# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sizes of tensor parallelism vLLM refuses for a model: by its heads, and by blocks and groups of its weights.

Rules of vLLM 0.32: `validate_fp8_block_shape`, `refine_fp8_moe_block_shape`, `MarlinLinearKernel.can_implement`,
`check_moe_marlin_supports_config`, `MoeWNA16Method.create_weights`, `CompressedTensorsWNA16MoEMethod`. Pure functions;
no Ansible, no files, no network.
"""

from __future__ import annotations

from functools import reduce
from math import gcd
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import quantization
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import tensor_parallel_allowed
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.sizing import Gpu

# Scales of fp8 experts are refined to blocks of no fewer values, groups of 4-bit experts halved to no fewer.
_FINEST = 32
# Experts in these methods fall back to kernels that halve groups.
_HALVES_GROUPS = ("awq", "auto_awq", "awq_marlin", "gptq", "auto_gptq", "gptq_marlin", "inc", "moe_wna16")
_BLOCK_AT_LOAD = [128, 128]
_FP8_CAPABILITY = (8, 9)


def refusal(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, device: Gpu | None = None) -> str:
    """Return why vLLM cannot distribute a model over so many ranks; empty where it can.

    :param device: the kind of GPU; null for what is refused on every one.
    """
    if not tensor_parallel_allowed(facts, tensor):
        heads, kv = facts["num_attention_heads"], facts["num_key_value_heads"]
        return f"TP {tensor} does not divide its {heads} attention and {kv} KV heads"
    method = quantization.method_of(facts, args)
    blocks = quantization.at_load(facts, args) == "fp8_per_block"
    for part in facts.get("projections") or ():
        block = _BLOCK_AT_LOAD if blocks else part.get("block")
        said = (
            _cut_blocks(part, block, facts, args, tensor, device) if block else _cut_groups(part, method, args, tensor)
        )
        if said:
            return said
    return ""


def experts_whole(args: Mapping[str, Any]) -> bool:
    """Check whether ranks hold whole experts instead of a part of each."""
    return bool(args.get("enable-expert-parallel"))


def _told(part: Mapping[str, Any], tensor: int, what: str, width: int, unit: str, size: int) -> str:
    each = (
        f"TP {tensor} leaves {part['name']} {what} of {width}"
        if tensor > 1
        else f"{part['name']} has {what} of {width}"
    )
    return f"{each}, which is not divisible by the {unit} of {size} that share a scale"


def _cut_blocks(
    part: Mapping[str, Any],
    block: list[int],
    facts: Mapping[str, Any],
    args: Mapping[str, Any],
    tensor: int,
    device: Gpu | None,
) -> str:
    outputs, inputs = block
    if "rows" in part and tensor > 1 and part["rows"] // tensor % inputs:
        return _told(part, tensor, "an input", part["rows"] // tensor, "blocks", inputs)
    columns = [max(1, heads // tensor) * size for heads, size in part.get("columns") or ()]
    # The last one of a layer that is not cut may end within a block.
    for width in columns if tensor > 1 else columns[:-1]:
        if width % outputs:
            return _told(part, tensor, "an output", width, "blocks", outputs)
    if "experts" in part:
        width = part["experts"] if experts_whole(args) else part["experts"] // tensor
        whole = width % outputs == 0 and (tensor == 1 or width % inputs == 0)
        finest = reduce(gcd, (outputs, inputs, width, int(facts["hidden_size"])))
        # Only Triton's kernels take finer blocks, and these need fp8 in hardware; compressed-tensors asks for none.
        refined = finest >= _FINEST and facts.get("quantization") != "compressed-tensors"
        if not whole and not (refined and (device is None or device.capability >= _FP8_CAPABILITY)):
            return _told(part, tensor, "experts", width, "blocks", outputs)
    return ""


def _cut_groups(part: Mapping[str, Any], method: str | None, args: Mapping[str, Any], tensor: int) -> str:
    group = part.get("group")
    if not group:
        return ""
    if "rows" in part and tensor > 1 and group < part["rows"]:
        width = part["rows"] // tensor
        if part["rows"] % tensor or width % group:
            return _told(part, tensor, "an input", width, "groups", group)
    if "experts" in part:
        width = part["experts"] if experts_whole(args) else part["experts"] // tensor
        # A group is halved until it divides the width, but not below 32.
        least = min(group, _FINEST) if method in _HALVES_GROUPS else group
        if width % least:
            return _told(part, tensor, "experts", width, "groups", least)
    return ""
