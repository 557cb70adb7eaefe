# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the plan for GPUs, one by one: devices, islands, defaults, divisions, places."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import devices as plan_devices
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device, capability, islands
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import GpuHost, Sizer, batches
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.search import Placer, find
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import flags, sizing
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    A100,
    BIG,
    FACTS,
    GB10,
    GIB,
    H100,
    H200,
    L4,
    MIB,
    SMALL,
    T4,
    gpu,
    host,
    machine,
    model,
    plan,
)


def on(*kinds: dict[str, Any], name: str = "h", order: int = 0, **more: Any) -> GpuHost:
    facts = host(*(gpu(n, kind) for n, kind in enumerate(kinds)), **more)["gpu_facts"]
    return GpuHost(name, order, plan_devices.devices(facts, [], set(), {}, 122880)[0])


@pytest.mark.parametrize(
    ("text", "numbers"), [("8.9", (8, 9)), ("12", (12, 0)), (None, (0, 0)), ("N/A", (0, 0)), ("9.x", (0, 0))]
)
def test_a_compute_capability_is_two_numbers(text: Any, numbers: tuple[int, int]) -> None:
    assert capability(text) == numbers


def test_islands_are_what_nvlink_connects() -> None:
    assert islands(3, None) == [0, 1, 2]
    assert islands(3, {"nvlink_all_to_all": True}) == [0, 0, 0]
    pairs = [
        ["X", "NV4", "SYS", "SYS"],
        ["NV4", "X", "SYS", "SYS"],
        ["SYS", "SYS", "X", "NV4"],
        ["SYS", "SYS", "NV4", "X"],
    ]
    assert islands(4, {"matrix": pairs}) == [0, 0, 2, 2]
    # A chain is one island; a row that is not known is nothing.
    chain = [["X", "SYS", "NV1"], None, ["NV1", "NV2", "X"]]
    assert islands(3, {"matrix": chain}) == [0, 0, 0]


def test_a_device_divides_its_memory() -> None:
    device = Device("GPU-0", 0, "x", (9, 0), 100 * GIB)
    assert (device.margin, device.usable, device.free) == (GIB, 99 * GIB, 99 * GIB)
    device.foreign, device.held, device.reserved, device.taken = 10 * GIB, 5 * GIB, GIB, 20 * GIB
    device.spread = 2 * GIB
    assert (device.capacity, device.usable) == (98 * GIB, 83 * GIB)
    assert (device.free, device.left) == (61 * GIB, 64 * GIB)
    device.foreign = 200 * GIB
    assert device.usable == 0


@pytest.mark.parametrize(
    ("kind", "tokens", "sequences"),
    [(T4, 2048, 256), (L4, 2048, 256), (A100, 2048, 256), (GB10, 2048, 256), (H100, 8192, 1024), (H200, 8192, 1024)],
)
def test_the_batch_is_vllms_default(kind: dict[str, Any], tokens: int, sequences: int) -> None:
    (device,) = on(kind).devices
    assert sizing.serve_defaults(device) == (tokens, sequences)
    assert batches(model("m"), device)[0] == (tokens, sequences)


def test_the_largest_gpus_take_the_largest_batch() -> None:
    b200 = {"name": "NVIDIA B200", "mib": 183359, "reserved": 600, "power": "10.0"}
    (device,) = on(b200).devices
    assert sizing.serve_defaults(device) == (16384, 1024)


def test_batches_hold_what_is_asked_and_pinned() -> None:
    (device,) = on(H100).devices
    assert batches(model("m"), device) == [(8192, 1024), (2048, 64)]
    assert batches(model("m", concurrency=30, replicas=4), device) == [(8192, 8), (2048, 8)]
    assert batches(model("m", args={"max-num-seqs": 16, "max-num-batched-tokens": 512}), device) == [(512, 16)]
    assert batches(model("m", args={"max-num-batched-tokens": 512}), device) == [(512, 512), (512, 64)]
    assert batches(model("m", concurrency=5000), device) == [(8192, 5000), (5000, 5000)]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        ("16k", 16000),
        ("16K", 16384),
        ("1.5m", 1500000),
        ("2G", 2 * GIB),
        *((wrong, None) for wrong in ("1.5G", "x", 0, -1, True, None, "0k")),
    ],
)
def test_pins_are_read_as_vllm_reads_them(value: Any, number: int | None) -> None:
    assert flags.pinned({"flag": value}, "flag") == number


def test_divisions_are_those_that_the_model_allows() -> None:
    sizer = Sizer([])
    found = sizer.divisions(model("phi", "phi-4"))
    assert [d for d in found if d[1] == 1] == [(1, 1, 1), (2, 1, 1), (5, 1, 1), (10, 1, 1)]
    # Pipelines come after all of them.
    assert found[4:6] == [(1, 2, 1), (1, 3, 1)]
    assert found.index((10, 1, 1)) < found.index((1, 2, 1))
    pinned = model("pinned", args={"tensor-parallel-size": 4, "pipeline-parallel-size": 2, "data-parallel-size": 2})
    assert sizer.divisions(pinned) == [(4, 2, 2)]
    many = {**model("m", SMALL)["facts"], "num_hidden_layers": 2}
    assert max(stages for _ranks, stages, _copies in sizer.divisions(model("short", facts=many))) == 2


def test_a_place_is_used_gpus_first_then_the_tightest() -> None:
    there = on(H100, H100, L4)
    small, sizer = model("small", SMALL, context=1024), Sizer([])
    place = find(there, small, (1, 1, 1), sizer, set())
    assert place is not None
    assert there.devices[place.positions[0]].name == "NVIDIA L4"
    there.devices[1].taken = 10 * GIB
    place = find(there, small, (1, 1, 1), sizer, set())
    assert place is not None
    assert place.positions == (1,)
    place = find(there, small, (1, 1, 1), sizer, {"GPU-1", "GPU-2"})
    assert place is not None
    assert place.positions == (0,)
    assert find(there, model("big", BIG), (1, 1, 1), sizer, set()) is None


def test_a_placer_looks_again_at_what_changed() -> None:
    hosts = [on(L4, L4, name="a"), on(L4, L4, name="b", order=1)]
    placer, chat = Placer(hosts, Sizer([])), model("chat", context=1024, hosts=["b"])
    first = placer.best(chat, {})
    assert first is not None
    assert first.host.name == "b"
    first.host.take(first)
    second = placer.best(chat, {"b": {device.uuid for device in first.devices}})
    assert second is not None
    assert {device.uuid for device in second.devices} != {device.uuid for device in first.devices}
    second.host.take(second)
    assert placer.best(chat, {"b": {"GPU-0", "GPU-1"}}) is None
    second.host.release(second)
    assert second.host.models == {"chat": 1}
    assert second.devices[0].taken == 0


def test_what_an_instance_holds_is_what_it_asks_for_at_least() -> None:
    memory = {"total": 100, "weights": 10, "activation": 5, "cuda_graphs": 1, "other": 1, "kv_cache": 20}
    assert plan_growth.held({"memory": memory}) == 37
    assert plan_growth.held({"memory": memory, "gpu_memory_utilization": 0.5}) == 50
    assert plan_growth.held({}) == 0


def test_flags_of_the_plan_are_not_written_twice() -> None:
    pins = {"max-num-seqs": 4, "tensor-parallel-size": 1, "dtype": "half", "enable-prefix-caching": True}
    (one,) = plan([model("chat", args=pins)], {"h": machine(1)})["instances"]
    assert one["args"] == {"enable-prefix-caching": True}
    assert (one["max_num_seqs"], one["dtype"]) == (4, "float16")


def test_a_gpu_tells_what_is_on_it() -> None:
    found = plan([model("chat", context=1024)], {"h": machine(2)})
    used, idle = found["hosts"]["h"]["gpus"]
    assert (used["instances"], idle["instances"]) == (["chat-0"], [])
    assert used["total"] == (81559 - 551) * MIB
    assert used["headroom"] == used["total"] - used["planned"]
    assert (idle["planned"], idle["headroom"], idle["foreign_owners"]) == (0, idle["total"], "")


@pytest.mark.parametrize(
    ("args", "served"),
    [
        ({}, False),
        ({"language-model-only": True}, True),
        ({"limit-mm-per-prompt": {"image": 0, "video": 0}}, True),
        ({"limit-mm-per-prompt": '{"image": {"count": 0}}'}, True),
        ({"limit-mm-per-prompt": {"image": 1, "video": 0}}, False),
    ],
)
def test_a_model_that_serves_text_alone_needs_no_encoder(args: dict[str, Any], served: bool) -> None:
    assert flags.text_only(args) is served
    seeing = {**FACTS["gemma-3-27b-it"], "model_type": "gemma4", "image_prefix": True}
    assert sizing.least_tokens(seeing, args) == (1 if served else 2496)
    assert sizing.least_tokens({**seeing, "model_type": "gemma3"}, args) == 1
    asked = model("chat", facts=seeing, args=args)
    assert batches(asked, on(L4).devices[0])[0] == ((2048 if served else 2496), 256)
    # Without images the step takes 0.5 MiB less for each token.
    text, images = (sized(model("chat", facts=seeing, args=given)).activation for given in (args, {}))
    assert images - text == (4 * GIB if served else 0)


def sized(asked: dict[str, Any]) -> instance_memory.Shape:
    return instance_memory.Shape(asked, on(H100).devices[0], (1, 1, 1), 8192, 256, [])
