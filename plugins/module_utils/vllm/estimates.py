# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vLLM takes of a GPU beside weights and KV cache, by kind of model, class of card and release, and its spread.

Pure functions; no Ansible, no files, no network. Sources are logs of starts that their users published, a start on an
H100 that was measured byte by byte, and reports; tests/unit/plugins/module_utils/data/measured has them. What no log
tells of a kind of its own is in the row for all.
"""

from __future__ import annotations

from typing import Any, Collection, Mapping, NamedTuple, Tuple

from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import STATE
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import PINNED, Release

GIB = 1024**3
# Parts of the table.
ACTIVATION, ENCODER, GRAPHS, OTHER, CONTEXT = "activations", "images", "CUDA graphs", "other memory", "CUDA's context"
ANY = "any"
# Classes of cards.
HOPPER, BLACKWELL, RTX, OLDER = "Hopper", "data-centre Blackwell", "RTX Blackwell", "Ada and older"
# CUDA graphs of models with so many layers are larger.
DEEP_LAYERS = 60
Factors = Tuple[float, float, float, float]
"""Values for tensor parallelism over 1, 2, 4 and 8 ranks."""


class Row(NamedTuple):
    """A row of the table."""

    part: str
    kind: str
    """A trait of a model, or of how it is run."""
    cards: str
    since: Release
    """The first release of vLLM for which it holds."""
    values: Factors
    """Activations: c of ``2 x max_num_batched_tokens x hidden_size x c`` bytes. Images: bytes for each token of a step.
    Graphs and other memory: bytes. Context: share of the card."""
    low: float
    """The least that was seen, by the value."""
    high: float
    """The most that was seen, by the value."""
    source: str


def _same(value: float) -> Factors:
    return value, value, value, value


_ALWAYS: Release = (0, 0)
_H100 = "a measured H100, vLLM 0.26"
# The first row counts that fits part, kind and card; of rows that differ in the release alone, the latest.
TABLE: tuple[Row, ...] = (
    # The outputs of all experts of a token are there at once, and tensor parallelism does not cut them.
    Row(ACTIVATION, "moe", ANY, _ALWAYS, (22.0, 20.0, 20.0, 20.0), 0.5, 1.3, "Qwen3-235B on 4 x H100, vLLM 0.20"),
    Row(ACTIVATION, ANY, ANY, _ALWAYS, (11.0, 6.5, 5.0, 5.0), 0.3, 1.5, _H100),
    # It runs its tower on few patches at a time.
    Row(ENCODER, "gemma4", RTX, _ALWAYS, _same(GIB / 8192), 0.2, 1.5, "Gemma 4 on RTX 5090, vLLM 0.19 and 0.20"),
    # A hybrid one of 27B in fp8 left 41.0 GiB for its cache on an H100 at 0.95, and 44.9 GiB on an RTX PRO 6000 at
    # 0.92, both with 8,192 tokens. Its kernels on the latter keep whole images in memory.
    Row(ENCODER, "hybrid", HOPPER, _ALWAYS, _same(GIB / 8192), 0.5, 1.5, "Qwen3.6-27B on H100"),
    Row(ENCODER, "hybrid", RTX, _ALWAYS, _same(GIB * 9 / 10240), 0.1, 1.1, "Qwen3.6-27B on RTX PRO 6000"),
    # 9.96 GiB for a model of 4B at 16,384 tokens.
    Row(ENCODER, ANY, ANY, _ALWAYS, _same(GIB / 2048), 0.1, 1.15, "Gemma 3 4B on B200"),
    Row(GRAPHS, "hybrid", ANY, _ALWAYS, _same(2.5 * GIB), 0.05, 1.1, "Qwen3.6-27B on L40S and on 4 x H100, vLLM 0.26"),
    Row(GRAPHS, "parallel", ANY, _ALWAYS, _same(2.5 * GIB), 0.4, 1.1, "logs of TP 2 to 8, vLLM 0.11 to 0.20"),
    Row(GRAPHS, "deep", ANY, _ALWAYS, _same(1.8 * GIB), 0.2, 1.1, _H100),
    Row(GRAPHS, ANY, ANY, _ALWAYS, _same(1.0 * GIB), 0.1, 1.35, _H100),
    # Kernels of the indexer have buffers of their own.
    Row(OTHER, "sparse", ANY, _ALWAYS, _same(2.5 * GIB), 0.3, 1.3, "GLM-5.1 on 8 x H200, vLLM 0.19"),
    Row(OTHER, "mla", ANY, _ALWAYS, _same(0.6 * GIB), 0.3, 1.5, "DeepSeek-R1 on 8 x H200, vLLM 0.11"),
    # The first start compiles and tunes kernels, which leaves 2.5 GiB more in use than a later one.
    Row(OTHER, ANY, RTX, _ALWAYS, _same(1.0 * GIB), 0.05, 2.0, "Qwen3-14B and 32B on RTX 5090, vLLM 0.30"),
    Row(OTHER, ANY, OLDER, _ALWAYS, _same(0.6 * GIB), 0.2, 1.0, "L40S, RTX A6000 and A100, vLLM 0.16 to 0.26"),
    Row(OTHER, ANY, ANY, _ALWAYS, _same(0.6 * GIB), 0.3, 1.5, _H100),
    # vLLM does not charge it to gpu-memory-utilization: CUDA, NCCL and cuBLAS take it before vLLM looks at what is
    # free. The highest share that starts is about 0.98 on an H100 at TP 4.
    Row(CONTEXT, ANY, ANY, _ALWAYS, _same(0.02), 0.3, 1.0, _H100),
)


def traits(facts: Mapping[str, Any], layout: Any = None, tensor: int = 1) -> set[str]:
    """Return the kinds that a model is of: ``moe``, ``mla``, ``sparse``, ``hybrid``, ``deep``, ``gemma4``, and
    ``parallel`` if several ranks share it.

    :param layout: of its KV cache, which knows whether it has states; its layers say so, too.
    """
    layers = {str(layer["type"]) for layer in facts.get("layers") or ()}
    found = {
        "moe": bool(facts.get("num_experts")),
        "mla": "mla" in layers,
        "sparse": "indexer" in layers,
        "hybrid": STATE in layers or bool(getattr(layout, "limits_sequences", False)),
        "deep": int(facts.get("num_hidden_layers") or 0) >= DEEP_LAYERS,
        "parallel": tensor > 1,
        "gemma4": str(facts.get("model_type")).startswith("gemma4"),
    }
    return {name for name, is_so in found.items() if is_so}


def card_class(capability: tuple[int, int]) -> str:
    """Return the class of a card by its compute capability."""
    if capability == (12, 1):
        # GB10 has the kernels of RTX cards, and memory of a host: its logs tell nothing of them.
        return ANY
    return {9: HOPPER, 10: BLACKWELL, 11: BLACKWELL, 12: RTX}.get(capability[0], OLDER)


def row(part: str, kinds: Collection[str], cards: str, release: Release = PINNED) -> Row:
    """Return the row of the table for a part of the memory of a model."""
    fitting = [
        one
        for one in TABLE
        if one.part == part and one.kind in (ANY, *kinds) and one.cards in (ANY, cards) and one.since <= release
    ]
    first = fitting[0]
    return max((one for one in fitting if one[:3] == first[:3]), key=lambda one: one.since)


def sized(part: str, kinds: Collection[str], cards: str, unit: float = 1.0, tensor: int = 1) -> Estimate:
    """Return how large a part is, and its spread.

    :param unit: bytes by which the value of the row is multiplied.
    :param tensor: ranks of tensor parallelism; widths between those of the table count as the next smaller one.
    """
    found = row(part, kinds, cards)
    number = sum(tensor >= width for width in (2, 4, 8))
    size = unit * found.values[number]
    of = "" if found.kind == ANY else f" of {NAMES.get(found.kind, found.kind)}"
    return Estimate(int(size), int(size * found.low), int(size * found.high), f"{part}{of}", found.source)


NAMES = {
    "moe": "a mixture of experts",
    "hybrid": "a hybrid model",
    "mla": "latent attention",
    "parallel": "tensor parallelism",
    "deep": f"{DEEP_LAYERS} layers or more",
    "sparse": "sparse attention",
    "gemma4": "Gemma 4",
}
