# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that load an engine, and what its log says of memory that ran out."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import extremes, log

GIB = 1024**3


def sizes(length: int, sequences: int, step: int) -> list[tuple[str, list[int]]]:
    limits = {"model": "m", "max_model_len": length, "max_num_seqs": sequences, "max_num_batched_tokens": step}
    found = extremes.loads({**limits, "prompts": 32})
    return [(one["name"], [len(p) for said in one["requests"] for p in said["body"]["prompt"]]) for one in found]


@pytest.mark.parametrize(
    ("length", "sequences", "step", "prompts"),
    [
        (2048, 8, 2048, [[8] * 8, [2047] * 2]),
        (131072, 1024, 8192, [[8] * 1024, [8192], [131071]]),
        (4096, 256, 16384, [[8] * 256, [4095] * 5]),
        (4, 2, 64, [[3] * 2, [3] * 2]),
        (2, 1, 1, [[1], [1]]),
    ],
)
def test_loads_reach_what_is_planned(length: int, sequences: int, step: int, prompts: list[list[int]]) -> None:
    found = sizes(length, sequences, step)
    assert [lengths for _name, lengths in found] == prompts
    # Prompt and answer together never exceed the context.
    assert all(number < length for lengths in prompts for number in lengths)


def test_ids_are_in_every_vocabulary_and_prompts_differ() -> None:
    said = [tuple(extremes.tokens(8, seed)) for seed in range(700)]
    assert len(set(said)) == 700
    assert {number for prompt in said for number in prompt} <= set(range(100, 200))


def test_the_image_is_one() -> None:
    data = base64.b64decode(extremes.png(64))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    (length,) = struct.unpack(">I", data[33:37])
    assert data[37:41] == b"IDAT"
    assert zlib.decompress(data[41 : 41 + length]) == (b"\0" + b"\x80" * 64) * 64
    assert len(extremes.png(extremes.PIXELS)) < 64 * 1024


@pytest.mark.parametrize(
    ("text", "lacked"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ... of which 512.00 MiB is free.", GIB * 3 // 2),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.", 20 * 1024**2),
        ("RuntimeError: CUDA error: out of memory", 0),
        ("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", 0),
        ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", 0),
        ("core_client.py:817] [shutdown] MPClient: engine core exited unexpectedly; starting cleanup", 0),
        ("Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.", 0),
        ("EngineCore encountered a fatal error.\nKeyError\nengine core exited unexpectedly", None),
        ("Worker proc died unexpectedly (exit code: -9)\nEngineCore encountered a fatal error.\nExecutor failed.", 0),
        ("all is well", None),
        ("", None),
    ],
)
def test_what_a_log_says_of_memory(text: str, lacked: Any) -> None:
    assert log.ran_out(text) == lacked
