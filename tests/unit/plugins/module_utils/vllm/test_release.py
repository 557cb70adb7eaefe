# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV cache against what the pinned release of vLLM answered, on cards of two kinds.

data/kv_cache/vllm-0.32.json holds facts of models and, for each case, vLLM 0.32's block size, bytes of a block, and for
sizes of the cache the length of `--max-model-len auto`, its blocks and its tokens. It was asked on the CPU with a
stand-in of the card: hybrids, windows, latent and sparse attention, image masks, fp8, drafters, prefix caching off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_cache import geometry
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.release import PINNED

DATA = json.loads((Path(__file__).parents[1] / "data" / "kv_cache" / "vllm-0.32.json").read_text())


def named(case: dict[str, Any]) -> str:
    flags = "-".join(case["args"])
    return f"{case['model']}-{case['capability']}-tp{case['tp']}-{case['kv_cache_dtype']}-{flags}"


def test_the_answers_are_those_of_the_pinned_release() -> None:
    assert PINNED == (0, 32)
    assert len(DATA["cases"]) == 122


@pytest.mark.parametrize("case", DATA["cases"], ids=named)
def test_blocks_lengths_and_tokens_are_vllms(case: dict[str, Any]) -> None:
    layout = geometry(
        DATA["models"][case["model"]],
        tensor_parallel_size=case["tp"],
        dtype=case["dtype"],
        kv_cache_dtype=case["kv_cache_dtype"],
        max_num_batched_tokens=case["tokens"],
        compute_capability=case["capability"],
        args=case["args"],
    )
    assert layout.bytes_per_block == case["bytes_per_block"]
    for available, length, blocks, tokens in case["results"]:
        assert layout.longest(available, case["limit"]) == length
        if length:
            found = layout.capacity(available, length)
            assert (found["kv_cache_blocks"], found["kv_cache_tokens"]) == (blocks, tokens)
