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
# torch's own sentence (c10/cuda/CUDACachingAllocator.cpp), the short form of it, and those of cuBLAS and CPUs.
LACKED = re.compile(r"Tried to allocate ([\d.]+) ([KMG]i?B)(?:.*?of which ([\d.]+) ([KMG]i?B) is free)?", re.DOTALL)
OUT_OF_MEMORY = (
    "CUDA out of memory",
    "OutOfMemoryError",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "MemoryError",
)
# A process that the kernel killed says nothing, and those that wait for it say this (v1/engine/core_client.py,
# v1/executor/multiproc_executor.py). One that failed by itself has said why before.
KILLED = ("engine core exited unexpectedly", "died unexpectedly")
FATAL = ("EngineCore encountered a fatal error", "WorkerProc hit an exception")
UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


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


def ran_out(text: str) -> int | None:
    """Return the bytes that were lacking as the end of a log tells, 0 where it does not say how many; null if memory
    did not run out.
    """
    found = max(text.rfind(sentence) for sentence in OUT_OF_MEMORY)
    if found < 0:
        killed = [text.find(sentence) for sentence in KILLED if sentence in text]
        return 0 if killed and not any(0 <= text.find(said) < min(killed) for said in FATAL) else None
    told = LACKED.search(text, max(0, found - 200), found + 600)
    if not told:
        return 0
    wanted, unit, free, free_unit = told.groups()
    lacked = float(wanted) * UNITS[unit[0]] - (float(free) * UNITS[free_unit[0]] if free else 0)
    return max(0, int(lacked))
