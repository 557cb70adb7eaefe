# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances in force in a new plan: unchanged, smaller in the same place, or back at their size.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import GpuHost, Placed, Sizer, width
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import Shape


def home(
    model: dict[str, Any], current: dict[str, Any] | None, by_name: dict[str, GpuHost]
) -> tuple[GpuHost, list[Any]] | None:
    """Return the host and GPUs of an instance, if it may keep running there."""
    host = by_name.get(str((current or {}).get("host")))
    if not current or host is None or (model["hosts"] and host.name not in model["hosts"]):
        return None
    devices = {device.uuid: device for device in host.devices}
    gpus = [str(uuid) for uuid in current.get("gpus") or []]
    if not gpus or any(uuid not in devices for uuid in gpus):
        return None
    return host, [devices[uuid] for uuid in gpus]


def keep(
    model: dict[str, Any],
    replica: int,
    current: dict[str, Any] | None,
    by_name: dict[str, GpuHost],
    sizer: Sizer,
    restored: bool = False,
) -> Placed | None:
    """Return an instance in force as it is, if its request is the same and its memory is still there.

    :param restored: whether newcomers are there already, who must not cost anybody the margin.
    """
    place = home(model, current, by_name)
    if not current or place is None or current.get("request") != plan_growth.request_digest(model):
        return None
    host, devices = place
    memory = current.get("memory") or {}
    if not plan_growth.held(current):
        return None
    one = Placed(model, replica, host, devices, _shape_in_force(model, current, devices, sizer))
    for part in ("weights", "activation", "cuda_graphs", "other"):
        setattr(one.shape, part, int(memory.get(part) or 0))
    one.shape.margin = int(memory.get("margin") or one.shape.margin)
    one.kept = current
    one.kv = int(memory.get("kv_cache") or 0)
    one.kv_least = one.kv
    # The margin is for errors of estimates, so another program that uses a part of it does not affect running
    # instances.
    return one if all(one.fits(d) if restored else d.left >= one.taken(d) for d in devices) else None


def _shape_in_force(model: dict[str, Any], current: dict[str, Any], devices: list[Any], sizer: Sizer) -> Shape:
    parallel = tuple(whole(current.get(f"{kind}_parallel_size")) or 1 for kind in ("tensor", "pipeline", "data"))
    return Shape(
        model,
        devices[0],
        (parallel[0], parallel[1], parallel[2]),
        whole(current.get("max_num_batched_tokens")) or 1,
        whole(current.get("max_num_seqs")) or 1,
        sizer.overheads,
        sizer.answers,
    )


def resize(
    model: dict[str, Any], replica: int, current: dict[str, Any], by_name: dict[str, GpuHost], sizer: Sizer
) -> Placed | None:
    """Return an instance in force on the same GPUs, as small as its request allows; it grows again afterwards."""
    place = home(model, current, by_name)
    if place is None:
        return None
    host, devices = place
    if len({device.kind for device in devices}) > 1:
        return None
    divisions = [division for division in sizer.divisions(model) if width(division) == len(devices)]
    for kv, shape in [sized for division in divisions for sized in sizer.shapes(model, devices[0], division)]:
        one = Placed(model, replica, host, devices, shape)
        one.kv = one.kv_least = kv
        if all(map(one.fits, devices)):
            return one
    return None


def restore(placed: list[Placed], in_force: dict[str, dict[str, Any]], sizer: Sizer) -> None:
    """Restore the current size of instances where the new ones leave room for it, to avoid needless restarts."""
    for number, one in enumerate(placed):
        current = in_force.get(one.name)
        if not current or one.kept is not None:
            continue
        one.host.release(one)
        stays = keep(one.model, one.replica, current, {one.host.name: one.host}, sizer, restored=True)
        if stays and [d.uuid for d in stays.devices] == [d.uuid for d in one.devices]:
            placed[number] = stays
            stays.host.take(stays)
        else:
            one.host.take(one)
