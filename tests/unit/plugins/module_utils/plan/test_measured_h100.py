# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan against what vLLM and the card said on a real H100: data/measured, data/nvidia_smi/h100-driver-580*."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import gpu as doctor_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import smi as nvidia_smi
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import devices as plan_devices
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import kv_cache, sizing
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import log as vllm_log
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    CHAT,
    CONFIGS,
    GIB,
    MIB,
    SMALL,
    WEIGHTS,
    by_name,
    host,
    model,
    plan,
)

DATA = Path(__file__).parents[1] / "data"
SMI = DATA / "nvidia_smi"
RECORD: dict[str, Any] = json.loads((DATA / "measured" / "h100-80gb-vllm-0.26.0.json").read_text())
CARD, CASES = RECORD["machine"], RECORD["cases"]
TOTAL = CARD["cuda_total"]
MARGIN = int(TOTAL * plan_devices.MARGIN_SHARE)
CONTEXT = int(TOTAL * sizing.CONTEXT_SHARE)
# Bytes of the models' safetensors files.
FILES = {
    CHAT: WEIGHTS[CHAT],
    SMALL: WEIGHTS[SMALL],
    "Qwen3-32B-FP8": 34322434048,
    "gpt-oss-20b": 13761264768,
}
# Cases that had the card for themselves.
ALONE = sorted(name for name in CASES if not name.startswith("pair-"))


def recorded(name: str) -> dict[str, Any]:
    """Return the facts of the recorded card; with engines on it, or without."""
    said = {
        part: Reply((SMI / f"h100-driver-580-{part}.txt").read_text()) for part in ("list", "topology", "capabilities")
    }
    return nvidia_smi.gpu_facts(
        {"xml": Reply((SMI / f"{name}.xml").read_text()), **said},
        source="/usr/bin/nvidia-smi",
        kernel_module=f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {CARD['driver']}  Release Build\n",
    )


def facts_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a case's model, with the bytes of weights that vLLM took for it."""
    config = {**CONFIGS[case["config"]], **case["args"].get("hf_overrides", {})}
    return {**describe(config), "weight_bytes": case["weights"]}


def asked(case: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a case as an inventory asks for it."""
    args = {"enforce-eager": True} if case["args"].get("enforce_eager") else {}
    return models.complete({"name": "m", "source": f"hf://o/{case['config']}", "facts": facts_of(case), "args": args})


def shape_of(case: dict[str, Any], overheads: list[dict[str, Any]] | None = None) -> instance_memory.Shape:
    """Return what the plan counts for a case."""
    device = plan_devices.Device("GPU-0", 0, CARD["product_name"], (9, 0), TOTAL)
    batch = case["max_num_batched_tokens"], case["max_num_seqs"]
    return instance_memory.Shape(asked(case), device, (1, 1, 1), *batch, overheads or [])


def beside(case: dict[str, Any]) -> int:
    """Return the bytes of the card that a case took beside weights and KV cache, once it had served a full batch."""
    return int(TOTAL - case["loaded_free"] - case["weights"] - case["kv_tensors_bytes"])


def test_the_recorded_card_is_read() -> None:
    found = recorded("h100-driver-580")
    assert found["error"] is None
    assert (found["driver_version"], found["cuda_driver_version"]) == (CARD["driver"], CARD["cuda"])
    assert (found["kernel_module_open"], found["reboot_required"]) == (True, False)
    assert found["topology"] == {"matrix": [["X"]], "nvlink_all_to_all": False}
    (gpu,) = found["gpus"]
    assert (gpu["product_name"], gpu["compute_capability"]) == (CARD["product_name"], CARD["compute_capability"])
    assert (gpu["memory_total_mib"], gpu["memory_reserved_mib"], gpu["memory_used_mib"]) == (81559, 480, 0)
    assert (gpu["health"], gpu["mig_mode_current"], gpu["mig_devices"], gpu["processes"]) == ("ok", "Disabled", [], [])
    assert (gpu["pci_bus_id"], gpu["numa_node"], gpu["fabric"], gpu["recovery_action"]) == (
        "0000:00:06.0",
        0,
        None,
        None,
    )


def test_cudas_total_is_nvidia_smis_less_what_is_reserved() -> None:
    (device,), refused = plan_devices.devices(recorded("h100-driver-580"), [], set(), {}, 0)
    assert (device.total, device.foreign, refused) == (TOTAL, 0, [])
    assert (CARD["nvidia_smi_total_mib"] - CARD["nvidia_smi_reserved_mib"]) * MIB == TOTAL


def test_engines_on_the_card_are_seen() -> None:
    facts = recorded("h100-driver-580-engines")
    (gpu,) = facts["gpus"]
    assert [(p["name"], p["used_memory_mib"]) for p in gpu["processes"]] == [("python3", 49182), ("python3", 27082)]
    # What nvidia-smi counts as used is the sum of its processes, but for a few MiB of the driver.
    assert 0 <= gpu["memory_used_mib"] - (49182 + 27082) < 32
    (strangers,), _refused = plan_devices.devices(facts, [], set(), {}, 0)
    assert strangers.foreign == (49182 + 27082) * MIB
    (ours,), _refused = plan_devices.devices(facts, [], {p["pid"] for p in gpu["processes"]}, {}, 0)
    assert ours.foreign == 0


@pytest.mark.parametrize("name", ["h100-driver-580", "h100-driver-580-engines"])
def test_the_doctor_finds_the_card_well(name: str) -> None:
    facts = recorded(name)
    found = doctor_gpu.driver(facts) + doctor_gpu.health(facts, (SMI / f"{name}.xml").read_text())
    assert [(one.check, one.severity, one.found) for one in found] == [
        ("driver", "ok", "driver 580.159.04, kernel module 580.159.04, 1 GPUs"),
        ("gpu", "ok", "healthy"),
    ]


def test_context_cublas_and_nccl_fit_in_their_share() -> None:
    used = {one["step"]: one["nvml_used"] for one in CARD["steps"]}
    assert used["before"] == 0
    assert used["context"] < used["cublas"] < used["nccl, one rank"] < CONTEXT
    assert all(TOTAL - case["init_free"] < CONTEXT for name, case in CASES.items() if name in ALONE)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_kv_cache_to_the_token(name: str) -> None:
    case = CASES[name]
    layout = kv_cache.geometry(
        facts_of(case),
        tensor_parallel_size=1,
        dtype=case["dtype"].replace("torch.", ""),
        max_num_batched_tokens=case["max_num_batched_tokens"],
        compute_capability=CARD["compute_capability"],
    )
    found = layout.capacity(case["kv_cache"], case["max_model_len"])
    assert (found["kv_cache_blocks"], found["kv_cache_tokens"]) == (case["num_gpu_blocks"], case["kv_cache_tokens"])
    assert round(found["max_concurrency"], 2) == case["max_concurrency"]


@pytest.mark.parametrize("config", sorted(FILES))
def test_weights_within_two_percent(config: str) -> None:
    facts = {**describe(CONFIGS[config]), "weight_bytes": FILES[config]}
    measured = {case["weights"] for case in CASES.values() if case["config"] == config}
    assert measured
    assert all(kv_cache.rank_weight_bytes(facts, 1) == pytest.approx(taken, rel=0.02) for taken in measured)


@pytest.mark.parametrize("name", ALONE)
def test_what_an_engine_takes_beside_weights_and_cache_is_planned(name: str) -> None:
    case = CASES[name]
    shape = shape_of(case)
    planned = shape.activation + shape.cuda_graphs + shape.other + CONTEXT
    # What every card leaves free is for what no estimate knows, as other models and other versions.
    assert beside(case) <= planned + shape.margin
    assert planned - beside(case) < 0.03 * TOTAL


@pytest.mark.parametrize("name", [name for name in ALONE if CASES[name]["activation"]])
def test_what_vllm_measures_of_itself_does_not_starve_sampling(name: str) -> None:
    """Its peak of activations is that of the profiling step, which samples for a few sequences or none."""
    case = CASES[name]
    key = instance_memory.overhead_key(asked(case), CARD["product_name"], shape_of(case))
    logged = {
        "activation": case["activation"],
        "cuda_graphs": int(case["cuda_graphs_gib"] * GIB),
        "other": case["non_torch"],
    }
    shape = shape_of(case, [{**key, **logged}])
    assert shape.measured
    assert (shape.cuda_graphs, shape.other) == (logged["cuda_graphs"], logged["other"])
    assert shape.activation >= sizing.logits(facts_of(case), case["max_num_seqs"])
    planned = shape.activation + shape.cuda_graphs + shape.other + CONTEXT
    assert beside(case) <= planned + shape.margin + MARGIN
    assert shape.margin < shape_of(case).margin + sizing.logits(facts_of(case), case["max_num_seqs"])


def test_an_engine_with_the_card_for_itself_leaves_the_margin() -> None:
    """It had more KV cache than the plan gives today, and ate of the margin while it sampled."""
    case = CASES["plan-alone"]
    (one,) = plan([model("chat")], {"h": host(*recorded("h100-driver-580")["gpus"])})["instances"]
    assert (one["max_model_len"], one["max_num_seqs"], one["max_num_batched_tokens"]) == (131072, 1024, 8192)
    assert case["loaded_free"] + case["kv_tensors_bytes"] - one["kv_cache_memory_bytes"] >= MARGIN


def test_two_engines_share_the_card() -> None:
    both = [model("chat", context=32768, concurrency=8), model("small", SMALL)]
    found = plan(both, {"h": host(*recorded("h100-driver-580")["gpus"])})
    chat, small = by_name(found)["chat-0"], by_name(found)["small-0"]
    first, second = CASES["pair-chat-0"], CASES["pair-small-0"]
    assert (chat["kv_cache_memory_bytes"], small["start_after"]) == (first["kv_cache"], "chat-0")
    # The second asks for its share of the whole card, and starts as long as that is free beside the first.
    assert second["requested"] <= second["init_free"]
    assert small["gpu_memory_utilization"] * TOTAL <= second["init_free"]
    left = min(first["loaded_free"], second["loaded_free"])
    assert left + second["kv_cache"] - small["kv_cache_memory_bytes"] >= MARGIN


def test_the_log_of_a_start_on_a_gpu_is_read() -> None:
    found = vllm_log.parse((DATA / "measured" / "llama-8b-vllm-0.26.0.log").read_text())
    case = CASES["llama8b-default"]
    assert (found["kv_cache_tokens"], found["max_model_len"]) == (case["kv_cache_tokens"], case["max_model_len"])
    for part, name in (("weights", "weights"), ("activation", "activation"), ("other", "non_torch")):
        assert found[part] == pytest.approx(case[name], abs=0.01 * GIB), part
    assert found["cuda_graphs"] == int(case["cuda_graphs_gib"] * GIB)
