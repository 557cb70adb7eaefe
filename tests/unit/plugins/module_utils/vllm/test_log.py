# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import measured
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import log as vllm_log
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024**3
START = "INFO 11-21 [api_server.py:1] vLLM API server version 0.32.0\n"
FIXED = (
    START
    + "INFO [gpu_model_runner.py:5150] Model loading took 15.27 GiB memory and 3.211000 seconds\n"
    + "INFO [kv_cache_utils.py:2329] GPU KV cache size: 154,832 tokens, "
    + "Maximum concurrency for 16,384 tokens per request: 9.45x\n"
    + "INFO [gpu_model_runner.py:6582] Graph capturing finished in 21 secs, took 0.84 GiB\n"
)
PROFILED = (
    "Free memory on device (78.6/79.11 GiB) on startup. Desired GPU memory utilization is (0.92, 72.78 GiB). "
    "Actual usage is 15.9 GiB for consumed memory (weights + non-torch), 1.5 GiB for peak activation, "
    "and 0.84 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=1`"
)
OLDER = (
    "Actual usage is 15.27 GiB for weight, 1.40 GiB for peak activation, 0.12 GiB for non-torch memory, "
    "and 0.50 GiB for CUDAGraph memory."
)
INSTANCE: dict[str, Any] = {
    "name": "chat-0",
    "source": "hf://o/m",
    "revision": "abc",
    "product_name": "NVIDIA H100 80GB HBM3",
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "dtype": "bfloat16",
    "max_num_batched_tokens": 8192,
    "max_num_seqs": 256,
    "memory": {"weights": 15 * GIB, "activation": GIB, "cuda_graphs": GIB, "other": GIB},
    "kv_cache_tokens": 154832,
}


def test_a_start_with_a_fixed_cache() -> None:
    assert vllm_log.parse(FIXED) == {
        "weights": int(15.27 * GIB),
        "cuda_graphs": int(0.84 * GIB),
        "kv_cache_tokens": 154832,
        "max_model_len": 16384,
    }


def test_a_start_that_profiled() -> None:
    found = vllm_log.parse(PROFILED)
    assert found == {
        "weights": int(15.9 * GIB),
        "other": 0,
        "activation": int(1.5 * GIB),
        "cuda_graphs": int(0.84 * GIB),
    }
    assert vllm_log.parse(OLDER)["other"] == int(0.12 * GIB)


def test_a_processor_says_its_own_name() -> None:
    said = "CPU KV cache size: 3,840 tokens, Maximum concurrency for 3,712 tokens per request: 1.03x"
    assert vllm_log.parse(said) == {"kv_cache_tokens": 3840, "max_model_len": 3712}


def test_only_the_last_start_counts() -> None:
    assert vllm_log.parse(FIXED + START + "nothing else yet") == {}
    assert vllm_log.parse(FIXED + FIXED.replace("15.27", "16.00"))["weights"] == 16 * GIB


def test_what_is_known_stays_known_when_the_log_is_gone() -> None:
    first = measured.merge([INSTANCE], {"chat-0": FIXED}, [], {"vllm": {"digest": "digest"}})
    (entry,) = first
    assert (entry["weights"], entry["package"], entry["planned"]["weights"]) == (int(15.27 * GIB), "digest", 15 * GIB)
    assert measured.merge([INSTANCE], {}, first, {"vllm": {"digest": "digest"}}) == first


def test_other_flags_are_another_thing() -> None:
    first = measured.merge([INSTANCE], {"chat-0": FIXED}, [], {"vllm": {"digest": "digest"}})
    assert measured.merge([{**INSTANCE, "max_num_seqs": 8}], {}, first, {"vllm": {"digest": "digest"}}) == []
    assert measured.merge([], {}, first, {"vllm": {"digest": "digest"}}) == []


def test_the_table_sets_planned_against_measured() -> None:
    text = plan_report.table(measured.table(measured.merge([INSTANCE], {"chat-0": FIXED}, [], {})))
    assert text.splitlines() == [
        "INSTANCE  WHAT             PLANNED  MEASURED",
        "chat-0    weights          15.00    15.27",
        "chat-0    cuda_graphs      1.00     0.84",
        "chat-0    kv_cache_tokens  154832   154832",
    ]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(vllm_log.parse(text), dict)
