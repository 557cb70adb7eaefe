# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, GPUs and models for the tests of the plan, and the rules that every plan must keep.

Configurations are those of data/kv_cache/configs.json; bytes of weights those of the models' repositories.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import devices as plan_devices
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kv_cache
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import sizing as vllm_sizing

CONFIGS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "kv_cache" / "configs.json").read_text())
WEIGHTS = {
    "Llama-3.1-8B-Instruct": 16060522496,
    "Llama-3.1-70B-Instruct": 141107412992,
    "DeepSeek-V3": 673150611808,
    "Qwen3-0.6B": 1192099840,
    "Qwen3-Next-80B-A3B-Instruct": 159348784896,
    "gemma-3-27b-it": 54864813280,
    "nomic-embed-text-v1.5": 273558528,
    "phi-4": 29319014400,
}
SMALL, CHAT, BIG = "Qwen3-0.6B", "Llama-3.1-8B-Instruct", "Llama-3.1-70B-Instruct"
FACTS = {name: {**describe(CONFIGS[name]), "weight_bytes": size} for name, size in WEIGHTS.items()}
GIB, MIB = 1024**3, 1024**2
L4: dict[str, Any] = {"name": "NVIDIA L4", "mib": 23034, "reserved": None, "power": "8.9"}
T4: dict[str, Any] = {"name": "Tesla T4", "mib": 15360, "reserved": 450, "power": "7.5"}
A100: dict[str, Any] = {"name": "NVIDIA A100-SXM4-80GB", "mib": 81920, "reserved": 550, "power": "8.0"}
H100: dict[str, Any] = {"name": "NVIDIA H100 80GB HBM3", "mib": 81559, "reserved": 551, "power": "9.0"}
H200: dict[str, Any] = {"name": "NVIDIA H200", "mib": 143771, "reserved": 500, "power": "9.0"}
GB10: dict[str, Any] = {"name": "NVIDIA GB10", "mib": None, "reserved": None, "power": "12.1"}
GPT_OSS = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "sliding_window": 128,
    "quantization_config": {"quant_method": "mxfp4"},
}


def gpu(index: int, kind: dict[str, Any] = H100, prefix: str = "", **more: Any) -> dict[str, Any]:
    """Return the facts of one GPU."""
    return {
        "index": index,
        "uuid": f"GPU-{prefix}{index}",
        "product_name": kind["name"],
        "compute_capability": kind["power"],
        "memory_total_mib": kind["mib"],
        "memory_reserved_mib": kind["reserved"],
        "memory_used_mib": 0,
        "memory_is_unified": kind["mib"] is None,
        "mig_mode_current": None,
        "mig_devices": [],
        "health": "ok",
        "processes": [],
        **more,
    }


def host(
    *gpus: dict[str, Any], nvlink: bool = True, matrix: list[list[str]] | None = None, **more: Any
) -> dict[str, Any]:
    """Return a host with these GPUs, each of which reaches every other over NVLink unless told otherwise."""
    topology = {"matrix": matrix, "nvlink_all_to_all": nvlink and matrix is None and len(gpus) > 1}
    return {
        "device": "cuda",
        "address": "10.0.0.5",
        "gpu_facts": {"gpus": list(gpus), "topology": topology, "error": None},
        **more,
    }


def machine(count: int, kind: dict[str, Any] = H100, prefix: str = "", **more: Any) -> dict[str, Any]:
    """Return a host with so many equal GPUs."""
    return host(*(gpu(index, kind, prefix) for index in range(count)), **more)


def model(name: str, of: str = CHAT, **more: Any) -> dict[str, Any]:
    """Return a model as the inventory asks for it, with its facts."""
    facts = more.pop("facts", FACTS[of])
    return models.complete({"name": name, "source": f"hf://o/{of}", "facts": facts, **more})


def plan(asked: list[dict[str, Any]], hosts: dict[str, Any], before: Any = None, **more: Any) -> dict[str, Any]:
    """Return the plan, after one that is in force."""
    return serving_plan.plan(asked, hosts, before["instances"] if before else None, **more)


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the instances of a plan by name."""
    return {one["name"]: one for one in found["instances"]}


def places(found: dict[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return host and GPUs of each instance."""
    return {one["name"]: (one["host"], tuple(one["gpus"])) for one in found["instances"]}


def counted(one: dict[str, Any]) -> int:
    """Return the bytes of each GPU that vLLM counts as an instance's."""
    return sum(one["memory"][part] for part in ("weights", "activation", "cuda_graphs", "other", "kv_cache"))


def check(found: dict[str, Any], asked: list[dict[str, Any]]) -> None:
    """Fail if a plan breaks a rule of memory, of parallelism or of replicas."""
    wanted = {one["name"]: one for one in asked}
    on: dict[tuple[str, str], list[dict[str, Any]]] = {}
    names = [one["name"] for one in found["instances"]]
    assert len(set(names)) == len(names)
    assert len(names) + len(found["unplaced"]) == sum(one["replicas"] for one in asked)
    for one in found["instances"]:
        facts = wanted[one["model"]]["facts"]
        ranks = one["tensor_parallel_size"] * one["pipeline_parallel_size"] * one["data_parallel_size"]
        assert len(set(one["gpus"])) == len(one["gpus"]) == ranks
        assert kv_cache.tensor_parallel_allowed(facts, one["tensor_parallel_size"])
        assert one["start_after"] is None or one["start_after"] in names
        assert counted(one) <= math.ceil(one["gpu_memory_utilization"] * one["memory"]["total"])
        assert one["max_num_batched_tokens"] >= one["max_num_seqs"]
        for uuid in one["gpus"]:
            on.setdefault((one["host"], uuid), []).append(one)
        _check_cache(one, facts)
    total_of = {(name, d["uuid"]): d for name, facts in found["hosts"].items() for d in facts["gpus"]}
    for key, sharers in on.items():
        device = total_of[key]
        context = int(device["total"] * vllm_sizing.CONTEXT_SHARE)
        margin = int(device["total"] * plan_devices.MARGIN_SHARE)
        assert len({one["model"] for one in sharers}) == len(sharers), "two replicas of one model on one GPU"
        margin += sum(one["memory"]["margin"] for one in sharers)
        assert sum(counted(one) + context for one in sharers) <= device["total"] - device["foreign"] - margin
        assert sorted(one["name"] for one in sharers) == device["instances"]
        started: list[dict[str, Any]] = []
        for one in in_order(sharers, by_name(found)):
            free = device["total"] - device["foreign"] - sum(counted(two) + context for two in started) - context
            assert math.ceil(device["total"] * one["gpu_memory_utilization"]) <= free
            started.append(one)


def in_order(sharers: list[dict[str, Any]], everyone: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the instances of one GPU as they start; fail if two could start at once."""

    def before(one: dict[str, Any]) -> list[str]:
        found: list[str] = []
        while one["start_after"]:
            assert one["start_after"] not in found, "they wait for each other"
            found.append(one["start_after"])
            one = everyone[one["start_after"]]
        return found

    ordered = sorted(sharers, key=lambda one: len(before(one)))
    for first, second in zip(ordered, ordered[1:]):
        assert first["name"] in before(second), "two start at once on one GPU"
    return ordered


def _check_cache(one: dict[str, Any], facts: dict[str, Any]) -> None:
    kv = one["kv_cache_memory_bytes"]
    if not facts["layers"]:
        assert kv is None
        assert one["memory"]["kv_cache"] == 0
        return
    layout = layout_of(one, facts)
    assert kv == one["memory"]["kv_cache"]
    assert kv >= layout.bytes_to_start(one["max_model_len"])
    assert one["block_size"] == layout.block_size
    assert one["kv_cache_blocks"] == kv // layout.bytes_per_block


def layout_of(one: dict[str, Any], facts: dict[str, Any], power: str | None = None) -> kv_cache.Geometry:
    """Return how vLLM lays out the KV cache of an instance."""
    return kv_cache.geometry(
        facts,
        tensor_parallel_size=one["tensor_parallel_size"],
        pipeline_parallel_size=one["pipeline_parallel_size"],
        dtype=one["dtype"],
        kv_cache_dtype=one["kv_cache_dtype"],
        block_size=one["block_size"] if power is None and facts["layers"][0]["type"] == "full_attention" else None,
        max_num_batched_tokens=one["max_num_batched_tokens"],
    )
