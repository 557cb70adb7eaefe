# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the layers of a model that have routed experts.

Source: the decoder layers of vLLM 0.32's model classes, which decide by these fields which layer is a mixture.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import MOST_LAYERS, Values

_SPARSE = ("sparse", "moe", "E")


def expert_layers(text: Values, count: int, experts: int | None) -> int:
    """Return how many of a model's layers have routed experts; 0 for a dense model.

    :param count: number of layers.
    :param experts: number of routed experts.
    """
    if not experts:
        return 0
    pattern = text.text("hybrid_override_pattern")
    kinds = text.get("mlp_layer_types", "layers_block_type")
    if pattern is not None or (isinstance(kinds, list) and set(map(str, kinds)) & set(_SPARSE)):
        return sum(1 for kind in pattern or kinds if str(kind) in _SPARSE)
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return sum(1 for mark in frequency[:count] if mark)
    listed = text.get("moe_layers")
    if isinstance(listed, list) and listed:
        return len(listed)
    first = _number(text, "first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
    every = (
        _number(text, "moe_layer_freq", "moe_layer_interval", "interleave_moe_layer_step", "expert_layer_period") or 1
    )
    step = _number(text, "decoder_sparse_step") or 1
    dense = text.get("mlp_only_layers")
    apart = set(dense) if isinstance(dense, list) else set()
    found = sum(
        1
        for place in range(first, count)
        if place not in apart and not (place - first) % every and not (place + 1) % step
    )
    return min(count, max(1, found))


def _number(text: Values, *names: str) -> int:
    value = text.get(*names)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_LAYERS else 0
