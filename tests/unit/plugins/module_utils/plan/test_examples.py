# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worked examples: what a person who knows vLLM would plan, down to the numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    A100,
    BIG,
    CHAT,
    FACTS,
    GB10,
    GIB,
    H100,
    H200,
    L4,
    MIB,
    SMALL,
    T4,
    by_name,
    check,
    gpu,
    host,
    layout_of,
    machine,
    model,
    places,
    plan,
)


def single(found: dict[str, Any]) -> dict[str, Any]:
    assert found["unplaced"] == []
    assert found["problems"] == []
    (one,) = found["instances"]
    return dict(one)


def refusal(found: dict[str, Any]) -> tuple[str, str]:
    assert found["instances"] == []
    assert [problem["remedy"] for problem in found["problems"]] == [one["remedy"] for one in found["unplaced"]]
    return found["unplaced"][0]["reason"], found["unplaced"][0]["remedy"]


def test_8b_in_16_bits_on_one_24_gb_card() -> None:
    asked = [model("chat")]
    found = plan(asked, {"h": machine(1, L4)})
    one = single(found)
    check(found, asked)
    # CUDA's total of a driver that does not tell what it reserves; 1 %, 2 % context and its margin stay free.
    total = int(23034 * MIB * (1 - 0.015))
    assert one["memory"]["total"] == total
    margin = one["memory"]["margin"]
    assert one["gpu_memory_utilization"] == pytest.approx(0.97 - margin / total, abs=0.0002)
    # Weights, 2 x 2048 x 4096 x 11 of activations, three times the fp32 logits of 256 sequences, 1 GiB of graphs,
    # 0.6 GiB of the rest.
    assert one["memory"]["weights"] == pytest.approx(16060522496, rel=0.001)
    assert one["memory"]["activation"] == 2 * 2048 * 4096 * 11 + 3 * 256 * 128256 * 4
    assert (one["memory"]["cuda_graphs"], one["memory"]["other"]) == (GIB, int(0.6 * GIB))
    # 32 layers x 2 x 8 heads x 128 x 2 bytes x 16 tokens.
    block = 32 * 2 * 8 * 128 * 2 * 16
    blocks = one["kv_cache_memory_bytes"] // block
    assert one["kv_cache_memory_bytes"] % block == 0
    assert (one["max_model_len"], one["kv_cache_tokens"]) == ((blocks - 1) * 16, blocks * 16)
    assert 32000 < one["max_model_len"] < 36000
    assert (one["max_num_seqs"], one["max_num_batched_tokens"], one["dtype"]) == (256, 2048, "bfloat16")
    assert (one["tensor_parallel_size"], one["pipeline_parallel_size"], one["block_size"]) == (1, 1, 16)
    assert one["quantization"] is None
    # One block more does not fit.
    layout = layout_of(one, FACTS[CHAT])
    assert not layout.fits(one["kv_cache_memory_bytes"], one["max_model_len"] + 16)
    seen = "2.1 GiB of overheads may be 0.4 to 2.6 GiB, most uncertain are CUDA graphs (a measured H100, vLLM 0.26)"
    assert one["reasons"] == [
        f"context {one['max_model_len']} of 131072: the longest that the KV cache of 4.0 GiB holds",
        "overheads estimated",
        f"margin 0.4 GiB, beside 0.2 GiB of the GPU: {seen}",
    ]


def test_70b_in_16_bits_does_not_fit_six_24_gb_cards() -> None:
    reason, remedy = refusal(plan([model("big", BIG)], {"h": machine(6, L4)}))
    assert "TP 6 does not divide its 64 attention and 8 KV heads" in reason
    assert "on 6 x NVIDIA L4 (TP 2 x PP 3) it needs" in reason
    assert "8-bit weights (4 x NVIDIA L4 hold it)" in remedy
    assert "use a host with 8 x NVIDIA L4" in remedy


def test_70b_in_16_bits_on_eight_24_gb_cards() -> None:
    asked = [model("big", BIG)]
    found = plan(asked, {"h": machine(8, L4)})
    check(found, asked)
    one = single(found)
    assert (one["tensor_parallel_size"], one["pipeline_parallel_size"], len(one["gpus"])) == (8, 1, 8)
    assert "8 GPUs, as fewer do not hold it: TP 8 x PP 1, inside one NVLink island" in one["reasons"]


def test_two_models_on_one_80_gb_card() -> None:
    asked = [model("a", context=16384), model("b", context=16384)]
    found = plan(asked, {"h": machine(1)})
    check(found, asked)
    first, second = found["instances"]
    assert (first["max_model_len"], second["max_model_len"]) == (16384, 16384)
    assert (first["start_after"], second["start_after"]) == (None, "a-0")
    assert first["kv_cache_memory_bytes"] == second["kv_cache_memory_bytes"]
    assert first["gpu_memory_utilization"] + second["gpu_memory_utilization"] < 0.95
    assert first["port"] != second["port"]
    assert found["models"]["a"] == {
        "asked": {"replicas": 1, "context": 16384, "concurrency": None},
        "given": {"replicas": 1, "context": 16384, "concurrency": first["max_concurrency"]},
    }


def test_latent_attention_on_eight_cards() -> None:
    asked = [model("ds", "DeepSeek-V3")]
    reason, remedy = refusal(plan(asked, {"h": machine(8)}))
    assert "on 8 x NVIDIA H100 80GB HBM3 (TP 8 x PP 1) it needs" in reason
    assert remedy == "use a host with 16 x NVIDIA H100 80GB HBM3"
    found = plan(asked, {"h": machine(8, H200)})
    check(found, asked)
    one = single(found)
    assert (one["tensor_parallel_size"], one["max_model_len"], one["quantization"]) == (8, 163840, "fp8")
    # The latent is the same on every rank: 61 layers x (512 + 64) x 2 bytes.
    assert one["kv_cache_memory_bytes"] // one["kv_cache_blocks"] == 61 * 576 * 2 * one["block_size"]


def test_turing_has_no_bfloat16() -> None:
    asked = [model("chat", SMALL)]
    found = plan(asked, {"h": machine(1, T4)})
    check(found, asked)
    one = single(found)
    assert one["dtype"] == "float16"
    assert "float16: compute capability 7.5 has no bfloat16" in one["reasons"]
    assert single(plan([model("chat", SMALL, args={"dtype": "half"})], {"h": machine(1)}))["dtype"] == "float16"


def sliced(*slices: tuple[str, int, int], **more: Any) -> dict[str, Any]:
    devices = [
        {"uuid": f"MIG-{n}", "profile": profile, "gpu_instance_id": instance, "compute_instance_id": n}
        | {"memory_total_mib": mib, "memory_used_mib": 0}
        for n, (profile, instance, mib) in enumerate(slices)
    ]
    return gpu(0, A100, mig_mode_current="Enabled", mig_devices=devices, **more)


def test_slices_of_an_a100_are_gpus_of_their_own() -> None:
    hosts = {"h": host(sliced(("3g.40gb", 1, 40192), ("3g.40gb", 2, 40192)))}
    asked = [model("chat", replicas=2)]
    found = plan(asked, hosts)
    check(found, asked)
    assert places(found) == {"chat-0": ("h", ("MIG-0",)), "chat-1": ("h", ("MIG-1",))}
    assert found["instances"][0]["memory"]["total"] == 40192 * MIB
    # No tensor parallelism over slices.
    reason, _remedy = refusal(plan([model("big", BIG)], hosts))
    assert "on 1 x NVIDIA A100-SXM4-80GB MIG 3g.40gb" in reason


def test_compute_instances_that_share_memory_count_once() -> None:
    hosts = {"h": host(sliced(("1c.3g.40gb", 1, 40192), ("1c.3g.40gb", 1, 40192)))}
    found = plan([model("chat", replicas=2)], hosts)
    assert [one["gpus"] for one in found["instances"]] == [["MIG-0"]]
    assert found["unplaced"][0]["reason"].startswith("every GPU on h runs a replica of it already")
    assert found["hosts"]["h"]["unusable"] == [
        "MIG 1c.3g.40gb MIG-1 shares the memory of another MIG device, which is used instead"
    ]


def test_slices_that_cannot_be_used_are_named() -> None:
    nameless = sliced(("3g.40gb", 1, 40192), ("3g.40gb", 1, 40192))
    nameless["mig_devices"][0]["uuid"] = None
    found = plan([model("chat")], {"h": host(nameless)})
    assert places(found) == {"chat-0": ("h", ("MIG-1",))}
    assert "is nvidia-smi run as root" in found["hosts"]["h"]["unusable"][0]
    reason, _remedy = refusal(plan([model("chat")], {"h": host(sliced())}))
    assert "is in MIG mode without MIG devices" in reason
    only = host(sliced(("3g.40gb", 1, 40192), ("3g.40gb", 2, 40192)), gpus=["MIG-1"])
    assert places(plan([model("chat")], {"h": only})) == {"chat-0": ("h", ("MIG-1",))}


def test_what_others_hold_is_taken_off_and_named() -> None:
    process = {"pid": 4711, "name": "python3", "used_memory_mib": 40000}
    busy = gpu(0, processes=[process], memory_used_mib=40500)
    asked = [model("chat")]
    found = plan(asked, {"h": host(busy)})
    check(found, asked)
    one = single(found)
    assert one["memory"]["foreign"] == 40000 * MIB
    assert "39.1 GiB of GPU 0 are held by python3 (pid 4711)" in one["reasons"]
    reason, remedy = refusal(plan([model("big", "gemma-3-27b-it")], {"h": host(busy)}))
    assert "39.1 GiB of GPU 0 are held by python3 (pid 4711)" in reason
    assert remedy == "stop that process, or give the model another GPU"
    # What is ours is not foreign.
    assert single(plan(asked, {"h": host(busy, own_pids=[4711])}))["memory"]["foreign"] == 0


def test_memory_that_no_process_explains_is_foreign() -> None:
    one = single(plan([model("chat")], {"h": host(gpu(0, memory_used_mib=30000))}))
    assert one["memory"]["foreign"] == 30000 * MIB - GIB
    assert any("processes that nvidia-smi does not show" in reason for reason in one["reasons"])
    assert single(plan([model("chat")], {"h": host(gpu(0, memory_used_mib=900))}))["memory"]["foreign"] == 0


def test_a_slice_knows_the_processes_inside_it() -> None:
    processes = [{"pid": 5, "name": "x", "used_memory_mib": 20000, "gpu_instance_id": 2}]
    found = plan(
        [model("chat")], {"h": host(sliced(("3g.40gb", 1, 40192), ("3g.40gb", 2, 40192), processes=processes))}
    )
    assert [device["foreign"] for device in found["hosts"]["h"]["gpus"]] == [0, 20000 * MIB]


def test_a_lost_gpu_is_left_out_and_named() -> None:
    asked = [model("chat", replicas=2)]
    hosts = {"h": machine(3)}
    before = plan(asked, hosts)
    assert places(before) == {"chat-0": ("h", ("GPU-0",)), "chat-1": ("h", ("GPU-1",))}
    hosts["h"]["gpu_facts"]["gpus"][0]["health"] = "lost"
    after = plan(asked, hosts, before)
    check(after, asked)
    assert places(after) == {"chat-0": ("h", ("GPU-2",)), "chat-1": ("h", ("GPU-1",))}
    assert by_name(after)["chat-1"] == by_name(before)["chat-1"]
    assert "moved from h: its GPUs are not there for it" in by_name(after)["chat-0"]["reasons"]
    assert "is lost: see nvidia-smi -q" in after["hosts"]["h"]["unusable"][0]


def test_who_loses_its_gpu_comes_before_newcomers() -> None:
    hosts = {"h": machine(2)}
    before = plan([model("chat", SMALL, hosts=["h"], args={"gpu-memory-utilization": 0.9})], hosts)
    hosts["h"]["gpu_facts"]["gpus"][0]["health"] = "lost"
    asked = [
        model("new", CHAT, args={"gpu-memory-utilization": 0.9}),
        model("chat", SMALL, hosts=["h"], args={"gpu-memory-utilization": 0.9}),
    ]
    after = plan(asked, hosts, before)
    assert places(after) == {"chat-0": ("h", ("GPU-1",))}
    assert [one["model"] for one in after["unplaced"]] == ["new"]


def test_gpus_that_cannot_be_used_are_named() -> None:
    old = gpu(0, {"name": "Tesla V100", "mib": 16384, "reserved": 0, "power": "7.0"})
    blank = gpu(1, {**H100, "mib": None}, memory_is_unified=None)
    unknown = gpu(2, {**H100, "power": None})
    reason, remedy = refusal(plan([model("chat")], {"h": host(old, blank, unknown)}))
    assert "GPU 0 (Tesla V100) has compute capability 7.0: vLLM needs 7.5" in reason
    assert "GPU 1 (NVIDIA H100 80GB HBM3) does not tell how much memory it has" in reason
    assert "GPU 2 (NVIDIA H100 80GB HBM3) has compute capability unknown" in reason
    assert "install the driver" in remedy
    dead = {"device": "cuda", "gpu_facts": {"gpus": [], "error": "nvidia-smi: no devices were found"}}
    assert "no devices were found" in refusal(plan([model("chat")], {"h": dead}))[0]
    only = host(gpu(0), gpu(1), gpus=["GPU-1"])
    assert places(plan([model("chat")], {"h": only})) == {"chat-0": ("h", ("GPU-1",))}


def test_an_encoder_gets_no_kv_cache() -> None:
    asked = [model("embed", "nomic-embed-text-v1.5", mode="embedding"), model("chat")]
    found = plan(asked, {"h": machine(1)})
    check(found, asked)
    one = by_name(found)["embed-0"]
    assert (one["kv_cache_memory_bytes"], one["memory"]["kv_cache"], one["block_size"]) == (None, 0, None)
    assert one["max_model_len"] == FACTS["nomic-embed-text-v1.5"]["max_position_embeddings"]
    # It is stored in float32, and vLLM computes embeddings in float16.
    assert one["dtype"] == "float16"
    assert one["memory"]["weights"] == pytest.approx(273558528 / 2, rel=0.02)


def test_an_encoder_reads_its_longest_text_in_one_step() -> None:
    facts = {**FACTS["nomic-embed-text-v1.5"], "max_position_embeddings": 8192}
    asked = [model("embed", "nomic-embed-text-v1.5", facts=facts, args={"gpu-memory-utilization": 0.5})]
    found = plan(asked, {"h": machine(1, L4)})
    check(found, asked)
    one = single(found)
    assert (one["max_model_len"], one["max_num_batched_tokens"]) == (8192, 8192)
    assert one["gpu_memory_utilization"] == 0.5
    # The share is asked for in any case, so nobody else is given it.
    assert found["hosts"]["h"]["gpus"][0]["planned"] >= one["memory"]["total"] // 2


def test_unified_memory_leaves_room_for_the_host() -> None:
    asked = [model("chat")]
    found = plan(asked, {"h": host(gpu(0, GB10, memory_used_mib=None), cpu={"memory_mib": 122880})})
    check(found, asked)
    one = single(found)
    # CUDA calls all of it the total; 12 GiB, margin and context are not given away.
    assert one["memory"]["total"] == 120 * GIB
    assert one["gpu_memory_utilization"] * 120 <= 120 - 12 - 0.03 * 120 - one["memory"]["margin"] / GIB + 0.02
    assert one["memory"]["headroom"] >= 0
    assert (one["max_num_batched_tokens"], one["max_num_seqs"]) == (2048, 256)


def test_an_fp8_cache_needs_ampere_with_a_kernel_that_has_one() -> None:
    asked = [model("chat", args={"kv-cache-dtype": "fp8"})]
    reason, remedy = refusal(plan(asked, {"h": machine(1, T4)}))
    assert reason == "an fp8 KV cache needs compute capability 8.0, Tesla T4 has 7.5"
    assert "kv-cache-dtype" in remedy
    assert single(plan(asked, {"h": machine(1, A100)}))["kv_cache_dtype"] == "fp8"
    one = single(plan(asked, {"h": machine(1, L4)}))
    plain = single(plan([model("chat")], {"h": machine(1, L4)}))
    assert one["kv_cache_dtype"] == "fp8"
    assert one["max_model_len"] > 1.99 * plain["max_model_len"]


@pytest.mark.parametrize(
    ("flag", "value", "field", "given"),
    [
        ("tensor-parallel-size", 2, "tensor_parallel_size", 2),
        ("pipeline-parallel-size", 2, "pipeline_parallel_size", 2),
        ("data-parallel-size", 2, "data_parallel_size", 2),
        ("kv-cache-memory-bytes", 5 * GIB, "kv_cache_memory_bytes", 5 * GIB),
        ("kv-cache-memory-bytes", "5G", "kv_cache_memory_bytes", 5 * GIB),
        ("gpu-memory-utilization", 0.5, "gpu_memory_utilization", 0.5),
        ("gpu-memory-utilization", "0.5", "gpu_memory_utilization", 0.5),
        ("max-num-batched-tokens", 4096, "max_num_batched_tokens", 4096),
        ("max-num-batched-tokens", "4K", "max_num_batched_tokens", 4096),
        ("max-num-seqs", 7, "max_num_seqs", 7),
        ("max-model-len", 4096, "max_model_len", 4096),
        ("max-model-len", "4.1k", "max_model_len", 4100),
        ("max-model-len", "auto", "max_model_len", 131072),
        ("max-model-len", -1, "max_model_len", 131072),
        ("block-size", 32, "block_size", 32),
        ("kv-cache-dtype", "fp8", "kv_cache_dtype", "fp8"),
    ],
)
def test_args_pin_what_the_plan_would_choose(flag: str, value: Any, field: str, given: Any) -> None:
    asked = [model("chat", args={flag: value})]
    found = plan(asked, {"h": machine(4, H200)})
    one = single(found)
    assert one[field] == given
    if field != "kv_cache_memory_bytes":
        check(found, asked) if flag != "gpu-memory-utilization" else None
    # What is a field is no argument too.
    assert flag in one["args"] or flag not in ("kv-cache-memory-bytes", "block-size")


def test_a_pinned_share_decides_the_cache() -> None:
    one = single(plan([model("chat", args={"gpu-memory-utilization": 0.5})], {"h": machine(1)}))
    fixed = sum(one["memory"][part] for part in ("weights", "activation", "cuda_graphs", "other"))
    assert one["kv_cache_memory_bytes"] == int(0.5 * one["memory"]["total"]) - fixed
    both = model("chat", args={"gpu-memory-utilization": 0.5, "kv-cache-memory-bytes": 2 * GIB})
    found = plan([both, model("other", args={"gpu-memory-utilization": 0.46})], {"h": machine(1)})
    # The check at the start asks for the share although the cache is smaller: the other one does not fit beside it.
    assert [one["model"] for one in found["instances"] + found["unplaced"]] in (["chat", "other"], ["other", "chat"])
    assert len(found["unplaced"]) == 1


def test_pins_that_cannot_hold_the_model_are_refused() -> None:
    reason, remedy = refusal(
        plan([model("chat", args={"kv-cache-memory-bytes": GIB}, context=16384)], {"h": machine(1)})
    )
    assert "it needs more than its args allow" in reason
    assert remedy == "leave kv-cache-memory-bytes out of its args; or use a host with 4 x NVIDIA H100 80GB HBM3"
    reason, remedy = refusal(plan([model("chat", args={"tensor-parallel-size": 3})], {"h": machine(8)}))
    assert reason == 'args are {"tensor-parallel-size": 3}: TP 3 does not divide its 32 attention and 8 KV heads'
    assert "leave it out" in remedy


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"max-num-seqs": "many"}, 'args max-num-seqs is "many"'),
        ({"tensor-parallel-size": 0}, "args tensor-parallel-size is 0"),
        ({"gpu-memory-utilization": "most"}, 'args gpu-memory-utilization is "most"'),
        ({"gpu-memory-utilization": 1.5}, "args gpu-memory-utilization is 1.5"),
        (
            {"max-model-len": 200000},
            "it is asked for context 200000, and hf://o/Llama-3.1-8B-Instruct has 131072 positions",
        ),
        ({"dtype": "float8"}, "dtype float8 is not planned"),
        ({"kv-cache-dtype": "int2"}, "int2"),
    ],
)
def test_pins_that_make_no_sense_are_refused_by_name(args: dict[str, Any], said: str) -> None:
    reason, remedy = refusal(plan([model("chat", args=args)], {"h": machine(1)}))
    assert said in reason
    assert remedy


def test_a_stretched_model_may_go_beyond_its_positions() -> None:
    asked = [model("chat", context=200000, args={"hf-overrides": {"rope_scaling": {}}})]
    assert single(plan(asked, {"h": machine(1)}))["max_model_len"] == 200000


def test_vllm_refuses_more_sequences_than_tokens_of_a_step() -> None:
    asked = [model("chat", SMALL, concurrency=4096, context=16)]
    found = plan(asked, {"h": machine(1, H200)})
    check(found, asked)
    assert single(found)["max_num_seqs"] == 4096
    found = plan([model("chat", SMALL, args={"max-num-batched-tokens": 128})], {"h": machine(1)})
    assert (single(found)["max_num_batched_tokens"], single(found)["max_num_seqs"]) == (128, 128)


def test_concurrency_is_held_at_full_context() -> None:
    asked = [model("chat", context=8192, concurrency=30, replicas=3)]
    found = plan(asked, {"h": machine(8)})
    check(found, asked)
    assert [one["max_num_seqs"] for one in found["instances"]] == [10, 10, 10]
    assert all(one["max_concurrency"] >= 10 for one in found["instances"])
    found = plan([model("chat", context={"min": 8192}, concurrency=8)], {"h": machine(1, L4)})
    reason, remedy = refusal(found)
    assert "on 1 x NVIDIA L4 it needs" in reason
    smaller, fewer, fp8, *_rest = remedy.split("; or ")
    assert (smaller, fewer) == ("ask for context 4480 or less", "ask for concurrency 4 or less")
    assert single(plan([model("chat", context=4480, concurrency=8)], {"h": machine(1, L4)}))["max_num_seqs"] == 8
    assert single(plan([model("chat", context=8192, concurrency=4)], {"h": machine(1, L4)}))["max_num_seqs"] == 4
    assert fp8 == "set args {kv-cache-dtype: fp8}"
    found = plan([model("chat", context={"min": 8192}, concurrency=10)], {"h": machine(1)})
    one = single(found)
    layout = layout_of(one, FACTS[CHAT])
    spare = one["kv_cache_blocks"] - 1
    assert 8192 <= one["max_model_len"] < 131072
    assert layout.blocks_for(one["max_model_len"]) * 10 <= spare < layout.blocks_for(one["max_model_len"] + 16) * 10


def test_the_longest_context_of_every_kind_of_layer() -> None:
    for of in ("gemma-3-27b-it", "Qwen3-Next-80B-A3B-Instruct", "phi-4", CHAT):
        asked = [model("m", of, args={"kv-cache-memory-bytes": 4 * GIB})]
        found = plan(asked, {"h": machine(8, H200)})
        one = single(found)
        layout = layout_of(one, FACTS[of])
        assert layout.fits(4 * GIB, one["max_model_len"])
        longer = one["max_model_len"] + layout.block_size
        assert longer > FACTS[of]["max_position_embeddings"] or not layout.fits(4 * GIB, longer), of


def test_a_state_limits_the_sequences() -> None:
    asked = [model("next", "Qwen3-Next-80B-A3B-Instruct", args={"kv-cache-memory-bytes": 3 * GIB})]
    one = single(plan(asked, {"h": machine(8)}))
    assert one["max_num_seqs"] == min(1024, one["kv_cache_blocks"])


def test_replicas_are_on_gpus_and_hosts_of_their_own() -> None:
    asked = [model("chat", SMALL, replicas=3)]
    found = plan(asked, {"a": machine(2, prefix="a"), "b": machine(2, prefix="b")})
    check(found, asked)
    assert sorted(one["host"] for one in found["instances"]) == ["a", "a", "b"]
    reason, remedy = refusal_of_rest(plan(asked, {"a": machine(2)}))
    assert "every GPU on a runs a replica of it already" in reason
    assert "add a GPU or a host" in remedy


def refusal_of_rest(found: dict[str, Any]) -> tuple[str, str]:
    (rest,) = found["unplaced"]
    return rest["reason"], rest["remedy"]


PAIRS = [["X", "NV4", "SYS", "SYS"], ["NV4", "X", "SYS", "SYS"], ["SYS", "SYS", "X", "NV4"], ["SYS", "SYS", "NV4", "X"]]


def test_tensor_parallelism_stays_inside_an_nvlink_island() -> None:
    # 28 GiB of weights on 24 GB cards take two of them. The third card is the fullest that still suffices.
    gpus = [gpu(n, L4) for n in range(4)]
    gpus[1]["processes"] = [{"pid": 1, "name": "x", "used_memory_mib": 15000}]
    found = plan([model("phi", "phi-4", context=2048)], {"h": host(*gpus, matrix=PAIRS)})
    assert single(found)["gpus"] == ["GPU-2", "GPU-3"]
    # A host whose GPUs are linked comes before one with less waste.
    slow = machine(2, L4, "s", nvlink=False)
    fast = machine(4, L4, "f")
    assert single(plan([model("phi", "phi-4", context=2048)], {"slow": slow, "fast": fast}))["host"] == "fast"
    only = single(plan([model("phi", "phi-4", context=2048)], {"slow": slow}))
    assert "2 GPUs, as fewer do not hold it: TP 2 x PP 1, over PCIe" in only["reasons"]


def test_pipelines_only_where_no_tensor_parallelism_fits() -> None:
    # 56 GB: three cards are too many for its heads (TP 1, 2, 5, 10), two do not hold it.
    facts = {**FACTS["phi-4"], "weight_bytes": 45 * GIB}
    asked = [model("phi", "phi-4", facts=facts, context=2048)]
    found = plan(asked, {"h": machine(4, L4)})
    check(found, asked)
    one = single(found)
    assert (one["tensor_parallel_size"], one["pipeline_parallel_size"]) in ((1, 3), (1, 4), (2, 2))
    found = plan(asked, {"h": machine(5, L4)})
    check(found, asked)
    assert single(found)["pipeline_parallel_size"] == 1 or single(found)["tensor_parallel_size"] == 2


def test_what_is_left_to_others_says_so() -> None:
    asked = [model(name, "gemma-3-27b-it", context=8192) for name in "ab"]
    found = plan(asked, {"h": machine(1)})
    reason, remedy = refusal_of_rest(found)
    assert "of a GPU like NVIDIA H100 80GB HBM3, and what is left there is less" in reason
    assert remedy == "add a GPU or a host, lower replicas, or take a model away"


def test_a_frugal_batch_before_a_second_gpu() -> None:
    asked = [model("gemma", "gemma-3-27b-it", context=30000)]
    found = plan(asked, {"h": host(gpu(0, processes=[{"pid": 1, "name": "x", "used_memory_mib": 9000}]), gpu(1, L4))})
    check(found, asked)
    one = single(found)
    assert (one["max_num_batched_tokens"], one["max_num_seqs"]) == (2048, 64)
    assert "max_num_batched_tokens 2048 instead of 8192: activations would not fit" in one["reasons"]
    assert "max_num_seqs 64 instead of 1024: logits would not fit" in one["reasons"]


def test_weights_come_from_weights_gib_where_files_do_not_tell() -> None:
    facts = {**FACTS[CHAT], "weight_bytes": None}
    one = single(plan([model("chat", facts=facts, weights_gib=15.0)], {"h": machine(1)}))
    assert one["memory"]["weights"] == pytest.approx(15 * GIB, rel=0.01)
    reason, remedy = refusal(plan([model("chat", facts=facts)], {"h": machine(1)}))
    assert reason == "the size of the weights of hf://o/Llama-3.1-8B-Instruct is not known"
    assert "weights_gib" in remedy


@pytest.mark.parametrize(
    ("facts", "said"), [(None, "the configuration of hf://o/Qwen3-0.6B is not known"), ({"error": "401"}, "401")]
)
def test_a_model_without_facts_is_asked_for_by_name(facts: Any, said: str) -> None:
    reason, remedy = refusal(plan([model("chat", SMALL, facts=facts)], {"h": machine(1)}))
    assert reason == said
    assert "stage the model" in remedy


def test_measured_overheads_replace_the_estimates() -> None:
    asked = [model("chat", context=8192)]
    hosts = {"h": machine(1)}
    guessed = single(plan(asked, hosts))
    key = {"source": "hf://o/Llama-3.1-8B-Instruct", "revision": None, "product_name": H100["name"]}
    flags = {name: guessed[name] for name in ("tensor_parallel_size", "pipeline_parallel_size", "dtype")}
    flags |= {name: guessed[name] for name in ("max_num_batched_tokens", "max_num_seqs")}
    measured = {**key, **flags, "activation": 2 * GIB, "cuda_graphs": GIB // 2, "other": None, "measured_on": "h"}
    found = plan(asked, hosts, overheads=[{**measured, "revision": "x"}, measured])
    check(found, asked)
    one = single(found)
    assert (one["memory"]["activation"], one["memory"]["cuda_graphs"]) == (2 * GIB, GIB // 2)
    assert one["memory"]["other"] == guessed["memory"]["other"]
    assert "overheads measured on h" in one["reasons"]
    # What runs is not disturbed by them.
    assert plan(asked, hosts, plan(asked, hosts), overheads=[measured])["instances"] == [guessed]
    # Unless it is asked for: then it grows, or shrinks, where it is.
    for names in (["chat"], ["all"]):
        (anew,) = plan(asked, hosts, plan(asked, hosts), overheads=[measured], replan=names)["instances"]
        assert (anew["gpus"], anew["memory"]["cuda_graphs"]) == (one["gpus"], GIB // 2)
        assert anew["port"] == one["port"]
    assert plan(asked, hosts, plan(asked, hosts), overheads=[measured], replan=["x"])["instances"] == [guessed]


def test_eager_engines_have_no_graphs() -> None:
    one = single(plan([model("chat", args={"enforce-eager": True})], {"h": machine(1)}))
    assert one["memory"]["cuda_graphs"] == 0


def test_gpus_of_one_instance_are_of_one_kind() -> None:
    hosts = {"h": host(gpu(0, L4), gpu(1, H100), gpu(2, L4))}
    asked = [model("phi", "phi-4", context=2048, args={"tensor-parallel-size": 2})]
    found = plan(asked, hosts)
    check(found, asked)
    assert single(found)["gpus"] == ["GPU-0", "GPU-2"]
    assert math.isclose(sum(1 for g in found["hosts"]["h"]["gpus"] if g["instances"]), 2)


LONG = {**FACTS[CHAT], "max_position_embeddings": 4096, "max_model_len_limit": 131072}


@pytest.mark.parametrize(
    ("asked", "length"),
    [
        ({}, 4096),
        ({"context": 2048}, 2048),
        ({"context": 32768}, 32768),
        ({"args": {"max-model-len": 32768}}, 32768),
        ({"context": {"min": 2048}}, 4096),
    ],
)
def test_a_stretched_model_serves_more_than_its_own_length_when_asked(asked: dict[str, Any], length: int) -> None:
    assert single(plan([{**model("chat"), "facts": LONG, **asked}], {"h": machine(1, H100)}))["max_model_len"] == length


def test_a_stretched_model_gets_what_fits_beyond_its_own_length_up_to_its_limit() -> None:
    asked = [{**model("chat"), "facts": LONG, "context": {"min": 16384}}]
    assert 16384 < single(plan(asked, {"h": machine(1, L4)}))["max_model_len"] < 131072
    assert single(plan(asked, {"h": machine(1, H100)}))["max_model_len"] == 131072
    reason, remedy = refusal(plan([{**asked[0], "context": 200000}], {"h": machine(1, H100)}))
    assert "has 131072 positions" in reason
    assert "ask for 131072 or fewer" in remedy
