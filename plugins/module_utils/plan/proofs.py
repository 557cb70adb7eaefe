# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of the first start of a combination: that it held its planned extremes, or how much memory it lacked.

A combination is an engine in one package, a model, a card and everything that the engine is started with. A proof is an
entry of a host's measurements (`measured.py`): it stays with the host, and every host's counts for equal ones.
Pure functions; no Ansible, no files, no network. Sizes are bytes of each GPU.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import cpu, instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.measured import KEY

GIB = 1024**3
# Outcomes of a load: it served everything; it ran out of memory; it failed otherwise; it was not there.
HELD, RAN_OUT, FAILED, AWAY = "held", "out of memory", "failed", "away"
# Fields of an instance that are part of a combination, beside those by which measurements are found.
FIELDS = (*KEY, "device", "data_parallel_size", "kv_cache_dtype", "max_model_len")
# What is taken from the KV cache at least where the engine does not say how much memory it lacked.
LEAST_STEP = GIB // 2


def combination(instance: Mapping[str, Any], packages: Mapping[str, Any]) -> str:
    """Return the digest of what an instance is: 16 hexadecimal digits.

    :param packages: by engine, the package that runs it: its ``digest`` names environment or image.
    """
    engine = registry.of(instance).name
    package = (packages.get(engine) or {}).get("digest")
    said = [engine, package, instance.get("args") or {}, instance.get("env") or {}]
    said += [instance.get(name) for name in FIELDS]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def room(instance: Mapping[str, Any]) -> dict[str, int]:
    """Return what a proof depends on beside the combination: sizes of the KV cache, and the memory left beside it."""
    memory = instance.get("memory") or {}
    space = (instance.get("cpu") or {}).get("kv_cache_space_gib")
    return {
        "kv_cache": int(instance.get("kv_cache_memory_bytes") or 0) or int(space or 0) * GIB,
        "headroom": int(memory.get("headroom") or 0),
        "total": int(memory.get("total") or 0),
    }


def proves(proof: Mapping[str, Any], instance: Mapping[str, Any], combined: str, host: str) -> bool:
    """Check whether a proof counts for an instance: it held with no more memory left beside it.

    On processors it counts on its own host alone, as others have other memory.

    :param combined: `combination` of the instance.
    """
    now = room(instance)
    if proof.get("combination") != combined or proof.get("outcome") != HELD:
        return False
    if instance.get("device") != "cuda":
        return proof.get("host") == host and int(proof["kv_cache"]) >= now["kv_cache"]
    return int(proof["total"]) == now["total"] and int(proof["headroom"]) <= now["headroom"]


def unproven(
    instances: Iterable[Mapping[str, Any]],
    measured: Iterable[Mapping[str, Any]],
    packages: Mapping[str, Any],
    host: str,
) -> list[dict[str, Any]]:
    """Return the instances of a host to load before they serve: of each unproven combination the one with the least
    memory left beside it, which proves the others.

    :param measured: measurements of all hosts.
    :param host: name of the host; its instances need not say it.
    """
    proofs = [one["proof"] for one in measured if one.get("proof")]
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for instance in instances:
        combined, now = combination(instance, packages), room(instance)
        if not registry.of(instance).loads:
            continue
        if any(proves(proof, instance, combined, host) for proof in proofs):
            continue
        best = found.setdefault((combined, now["total"]), dict(instance))
        if (now["headroom"], -now["kv_cache"]) < (room(best)["headroom"], -room(best)["kv_cache"]):
            found[combined, now["total"]] = dict(instance)
    return list(found.values())


def shortage(instance: Mapping[str, Any], lacking: int) -> int:
    """Return the bytes to take from the KV cache of an instance that ran out of memory.

    :param lacking: what the engine said that it lacked; 0 where it did not say.
    """
    memory = instance.get("memory") or {}
    if instance.get("device") != "cuda":
        return math.ceil(room(instance)["kv_cache"] / 2)
    step = max(int(memory.get("margin") or 0), int(memory.get("total") or 0) // 50, LEAST_STEP)
    # What was lacking then is needed, and a step beyond it, as the next allocation would have failed after it.
    return lacking + step


def smaller(instance: Mapping[str, Any], model: Mapping[str, Any], short: int) -> dict[str, Any] | None:
    """Return an instance with a smaller KV cache, or null if what was asked for does not fit into it.

    :param model: its resolved model with facts.
    :param short: bytes to take from the cache.
    """
    less = _on_processors if instance.get("device") != "cuda" else _on_gpus
    return less(dict(instance), dict(model), short)


def _on_processors(instance: dict[str, Any], model: dict[str, Any], short: int) -> dict[str, Any] | None:
    space = int((instance.get("cpu") or {}).get("kv_cache_space_gib") or 0)
    left = (space * GIB - short) // GIB
    if left < 1 or model["env"].get(registry.of(model).cpu_cache_variable):
        return None
    found = cpu.predicted(model, left * GIB)
    memory = {**(instance.get("memory") or {}), "kv_cache": left * GIB}
    return {**instance, "cpu": {**instance["cpu"], "kv_cache_space_gib": left}, "memory": memory, **found}


def _on_gpus(instance: dict[str, Any], model: dict[str, Any], short: int) -> dict[str, Any] | None:
    engine, args = registry.of(model), model["args"]
    if instance_memory.pinned(model, "kv-cache-memory-bytes") or instance_memory.pinned_share(model):
        return None
    memory = instance["memory"]
    try:
        layout = engine.layout(
            model["facts"],
            tensor_parallel_size=instance["tensor_parallel_size"],
            pipeline_parallel_size=instance["pipeline_parallel_size"],
            dtype=instance["dtype"],
            kv_cache_dtype=instance["kv_cache_dtype"],
            block_size=instance_memory.pinned(model, "block-size"),
            max_num_batched_tokens=instance["max_num_batched_tokens"],
            compute_capability=instance.get("compute_capability") or "9.0",
            args=args,
        )
    except LayoutError:
        return None
    block = int(memory["kv_cache"]) // max(1, int(instance["kv_cache_blocks"] or 0))
    kv = max(0, int(memory["kv_cache"]) - short) // max(1, block) * block
    (least, most), times = instance_memory.asked_context(model), instance_memory.asked_concurrency(model)
    if kv < (layout.blocks_for(least) * times + 1) * block:
        return None
    length = int(instance["max_model_len"])
    if least != most and times == 1:
        length = min(length, layout.longest(kv, most))
    while length > least and (layout.blocks_for(length) * times + 1) * block > kv:
        length = max(least, length - layout.block_size)
    capacity = layout.capacity(kv, length)
    taken = int(memory["kv_cache"]) - kv
    sequences = int(instance["max_num_seqs"])
    share = float(instance["gpu_memory_utilization"]) - taken / int(memory["total"])
    return {
        **instance,
        **capacity,
        "kv_cache_memory_bytes": kv,
        "max_model_len": length,
        "max_num_seqs": min(sequences, int(capacity["kv_cache_blocks"])) if layout.limits_sequences else sequences,
        "gpu_memory_utilization": math.ceil(share * 10000) / 10000,
        "memory": {
            **memory,
            "kv_cache": kv,
            "margin": int(memory.get("margin") or 0) + taken,
            "headroom": int(memory["headroom"]) + taken,
        },
    }


def corrected(
    plan: Mapping[str, Any],
    models: Iterable[Mapping[str, Any]],
    ran_out: Iterable[Mapping[str, Any]],
    packages: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the plan with smaller KV caches of the instances that ran out of memory, and of all equal ones.

    :param ran_out: proofs of this run with outcome `RAN_OUT`; what cannot be smaller stays as it is.
    """
    by_name = {str(model["name"]): model for model in models}
    short = {str(one["combination"]): int(one["short"]) for one in ran_out}
    instances = []
    for one in plan["instances"]:
        less = short.get(combination(one, packages))
        found = smaller(one, by_name[str(one["model"])], less) if less and str(one["model"]) in by_name else None
        instances.append(one if found is None else {**found, "reasons": [*(one.get("reasons") or []), _why(less)]})
    return {**plan, "instances": instances}


def _why(short: int | None) -> str:
    return f"its first start ran out of memory: {(short or 0) / GIB:.1f} GiB less of KV cache than planned at first"


def twice(host: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Return what is said of an instance that ran out of memory again with a smaller KV cache."""
    tries = "; ".join(
        f"with {one['kv_cache'] / GIB:.1f} GiB of KV cache at {one['at'] or 'its start'}"
        + (f", {one['lacked'] / GIB:.1f} GiB were lacking" if one.get("lacked") else "")
        for one in (first, second)
    )
    remedy = "set a smaller context, max-num-seqs or max-num-batched-tokens in its args, or give it more memory"
    text = f"instance {second['instance']} ran out of memory twice under the load that it is planned for"
    return f"{host}: {text} ({tries}): {remedy}"
