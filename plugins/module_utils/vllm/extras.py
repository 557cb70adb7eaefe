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
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import MXFP4
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.stage_layers import (
    expert_places,
    is_mixed,
    parts_of,
    state_widths,
)

GIB = 1024**3
# Its defaults of max-loras and max-lora-rank (config/lora.py).
ADAPTERS, RANK = 1, 16
# Adapters of these may change embedding and output (`embedding_modules` of the model classes).
_ADAPTED_ENDS = (
    "apertus",
    "exaone",
    "falcon_h1",
    "granite",
    "hyperclovax",
    "jamba",
    "lfm2",
    "llama",
    "minicpm",
    "mistral",
    "mixtral",
    "nemotron",
    "phimoe",
    "qwen3",
    "solar",
)
# Routers of these are not adapted (`_create_lora_modules` of `lora/model_manager.py`).
_UNADAPTED_ROUTERS = ("nemotron_h",)
# Encoders whose feed-forward layers have no gate.
_WITHOUT_GATE = ("bert", "camembert", "roberta", "xlm-roberta")
# `is_3d_moe_weight` of the model classes.
_STACKED_EXPERTS = ("gpt_oss", "interns1_pro", "qwen3_5_moe", "qwen3_omni_moe", "qwen3_vl_moe")


def drafter_bytes(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, dtype: str, pipeline: int = 1) -> int:
    """Return the weights of the drafter, which lies on the last pipeline stage; an EAGLE head has the projection of its
    inputs whole on every rank (`fc` of `models/llama_eagle3.py`)."""
    drafter = drafters.of(facts, args)
    size = DTYPE_BYTES.get(dtype, 2)
    total = drafter.weight_bytes
    if total is None:
        total = drafter.parameters * size
    whole = min(drafter.whole * size, int(total))
    own = whole + (int(total) - whole) // drafters.ranks(args, tensor)
    if pipeline > 1:
        copies = drafters.copied_embeddings(facts, args, parts_of(facts, pipeline)[-1].embeddings)
        own += copies * int(facts["vocab_size"]) * int(facts["hidden_size"]) * size // tensor
    return own


def adapter_bytes(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, pipeline: int, dtype: str) -> int:
    """Return what is reserved for adapters on the stage that reserves most; see `stage_adapter_bytes`."""
    return max(stage_adapter_bytes(facts, args, tensor, pipeline, dtype))


def stage_adapter_bytes(
    facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int, pipeline: int, dtype: str
) -> list[int]:
    """Return what each pipeline stage reserves for adapters: for each slot two matrices of every projection that could
    be adapted.

    The first matrix of what is cut by its output is whole on every rank, and so is the second of what is cut by its
    input; with ``fully-sharded-loras`` both are cut. Those of embedding and output are whole.
    """
    parts = parts_of(facts, pipeline)
    if not switched(args, "enable-lora"):
        return [0] * len(parts)
    slots, rank = pinned(args, "max-loras") or ADAPTERS, pinned(args, "max-lora-rank") or RANK
    size = DTYPE_BYTES.get(str(args.get("lora-dtype")), DTYPE_BYTES.get(dtype, 2))
    own = 1 if not switched(args, "fully-sharded-loras") else tensor
    ends = int(facts["vocab_size"]) + int(facts["hidden_size"])
    ends *= str(facts.get("model_type")).startswith(_ADAPTED_ENDS)
    layers, experts = _adapted_layers(facts, tensor, own), _adapted_experts(facts, tensor, own)
    found = []
    for stage, part in enumerate(parts):
        width = sum(layers[part.first : part.last]) + experts * part.experts
        width += ends * ((stage == 0 or part.embeddings > 1) + (stage == len(parts) - 1))
        found.append(int(width * rank * slots * size))
    return found


def _adapted_layers(facts: Mapping[str, Any], tensor: int, own: int) -> list[float]:
    """Return the rows and columns of adapters in each layer, less routed experts."""
    hidden, places = int(facts["hidden_size"]), set(expert_places(facts))
    widths: dict[str, float] = {}
    if facts.get("encoder_only"):
        # Encoders have no cache, from which the facts have the widths of heads.
        widths["self_attn"] = 4 * hidden * (1 / own + 1 / tensor)
    for part in facts.get("projections") or ():
        columns = list(part.get("columns") or ())
        if facts.get("encoder_only") and str(facts.get("model_type")).startswith(_WITHOUT_GATE):
            columns = columns[:1]
        width = sum(hidden / own + heads * size / tensor for heads, size in columns)
        if part.get("rows"):
            width += part["rows"] / tensor + hidden / own
        # Kinds of attention with widths of their own have projections of one name each.
        widths[str(part["name"])] = max(width, widths.get(str(part["name"]), 0.0))
    attention, state, dense, expert = (
        sum(width for name, width in widths.items() if name.startswith(start))
        for start in ("self_attn", "linear_attn", ("mlp.down_proj", "mlp.gate_up_proj"), "mlp.shared_experts")
    )
    gated = not str(facts.get("model_type")).startswith(_UNADAPTED_ROUTERS)
    router = hidden + int(facts.get("num_experts") or 0) if gated else 0
    order = facts.get("layer_order") or [0] * int(facts["num_hidden_layers"])
    found = []
    for place, entry in enumerate(order):
        layer = facts["layers"][entry] if 0 <= entry < len(facts["layers"]) else None
        states = [layer] if layer and layer["type"] == STATE else []
        if entry == -2:
            states = [one for one in facts["layers"] if one["type"] == STATE]
        width = sum(
            state + _gates(one, hidden, tensor, own) if state else _state(one, hidden, tensor, own) for one in states
        )
        if entry == -2 or (entry != -1 and not states) or (layer is None and not facts["layers"]):
            width += attention
        if is_mixed(facts, entry):
            width += expert + router if place in places else dense
        found.append(width)
    return found


def _gates(layer: Mapping[str, Any], hidden: int, tensor: int, own: int) -> float:
    """Return the rows and columns of adapters of the two gates of a delta net, as wide as it has heads."""
    return 2 * (hidden / own + int(layer["state"][-1]["shape"][0]) / tensor)


def _state(layer: Mapping[str, Any], hidden: int, tensor: int, own: int) -> float:
    """Return the rows and columns of adapters of one state's projections, of which the facts have only its shape."""
    outputs, inner = state_widths(layer)
    return hidden / own + outputs / tensor + inner / tensor + hidden / own


def _adapted_experts(facts: Mapping[str, Any], tensor: int, own: int) -> float:
    """Return the rows and columns of adapters of all routed experts."""
    part: Mapping[str, Any] = next((one for one in facts.get("projections") or () if "experts" in one), {})
    number = int(facts.get("num_experts") or 0) * len(expert_places(facts))
    matrices, kind = int(part.get("matrices") or 3), str(facts.get("model_type"))
    width, inputs = int(part.get("experts") or 0) / tensor, int(part.get("inputs") or facts["hidden_size"])
    if facts.get("quantization") in MXFP4:
        # Marlin's kernels, which take adapters, have the experts filled up.
        width, inputs = -(-int(width) // 128) * 128, -(-inputs // 256) * 256
    # Gate and up are one matrix of these, so that they have one first matrix.
    firsts = matrices - 1 if kind.startswith(_STACKED_EXPERTS) else matrices
    return number * (matrices * width + firsts * inputs / own)


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
