# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark is of: two with different ones are not compared. Pure functions."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping, Sequence

# What decides on the speed of an instance, in the words of the plan.
OF_INSTANCE = (
    "engine",
    "source",
    "revision",
    "device",
    "product_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "kv_cache_tokens",
    "block_size",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "stream_interval",
    "args",
)
OF_LAUNCH = ("package", "args", "env")
OF_WORK = ("model", "through", "input_len", "output_len")


def of_instance(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides on the speed of an instance: nothing of it is a place or a secret."""
    launch = instance.get("launch") or {}
    cpu = instance.get("cpu") or {}
    return {
        **{name: instance.get(name) for name in OF_INSTANCE},
        "cores": cpu.get("cores"),
        # Their values may be secrets: of those of all instances the launch has digests.
        "variables": sorted(instance.get("env") or {}),
        **{f"launch_{name}": launch.get(name) for name in OF_LAUNCH},
    }


def identity(instances: Sequence[Mapping[str, Any]], release: str, files: str) -> dict[str, Any]:
    """Return what a benchmark is of, with its `digest`.

    :param instances: what decides on the speed of each, see :func:`of_instance`.
    :param release: that of the engine.
    :param files: the name of the folder with the model's files, which tells the commit or the content.
    """
    each = sorted((dict(one) for one in instances), key=_text)
    known = {"release": release, "files": files, "instances": each}
    return {**known, "digest": hashlib.sha256(_text(known).encode()).hexdigest()[:12]}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between two identities; nothing if they have the same digest."""
    if before["digest"] == now["digest"]:
        return []
    found = [_changed(name, before[name], now[name]) for name in ("release", "files") if before[name] != now[name]]
    old, new = before["instances"], now["instances"]
    if len(old) != len(new):
        found.append(_changed("replicas", len(old), len(new)))
    names = dict.fromkeys(name for one in [*old, *new] for name in one)
    for name in names:
        values = [sorted({_text(one.get(name)) for one in part}) for part in (old, new)]
        if values[0] != values[1]:
            found.append(_changed(name, *(", ".join(part) for part in values)))
    return found or ["the replicas are not the same"]


def _changed(name: str, before: Any, now: Any) -> str:
    return f"{name} was {before} and is {now}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
