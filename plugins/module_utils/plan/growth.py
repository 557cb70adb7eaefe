# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Use the remaining memory for placed replicas: longer contexts, more parallel requests; and compute their sizes.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils import estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import GIB, Device
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import GpuHost, Placed, pinned_kv

# Sizes of an instance that the plan decides once and keeps as long as the request stays the same.
SIZES = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "block_size",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "memory",
    "kv_cache_blocks",
    "kv_cache_tokens",
    "max_concurrency",
)
REQUEST = ("source", "revision", "context", "args", "max_positions", "facts")


# Parts of an instance's memory, in bytes of each GPU, that the engine counts as its own.
HELD = ("weights", "activation", "cuda_graphs", "other", "kv_cache")
# Facts about the place where they were read, and those that follow from others. They are no part of the request.
PROVENANCE = (
    "config_digest",
    "source",
    "revision",
    "weight_bytes_source",
    "parameters",
    "projections",
    "quantization_sets",
    "image_prefix",
    "attention_sinks",
    "expert_layers",
    "encoder_parameters",
    "uncut_parameters",
    "drafter",
)
# Reasons for leaving an instance as it is, while they apply.
UNKNOWN = "nothing is known of its host or model now: it stays as it was planned last"


def held(instance: dict[str, Any]) -> int:
    """Return the bytes of each GPU that an instance in force was given, without its CUDA context."""
    memory = instance.get("memory") or {}
    parts = sum(int(memory.get(part) or 0) for part in HELD)
    return max(parts, math.ceil(float(instance.get("gpu_memory_utilization") or 0) * int(memory.get("total") or 0)))


def request_digest(model: dict[str, Any]) -> str:
    """Return the digest that shows whether a model's request for an instance is unchanged."""
    request = {key: model.get(key) for key in REQUEST}
    # A model with the default value keeps the digest of earlier versions.
    if registry.of(model).name != registry.DEFAULT:
        request["engine"] = model["engine"]
    request["facts"] = {key: value for key, value in (model.get("facts") or {}).items() if key not in PROVENANCE}
    request["concurrency"] = instance_memory.asked_concurrency(model) if model["concurrency"] else None
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()[:12]


def grow(hosts: list[GpuHost], placed: list[Placed]) -> None:
    """Share the remaining memory of each GPU equally among the new instances on it, as far as they can use it.

    An instance gets the same of each of its GPUs, so the fullest of them decides. What one cannot use goes to the
    others in a second round.
    """
    growing = [one for one in placed if one.kept is None and pinned_kv(one.model, one.shape, one.devices[0]) is None]
    for _round in range(2):
        sharers: dict[str, int] = {}
        for one in growing:
            for device in one.devices:
                sharers[device.uuid] = sharers.get(device.uuid, 0) + 1
        shares = {d.uuid: d.free // sharers.get(d.uuid, 1) for host in hosts for d in host.devices}
        for one in growing:
            extra = min(shares[device.uuid] for device in one.devices)
            kv = _useful(one, one.kv + max(0, extra))
            for device in one.devices:
                device.taken += kv - one.kv
            one.kv = kv
        growing = [one for one in growing if one.kv < _most(one)]


def _most(one: Placed) -> int:
    """Return the bytes of KV cache with which every sequence has its full context: more would lie idle."""
    least, most = instance_memory.asked_context(one.model)
    return max(one.kv_least, one.shape.kv_bytes(max(least, most), one.shape.sequences))


def _useful(one: Placed, kv: int) -> int:
    block = one.shape.geometry.bytes_per_block if one.model["facts"]["layers"] else 0
    kv = min(kv, _most(one))
    return max(one.kv_least, kv // block * block) if block else 0


def context(one: Placed) -> int:
    """Return the context of an instance: the requested one, or the longest for which its KV cache suffices."""
    least, most = instance_memory.asked_context(one.model)
    if least == most or not one.model["facts"]["layers"]:
        return most
    return one.shape.longest(one.kv, most, instance_memory.asked_concurrency(one.model))


def sizes(one: Placed) -> dict[str, Any]:
    """Return the sizes of an instance: the parameters of the engine, and their calculation in bytes of each GPU."""
    if one.kept is not None:
        return {key: one.kept.get(key) for key in SIZES}
    shape, device = one.shape, min(one.devices, key=lambda d: d.free)
    length = context(one)
    capacity: dict[str, Any] = {"kv_cache_blocks": 0, "kv_cache_tokens": 0, "max_concurrency": None}
    if one.model["facts"]["layers"]:
        capacity = shape.geometry.capacity(one.kv, length)
    blocks = int(capacity["kv_cache_blocks"])
    sequences = min(shape.sequences, blocks) if blocks and shape.geometry.limits_sequences else shape.sequences
    return {
        "tensor_parallel_size": shape.tensor,
        "pipeline_parallel_size": shape.pipeline,
        "data_parallel_size": shape.data,
        "dtype": shape.dtype,
        "quantization": instance_memory.quantization(one.model),
        "kv_cache_dtype": shape.kv_dtype,
        # Rounded up, as the requested bytes must cover what was counted; the margin pays for it.
        "gpu_memory_utilization": instance_memory.pinned_share(one.model)
        or math.ceil(one.held / device.total * 10000) / 10000,
        "kv_cache_memory_bytes": one.kv or None,
        "block_size": shape.geometry.block_size if one.model["facts"]["layers"] else None,
        "max_model_len": length,
        "max_num_seqs": sequences,
        "max_num_batched_tokens": shape.batched_tokens,
        "memory": _memory(one, device),
        **capacity,
    }


def _memory(one: Placed, device: Device) -> dict[str, int]:
    shape = one.shape
    return {
        "total": device.total,
        "weights": shape.weights,
        "activation": shape.activation,
        "cuda_graphs": shape.cuda_graphs,
        "other": shape.other,
        "margin": one.margin,
        "foreign": device.foreign,
        "kv_cache": one.kv,
        "headroom": device.left,
    }


def recorded_reasons(instance: dict[str, Any]) -> list[str]:
    """Return the reasons that an instance in force was planned with."""
    return [reason for reason in instance.get("reasons") or [] if reason != UNKNOWN]


def reasons(one: Placed) -> list[str]:
    """Return the reasons for an instance's sizes as sentences."""
    if one.kept is not None:
        return recorded_reasons(one.kept)
    shape, first = one.shape, one.devices[0]
    said = list(one.why)
    if shape.width > 1:
        islands = {device.island for device in one.devices}
        link = "inside one NVLink island" if len(islands) == 1 and not first.sliced else "over PCIe"
        said.append(f"{shape.width} GPUs, as fewer do not hold it: TP {shape.tensor} x PP {shape.pipeline}, {link}")
    if shape.dtype_reason:
        said.append(shape.dtype_reason)
    tokens, sequences = registry.of(one.model).serve_defaults(first)
    if shape.batched_tokens < tokens and not instance_memory.pinned(one.model, "max-num-batched-tokens"):
        said.append(f"max_num_batched_tokens {shape.batched_tokens} instead of {tokens}: activations would not fit")
    if (
        shape.sequences < sequences
        and not instance_memory.pinned(one.model, "max-num-seqs")
        and not one.model["concurrency"]
    ):
        frugal = shape.sequences == registry.of(one.model).frugal()[1]
        why = "logits would not fit" if frugal else "each takes a block of the KV cache at least"
        said.append(f"max_num_seqs {shape.sequences} instead of {sequences}: {why}")
    least, most = instance_memory.asked_context(one.model)
    length = context(one)
    if least != most and length < most:
        said.append(f"context {length} of {most}: the longest that the KV cache of {one.kv / GIB:.1f} GiB holds")
    said += [f"{d.foreign / GIB:.1f} GiB of GPU {d.index} are held by {d.owners}" for d in one.devices if d.foreign]
    others = sorted({name for device in one.devices for name in device.shared if name != one.name})
    if others:
        said.append(f"shares its GPU with {', '.join(others)}")
    said.append(f"overheads measured on {shape.measured}" if shape.measured else "overheads estimated")
    said.append(_margin(one, first))
    return said


def _margin(one: Placed, device: Device) -> str:
    """Return how much of a GPU stays free for an instance, and why."""
    whole = estimate.together(one.shape.estimates.values())
    text = f"margin {one.margin / GIB:.1f} GiB, beside {device.margin / GIB:.1f} GiB of the GPU"
    if one.shape.measured or not whole.planned:
        return f"{text}: what was measured comes again"
    seen = f"{whole.planned / GIB:.1f} GiB of overheads may be {whole.low / GIB:.1f} to {whole.high / GIB:.1f} GiB"
    return f"{text}: {seen}, most uncertain are {whole.what} ({whole.source})"
