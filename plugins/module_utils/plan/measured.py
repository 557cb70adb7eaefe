# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measured memory of engines compared with the plan, and its use in the next plan.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry

GIB = 1024**3
# Fields that identify a measurement.
KEY = (
    "source",
    "revision",
    "product_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "dtype",
    "quantization",
    "max_num_batched_tokens",
    "max_num_seqs",
)
PARTS = ("weights", "activation", "cuda_graphs", "other")


def key(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Return the key by which two measurements are of the same thing."""
    return tuple(entry.get(name) for name in KEY)


def merge(
    instances: list[dict[str, Any]],
    logs: dict[str, str],
    earlier: list[dict[str, Any]],
    packages: dict[str, Any],
    proofs: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the measurements of a host's instances: those in their logs now, else the earlier ones.

    :param logs: text of the log by name of the instance.
    :param packages: by engine, the package that measured: its ``digest`` names environment or image.
    :param proofs: what the module ``prove_engines`` found of instances in this run; those of earlier ones stay.
    """
    proven = {str(proof["instance"]): proof for proof in proofs or []}
    # Earlier versions did not note the quantisation.
    quantised = {one["name"]: {"quantization": one.get("quantization")} for one in instances}
    noted = [{**quantised.get(str(entry.get("instance")), {}), **entry} for entry in earlier]
    known = {(entry.get("instance"), key(entry)): entry for entry in noted}
    result = []
    for one in instances:
        entry = {"instance": one["name"], **{name: one.get(name) for name in KEY}}
        measured = registry.of(one).parse_log(logs.get(one["name"], ""))
        before = known.get((one["name"], key(entry)), {})
        proof = proven.get(one["name"]) or before.get("proof")
        if not measured and not before and not proof:
            continue
        memory = one.get("memory") or {}
        package = str((packages.get(registry.of(one).name) or {}).get("digest") or "")
        planned = {part: memory[part] for part in PARTS if memory.get(part) is not None}
        if one.get("kv_cache_tokens"):
            planned["kv_cache_tokens"] = one["kv_cache_tokens"]
        old = before.get("measured") or {}
        values = {**old, **measured}
        said = {**entry, "package": package, "planned": planned, "measured": values, **_overheads(values)}
        result.append({**said, "proof": proof} if proof else said)
    return result


def _overheads(values: dict[str, Any]) -> dict[str, Any]:
    return {part: values[part] for part in PARTS if part in values}


def table(measured: list[dict[str, Any]]) -> list[list[str]]:
    """Return rows of planned against measured; sizes in GiB, the KV cache in tokens."""
    rows = [["INSTANCE", "WHAT", "PLANNED", "MEASURED"]]
    for entry in measured:
        for part, value in (entry.get("measured") or {}).items():
            planned = (entry.get("planned") or {}).get(part)
            texts = [_shown(part, planned), _shown(part, value)]
            if planned is not None:
                rows.append([str(entry.get("instance")), part, *texts])
    return rows


def _shown(part: str, value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if part in ("kv_cache_tokens", "max_model_len") else f"{value / GIB:.2f}"
