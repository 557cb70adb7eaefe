# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies on each pipeline stage of a model: its layers, which are not all alike, and copies of embedding and output.

Sources, vLLM 0.32: `get_pp_indices` of `distributed/utils.py`, the model classes of `model_executor/models`, of which
only some leave embedding and output to the first and last stage. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import STATE, stages

# Every stage of these holds the embedding.
_EMBEDDING_EVERYWHERE = (
    "bloom",
    "chatglm",
    "cohere",
    "dbrx",
    "gemma",
    "gpt2",
    "gpt_oss",
    "gptj",
    "granitemoe",
    "hy_v3",
    "internlm2",
    "jamba",
    "lfm2",
    "mamba",
    "minicpm",
    "mixtral",
    "molmo",
    "nemotron_h",
    "olmo_hybrid",
    "olmoe",
    "opt",
    "orion",
    "phi3_v",
    "phimoe",
    "plamo3",
    "qwen2_moe",
    "qwen3_5",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_omni_moe",
    "qwen3_vl_moe",
    "stablelm",
)
# Of these, every stage but the last leaves out the output.
_OUTPUT_AT_THE_END = ("chatglm", "cohere", "internlm2", "lfm2", "phi3_v", "qwen3_5")
# A feed-forward layer of these is a layer of its own.
_APART = ("nemotron_h",)


class Part(NamedTuple):
    """What one stage holds."""

    first: int
    last: int
    """Its layers, from the first to before the last."""
    layers: float
    """Share of the weights of all layers, less routed experts."""
    experts: float
    """Share of all routed experts."""
    embeddings: int
    """Copies of a matrix of the vocabulary: embedding, output, or the one that is both."""


def parts_of(facts: Mapping[str, Any], pipeline: int) -> list[Part]:
    """Return what each stage of a pipeline holds."""
    count = int(facts["num_hidden_layers"])
    ranges = stages(count, min(pipeline, count))
    numbers, experts = layer_numbers(facts), expert_places(facts)
    whole = sum(numbers)
    found = []
    for stage, (first, last) in enumerate(ranges):
        layers = sum(numbers[first:last]) / whole if whole else (last - first) / count
        routed = sum(1 for place in experts if first <= place < last) / len(experts) if experts else 0.0
        found.append(Part(first, last, layers, routed, _embeddings(facts, stage, len(ranges))))
    return found


def _embeddings(facts: Mapping[str, Any], stage: int, number: int) -> int:
    first, last = stage == 0, stage == number - 1
    kind = str(facts.get("model_type"))
    everywhere = kind.startswith(_EMBEDDING_EVERYWHERE)
    if facts.get("tie_word_embeddings"):
        return int(first or last or everywhere)
    output = last or (everywhere and not kind.startswith(_OUTPUT_AT_THE_END))
    return int(first or everywhere) + int(output)


def expert_places(facts: Mapping[str, Any]) -> list[int]:
    """Return the layers with routed experts: those without a cache where these are layers of their own, else the last
    ones, or every second, third and so on where at most half of the layers have some.
    """
    count, number = int(facts["num_hidden_layers"]), int(facts.get("expert_layers") or 0)
    if not facts.get("num_experts"):
        return []
    number = number or count
    alone = [place for place, entry in enumerate(facts.get("layer_order") or ()) if entry == -1]
    if len(alone) == number:
        return alone
    if 2 * number <= count:
        step = count // number
        return list(range(step - 1, step * number, step))
    return list(range(count - number, count))


def layer_numbers(facts: Mapping[str, Any]) -> list[float]:
    """Return about how many numbers each layer has beside routed experts, so that layers can be compared."""
    hidden, count = int(facts["hidden_size"]), int(facts["num_hidden_layers"])
    order = list(facts.get("layer_order") or ())
    if len(order) != count:
        return [1.0] * count
    mixers = [_mixer(layer, facts) for layer in facts["layers"]]
    experts = set(expert_places(facts))
    widths = {str(part["name"]): part for part in facts.get("projections") or ()}
    dense = float((widths.get("mlp.down_proj") or {}).get("rows") or 0)
    shared = float((widths.get("mlp.shared_experts.down_proj") or {}).get("rows") or 0)
    matrices = 2 if str(facts.get("model_type")).startswith(_APART) else 3
    numbers = []
    for place, entry in enumerate(order):
        mixer = sum(mixers) if entry == -2 else mixers[entry] if 0 <= entry < len(mixers) else 0.0
        width = shared if place in experts else dense
        numbers.append(mixer + (matrices * width * hidden if is_mixed(facts, entry) else 0.0))
    return numbers


def is_mixed(facts: Mapping[str, Any], entry: int) -> bool:
    """Check whether a layer has a feed-forward part, by its place among the kinds of caches."""
    return entry == -1 or not str(facts.get("model_type")).startswith(_APART)


def state_widths(layer: Mapping[str, Any]) -> tuple[float, float]:
    """Return the widths of the outputs of a state's first projection, and of the inputs of its last."""
    shapes = [part["shape"] for part in layer["state"]]
    wide = float(shapes[0][-1])
    if len(shapes) < 2:
        # A short convolution has two gates.
        return 3 * wide, wide
    inner = float(shapes[1][0] * shapes[1][1]) if len(shapes[1]) > 2 else wide
    # What the convolution reads, and a gate as wide as the output.
    return wide + inner, inner


def _mixer(layer: Mapping[str, Any], facts: Mapping[str, Any]) -> float:
    """Return about how many numbers one layer's attention or state has in its projections."""
    hidden, heads = int(facts["hidden_size"]), int(facts["num_attention_heads"])
    if layer["type"] == STATE:
        return hidden * sum(state_widths(layer))
    if layer["type"] == "mla":
        nope, value = int(layer.get("qk_nope_head_dim") or 128), int(layer.get("v_head_dim") or 128)
        rope, rank = int(layer["qk_rope_head_dim"]), int(layer["kv_lora_rank"])
        low = int(layer.get("q_lora_rank") or 0)
        queries = (hidden * low + low * heads * (nope + rope)) if low else hidden * heads * (nope + rope)
        return float(queries + hidden * (rank + rope) + rank * heads * (nope + value) + heads * value * hidden)
    if "num_kv_heads" not in layer:
        return 0.0
    keys, size, values = int(layer["num_kv_heads"]), int(layer["head_size"]), int(layer["head_size_v"])
    return float(hidden * (heads * size + keys * (size + values) + heads * values))
