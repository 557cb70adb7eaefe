# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measurements of vLLM from its log.

Pure functions; no Ansible, no files, no network. The messages are those of vLLM 0.32 and 0.33 (worker/gpu_worker.py,
gpu_model_runner.py, core/kv_cache_utils.py), and the older form of the first.
"""

from __future__ import annotations

import re
from typing import Any

GIB = 1024**3
NUMBER = r"([\d.]+)"
CONSUMED = re.compile(
    rf"Actual usage is {NUMBER} GiB for consumed memory.*?{NUMBER} GiB for peak activation, "
    rf"and {NUMBER} GiB for CUDAGraph"
)
SPLIT = re.compile(
    rf"Actual usage is {NUMBER} GiB for weight, {NUMBER} GiB for peak activation, {NUMBER} GiB for non-torch memory, "
    rf"and {NUMBER} GiB for CUDAGraph"
)
LOADED = re.compile(rf"Model loading took {NUMBER} GiB")
GRAPHS = re.compile(rf"Graph capturing finished in .*?took {NUMBER} GiB")
CACHE = re.compile(
    r"KV cache size: ([\d,]+) tokens(?:.*?Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x)?", re.DOTALL
)


def _last(pattern: re.Pattern[str], text: str) -> tuple[str, ...] | None:
    found = list(pattern.finditer(text))
    return tuple(group or "" for group in found[-1].groups()) if found else None


def _bytes(gib: str) -> int:
    return int(float(gib) * GIB)


def parse(text: str) -> dict[str, Any]:
    """Return what the last start in a log measured: sizes in bytes of each GPU, and the KV cache in tokens.

    Only what the log tells is there. With ``--kv-cache-memory-bytes`` vLLM measures weights and CUDA graphs, but no
    activations.
    """
    # Messages of an older start are ignored.
    start = max(text.rfind("vLLM API server version"), text.rfind("Initializing a V1 LLM engine"), 0)
    text = text[start:]
    found: dict[str, Any] = {}
    loaded, graphs, cache = _last(LOADED, text), _last(GRAPHS, text), _last(CACHE, text)
    if loaded:
        found["weights"] = _bytes(loaded[0])
    if graphs:
        found["cuda_graphs"] = _bytes(graphs[0])
    consumed, split = _last(CONSUMED, text), _last(SPLIT, text)
    if consumed:
        found.update(
            weights=_bytes(consumed[0]), other=0, activation=_bytes(consumed[1]), cuda_graphs=_bytes(consumed[2])
        )
    elif split:
        names = ("weights", "activation", "other", "cuda_graphs")
        found.update(zip(names, map(_bytes, split)))
    if cache:
        found["kv_cache_tokens"] = int(cache[0].replace(",", ""))
        if cache[1]:
            found["max_model_len"] = int(cache[1].replace(",", ""))
    return found
