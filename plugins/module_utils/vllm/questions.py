# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to vLLM's dry start (roles/vllm/files/programs/dry_start.py), and what its answers tell the plan.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

# The dry start has places of its own for what vLLM would write, and modules beside it.
OWN_VARIABLES = (
    "HOME",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
)
OFFLOAD = "cpu-offload-gb"


def several(instance: Mapping[str, Any], field: str) -> int | None:
    """Return a group's size if it is greater than one."""
    size = int(instance.get(field) or 0)
    return size if size > 1 else None


def planned_flags(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that the plan has decided; null leaves one out."""
    kv_cache_dtype = instance.get("kv_cache_dtype") or "auto"
    return {
        "max-model-len": instance.get("max_model_len"),
        "max-num-seqs": instance.get("max_num_seqs"),
        "max-num-batched-tokens": instance.get("max_num_batched_tokens"),
        "tensor-parallel-size": several(instance, "tensor_parallel_size"),
        "pipeline-parallel-size": several(instance, "pipeline_parallel_size"),
        "data-parallel-size": several(instance, "data_parallel_size"),
        "dtype": instance.get("dtype"),
        "kv-cache-dtype": None if kv_cache_dtype == "auto" else kv_cache_dtype,
        "gpu-memory-utilization": instance.get("gpu_memory_utilization"),
        "kv-cache-memory-bytes": instance.get("kv_cache_memory_bytes"),
    }


def cache_variable(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment variable that gives an instance on processors its KV cache."""
    space = (instance.get("cpu") or {}).get("kv_cache_space_gib") if instance["device"] == "cpu" else None
    return {"VLLM_CPU_KVCACHE_SPACE": space} if space else {}


def question(instance: Mapping[str, Any], args: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an instance would be started, as the dry start reads it; the model's folder is still missing.

    :param args: flags of every instance of the host; the instance's own win.
    :param env: environment variables of every instance of the host, the same.
    """
    length, given = instance.get("max_model_len"), (instance.get("memory") or {}).get("kv_cache")
    variables = {**cache_variable(instance), **env, **instance["env"]}
    return {
        "flags": {**planned_flags(instance), **args, **instance["args"]},
        "environment": {
            name: value for name, value in variables.items() if value is not None and name not in OWN_VARIABLES
        },
        "lengths": [length] if length else [],
        "kv_cache_bytes": [given] if length and given else [],
    }


def answer(said: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer of the dry start tells the plan, in bytes of the GPU that needs most.

    :param asked: the question.
    """
    found: dict[str, Any] = {
        # A build for processors has a release of its own: 0.32.0+cpu.
        "release": str(said.get("engine") or "").rpartition(" ")[2].partition("+")[0],
        "accepted": said.get("accepted"),
        "sentence": str(said.get("refusal") or said.get("error") or ""),
    }
    if not said.get("accepted"):
        return found
    requests = said.get("requests") or []
    found["bytes_per_block"] = max(said.get("bytes_per_block") or [0]) or None
    found["blocks"] = {str(one["length"]): sum(one["blocks"]) for one in requests}
    found["bytes_to_start"] = {str(one["length"]): max(one["bytes_to_start"], default=0) for one in requests}
    # Weights that are left on the host are counted by the arithmetic alone.
    if not asked["flags"].get(OFFLOAD):
        found["weights"] = max((sum(int(size) for size in stage.values()) for stage in said["stages"]), default=0)
    return found
