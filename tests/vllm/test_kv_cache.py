# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan predicts of context and KV cache is what the real vLLM, on processors, says of itself.

It takes the vLLM that the demo installed. Weights are dummies: a configuration is enough for a cache.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kv_cache  # noqa: E402

PYTHON = os.environ.get("LLM_VLLM_PYTHON") or next(iter(glob.glob("/opt/llmfleet/venvs/vllm-*/bin/python")), "")
BATCHED_TOKENS = 2048
SMALL = {
    "torch_dtype": "bfloat16",
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS: dict[str, tuple[int, dict[str, Any]]] = {
    "full attention": (
        3_000_000,
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 32768,
            "hidden_act": "silu",
        },
    ),
    "sliding hybrid": (
        40_000_000,
        {
            "architectures": ["Gemma3ForCausalLM"],
            "model_type": "gemma3_text",
            "num_hidden_layers": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 65536,
            "sliding_window": 1024,
            "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 2,
            "query_pre_attn_scalar": 64,
            "rope_local_base_freq": 10000.0,
            "hidden_activation": "gelu_pytorch_tanh",
        },
    ),
    "MLA": (
        3_000_000,
        {
            "architectures": ["DeepseekV2ForCausalLM"],
            "model_type": "deepseek_v2",
            "num_hidden_layers": 3,
            "num_key_value_heads": 4,
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "moe_intermediate_size": 128,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "first_k_dense_replace": 1,
            "max_position_embeddings": 16384,
            "hidden_act": "silu",
        },
    ),
}


def ask(folder: Path, kv_bytes: int, length: int) -> dict[str, Any]:
    """Start an engine and return what it says, or the error with which it refuses."""
    command = [PYTHON, str(Path(__file__).with_name("engine.py")), str(folder), str(kv_bytes), str(length)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, f"the engine said nothing (exit code {done.returncode}):\n{done.stderr[-3000:]}"
    return dict(json.loads(lines[-1]))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By model, what an engine says that may choose its context, and one that is asked for a block more."""
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    jobs = {}
    # One engine per core: each is busy with imports for most of its time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, (kv_bytes, own) in MODELS.items():
            folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
            (folder / "config.json").write_text(json.dumps({**SMALL, **own}))
            length, block = predicted(name)
            jobs[name] = (pool.submit(ask, folder, kv_bytes, -1), pool.submit(ask, folder, kv_bytes, length + block))
        return {name: (one.result(), more.result()) for name, (one, more) in jobs.items()}


def geometry(name: str) -> tuple[kv_cache.Geometry, int]:
    """Lay out a model as the plan does for CPU hosts."""
    facts = checkpoint_config.describe({**SMALL, **MODELS[name][1]})
    laid_out = kv_cache.geometry(
        facts, tensor_parallel_size=1, dtype="bfloat16", max_num_batched_tokens=BATCHED_TOKENS, device="cpu"
    )
    return laid_out, int(facts["max_position_embeddings"])


def predicted(name: str) -> tuple[int, int]:
    """Return the longest context and the tokens of a block."""
    laid_out, most = geometry(name)
    return laid_out.longest(MODELS[name][0], most), laid_out.block_size


@pytest.mark.parametrize("name", MODELS)
def test_context_and_cache_are_as_predicted(name: str, answers: dict[str, Any]) -> None:
    length, block = predicted(name)
    capacity = geometry(name)[0].capacity(MODELS[name][0], length)
    said = answers[name][0]
    assert {
        "max_model_len": length,
        "block_size": block,
        "num_gpu_blocks": capacity["kv_cache_blocks"],
        "kv_cache_size_tokens": capacity["kv_cache_tokens"],
    } == {key: said.get(key) for key in ("max_model_len", "block_size", "num_gpu_blocks", "kv_cache_size_tokens")}
    assert round(said["kv_cache_max_concurrency"], 4) == capacity["max_concurrency"]


@pytest.mark.parametrize("name", MODELS)
def test_a_block_more_is_refused(name: str, answers: dict[str, Any]) -> None:
    assert "KV cache" in answers[name][1].get("error", ""), answers[name][1]
