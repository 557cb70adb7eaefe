# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What flags add to the weights of a rank, or take away: adapters (LoRA), a drafter, offloading to the host.

Sources, vLLM 0.32: `create_lora_weights` of `lora/layers`, `config/offload.py` and `model_executor/offloader`.
All sizes are bytes of one rank.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import drafters
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import number, pinned, switched
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import DTYPE_BYTES, STATE

GIB = 1024**3
# Its defaults of max-loras and max-lora-rank (config/lora.py).
ADAPTERS, RANK = 1, 16


def drafter_bytes(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, dtype: str) -> int:
    """Return the weights of the drafter, which lies on the last pipeline stage."""
    drafter = drafters.of(facts, args)
    total = drafter.weight_bytes
    if total is None:
        total = drafter.parameters * DTYPE_BYTES.get(dtype, 2)
    return int(total) // drafters.ranks(args, tensor)


def adapter_bytes(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, pipeline: int, dtype: str) -> int:
    """Return what is reserved for adapters: for each slot two matrices of every projection that could be adapted.

    The first matrix of what is cut by its output is whole on every rank, and so is the second of what is cut by its
    input; with ``fully-sharded-loras`` both are cut.
    """
    if not switched(args, "enable-lora"):
        return 0
    slots, rank = pinned(args, "max-loras") or ADAPTERS, pinned(args, "max-lora-rank") or RANK
    own = 1 if not switched(args, "fully-sharded-loras") else tensor
    hidden = int(facts["hidden_size"])
    total = 0.0
    for part in facts.get("projections") or ():
        width = 0.0
        if part.get("columns"):
            width += sum(hidden / own + heads * size / tensor for heads, size in part["columns"])
        if part.get("rows"):
            width += part["rows"] / tensor + hidden / own
        if part.get("experts"):
            one = part["experts"] / tensor + int(part.get("inputs") or hidden) / own
            width += int(part.get("matrices") or 3) * one * int(facts.get("num_experts") or 0)
        total += width * _layers_with(str(part["name"]), facts)
    size = DTYPE_BYTES.get(str(args.get("lora-dtype")), DTYPE_BYTES.get(dtype, 2))
    return int(total * rank * slots * size / pipeline)


def _layers_with(name: str, facts: Mapping[str, Any]) -> int:
    """Return how many layers have a projection."""
    layers, experts = int(facts["num_hidden_layers"]), int(facts.get("expert_layers") or 0)
    states = sum(int(layer["count"]) for layer in facts["layers"] if layer["type"] == STATE)
    if name.startswith("linear_attn"):
        return states
    if name.startswith("self_attn"):
        return layers - states
    return experts if "expert" in name else layers - experts


def offloaded_bytes(facts: Mapping[str, Any], args: Mapping[str, Any], weights: int) -> int:
    """Return the weights that stay in the memory of the host.

    :param weights: of the rank; what is no layer (embedding, output) is never offloaded.
    """
    dtype = DTYPE_BYTES.get(facts.get("dtype") or "bfloat16", 2)
    ends = int(facts["vocab_size"]) * int(facts["hidden_size"]) * dtype
    layers = max(0, weights - ends * (1 if facts.get("tie_word_embeddings") else 2))
    group, backend = pinned(args, "offload-group-size") or 0, str(args.get("offload-backend") or "auto")
    if backend != "uva" and group:
        # So many of each group of layers are away, and as many as are fetched ahead are there once more.
        away, ahead = pinned(args, "offload-num-in-group") or 1, pinned(args, "offload-prefetch-step") or 1
        one = layers // int(facts["num_hidden_layers"])
        return max(0, layers * min(away, group) // group - one * ahead)
    asked = int(number(args, "cpu-offload-gb") * GIB) if backend != "prefetch" else 0
    if args.get("cpu-offload-params"):
        # Which share of the weights these names are is not known; a part of what was asked for would be a guess.
        return 0
    return min(asked, layers)
