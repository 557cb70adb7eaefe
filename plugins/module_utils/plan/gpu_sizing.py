# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with their GPUs, replicas on them, and the memory that a model needs on each kind of GPU.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Tuple

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import Shape

MOST_GPUS = 16
"""GPUs of one instance at most: the largest machine there is."""

Kind = Tuple[str, int, Tuple[int, int]]
Division = Tuple[int, int, int]
"""Sizes of tensor, pipeline and data parallelism."""


def width(division: Division) -> int:
    """Return the number of GPUs."""
    return division[0] * division[1] * division[2]


class GpuHost:
    """A host with its GPUs and the instances placed on it so far."""

    def __init__(self, name: str, order: int, devices: list[Device]) -> None:
        self.name = name
        self.order = order
        self.devices = devices
        self.models: dict[str, int] = {}
        """Replicas of each model that run here."""
        self.version = 0
        """Grows with every change, so that what was found for an earlier state is not used for a later one."""
        self._state: tuple[int, tuple[Any, ...]] = (-1, ())
        self.kinds: dict[Kind, Device] = {device.kind: device for device in reversed(devices)}
        """One device of each kind."""

    @property
    def state(self) -> tuple[Any, ...]:
        """Return the key by which two hosts are equivalent for all further placements."""
        if self._state[0] != self.version:
            self._state = (
                self.version,
                tuple((d.kind, d.free, d.taken > 0, d.island, d.sliced) for d in self.devices),
            )
        return self._state[1]

    def take(self, placed: Placed) -> None:
        """Allocate the memory of an instance."""
        for device in placed.devices:
            device.taken += placed.taken(device)
            device.spread += placed.margin
        self.models[placed.model["name"]] = self.models.get(placed.model["name"], 0) + 1
        self.version += 1

    def release(self, placed: Placed) -> None:
        """Release the memory of an instance."""
        for device in placed.devices:
            device.taken -= placed.taken(device)
            device.spread -= placed.margin
        self.models[placed.model["name"]] -= 1
        self.version += 1


class Placed:
    """A replica on its GPUs."""

    __slots__ = (
        "devices",
        "host",
        "kept",
        "kv",
        "kv_least",
        "model",
        "moved_from",
        "replica",
        "shape",
        "start_after",
        "why",
    )

    def __init__(self, model: dict[str, Any], replica: int, host: GpuHost, devices: list[Device], shape: Shape) -> None:
        self.model, self.replica, self.host, self.devices, self.shape = model, replica, host, devices, shape
        self.kv_least = 0
        """Bytes of KV cache with which the wishes are met."""
        self.kv = 0
        """Bytes of KV cache that it gets, of each GPU."""
        self.kept: dict[str, Any] | None = None
        """The instance in force that it continues unchanged."""
        self.moved_from = ""
        self.start_after: str | None = None
        """The instance that starts before it on one of its GPUs."""
        self.why: list[str] = []

    @property
    def name(self) -> str:
        """Return the name of the instance."""
        return f"{self.model['name']}-{self.replica}"

    @property
    def held(self) -> int:
        """Return the bytes of each GPU that the engine counts as its own."""
        return self.shape.held(self.kv)

    @property
    def margin(self) -> int:
        """Return the bytes of each GPU by which it may exceed that."""
        return self.shape.budget(self.kv) - self.held

    def fits(self, device: Device) -> bool:
        """Check whether one of its GPUs has room for it."""
        return device.free >= self.taken(device) + self.margin

    def taken(self, device: Device) -> int:
        """Return the bytes that it takes of one of its GPUs, with its CUDA context."""
        return self.held + instance_memory.context_bytes(self.model, device.total)


class Sizer:
    """Memory that a model needs on each kind of GPU. It is computed once per kind, because there are many hosts and few
    kinds.
    """

    def __init__(self, overheads: list[dict[str, Any]], answers: Answers | None = None) -> None:
        self.overheads = overheads
        self.answers = answers or Answers()
        self.refused: dict[tuple[str, Kind], dict[Division, Mapping[str, Any]]] = {}
        """What engines answered that they refuse, by model and kind of GPU."""
        self._known: dict[tuple[str, Kind, Division], list[tuple[int, Shape]]] = {}
        self._divisions: dict[str, list[Division]] = {}

    def divisions(self, model: dict[str, Any]) -> list[Division]:
        """Return the ways to divide a model among GPUs: by tensor alone before pipelines, fewest GPUs first."""
        if model["name"] not in self._divisions:
            self._divisions[model["name"]] = sorted(_divisions(model), key=lambda d: (d[1] > 1, width(d), d[1]))
        return self._divisions[model["name"]]

    def shapes(self, model: dict[str, Any], device: Device, division: Division) -> list[tuple[int, Shape]]:
        """Return (least bytes of KV cache, shape) of the batches with which a divided model runs on a kind of GPU.

        The batch is the engine's default for the GPU, and a frugal one where the first does not fit.
        """
        key = (model["name"], device.kind, division)
        if key not in self._known:
            # plan_unplaced reports models that cannot be laid out.
            shapes: list[Shape] = []
            cut = registry.of(model).division_refusal(model["facts"], model["args"], division[0], device)
            if not cut and not barred(model, device) and instance_memory.unservable(model) is None:
                with contextlib.suppress(LayoutError):
                    shapes = [
                        Shape(model, device, division, *one, self.overheads, self.answers)
                        for one in batches(model, device)
                    ]
            for shape in shapes:
                if shape.refused:
                    self.refused.setdefault((model["name"], device.kind), {})[division] = shape.refused
            shapes = [shape for shape in shapes if not shape.refusal and not shape.refused]
            shapes = [self._held_at_once(model, shape, device) for shape in shapes]
            sized = [(least_kv(model, shape, device), shape) for shape in shapes]
            self._known[key] = [(kv, shape) for kv, shape in sized if kv is not None]
        return self._known[key]

    def _held_at_once(self, model: dict[str, Any], shape: Shape, device: Device) -> Shape:
        """Return a shape with no more sequences than a pinned KV cache has blocks, where each takes one at least: the
        memory for sampling more of them becomes KV cache."""
        kv = pinned_kv(model, shape, device) if shape.geometry.limits_sequences else None
        blocks = shape.geometry.num_blocks(kv) if kv else shape.sequences
        if not 0 < blocks < shape.sequences:
            return shape
        division = shape.tensor, shape.pipeline, shape.data
        return Shape(model, device, division, shape.batched_tokens, blocks, self.overheads, self.answers)

    def least(self, model: dict[str, Any], device: Device, division: Division) -> int | None:
        """Return the fewest bytes that a divided model needs of each GPU, with its margin; null where it cannot run."""
        shapes = self.shapes(model, device, division)
        return min((shape.budget(kv) for kv, shape in shapes), default=None)


def barred(model: dict[str, Any], device: Device) -> bool:
    """Check whether a model's engine runs on no GPU of this kind, or not this model there."""
    engine = registry.of(model)
    old = device.capability < engine.least_capability
    return old or engine.refusal(model["facts"], model["args"], device) is not None


def pinned_kv(model: dict[str, Any], shape: Shape, device: Device) -> int | None:
    """Return the bytes of KV cache that a model's args pin: by themselves, or by the share of the GPU; else null.

    A share leaves the margin: on the GPU beside it, or else inside it.
    """
    if not model["facts"]["layers"]:
        return 0
    pinned = instance_memory.pinned(model, "kv-cache-memory-bytes")
    share = instance_memory.pinned_share(model)
    if pinned or share is None:
        return pinned
    most = device.capacity - instance_memory.context_bytes(model, device.total) - shape.margin
    return max(0, min(int(share * device.total), most) - shape.fixed)


def least_kv(model: dict[str, Any], shape: Shape, device: Device) -> int | None:
    """Return the fewest bytes of KV cache that satisfy a model's request; null if its pinned args cannot."""
    least = shape.kv_bytes(instance_memory.asked_context(model)[0], instance_memory.asked_concurrency(model))
    pinned = pinned_kv(model, shape, device)
    if pinned is None:
        return least
    if model["context"] == "auto" and not instance_memory.pinned(model, "max-model-len"):
        least = shape.kv_bytes(1, instance_memory.asked_concurrency(model))
    return pinned if pinned >= least else None


def _divisions(model: dict[str, Any]) -> Iterator[Division]:
    tensor, pipeline, data = (
        instance_memory.pinned(model, f"{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")
    )
    layers = int(model["facts"]["num_hidden_layers"])
    for ranks in [tensor] if tensor else range(1, MOST_GPUS + 1):
        if registry.of(model).division_refusal(model["facts"], model["args"], ranks):
            continue
        for stages in [pipeline] if pipeline else range(1, MOST_GPUS // ranks + 1):
            if stages <= layers and not registry.of(model).pipeline_refusal(model["facts"], model["args"], stages):
                yield ranks, stages, data or 1


def batches(model: dict[str, Any], device: Device) -> list[tuple[int, int]]:
    """Return the (max_num_batched_tokens, max_num_seqs) to try: the engine's defaults for the GPU, then frugal ones.

    vLLM refuses fewer tokens than sequences. Encoders read a text in one step, so that the longest must fit in.
    """
    engine = registry.of(model)
    tokens, sequences = engine.serve_defaults(device)
    few_tokens, few_sequences = engine.frugal()
    asked = instance_memory.asked_concurrency(model) if model["concurrency"] else None
    pinned_tokens = instance_memory.pinned(model, "max-num-batched-tokens")
    pinned_sequences = instance_memory.pinned(model, "max-num-seqs") or asked
    floor = engine.least_tokens(model["facts"], model["args"])
    if model["facts"].get("encoder_only"):
        floor = max(floor, instance_memory.asked_context(model)[1])
    found = []
    for step, at_once in (
        (tokens, sequences),
        (min(tokens, few_tokens), min(sequences, few_sequences)),
    ):
        chosen = pinned_sequences or min(at_once, pinned_tokens or at_once)
        batch = pinned_tokens or max(step, floor, chosen), chosen
        if batch not in found:
            found.append(batch)
    return found
