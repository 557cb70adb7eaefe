# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark has found: a row for each point, where the engine is saturated, whether the plan's promise holds,
and what is remembered as the speed of an instance. Pure functions.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import identity, points

PERCENTILES = (50, 90, 95, 99)
# Milliseconds, by the name of a report and that of vLLM: to the first token, between tokens, for the whole answer.
TIMES = {"ttft_ms": "ttft", "itl_ms": "itl", "tpot_ms": "tpot", "e2e_ms": "e2el"}
CARRIED_SHARE = 0.85
MILLISECONDS = 1000.0
# What finds the speed of an instance again.
OF_SPEED = (
    "engine",
    "source",
    "revision",
    "device",
    "product_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
)


def rows(told: list[Mapping[str, Any]], input_len: int) -> list[dict[str, Any]]:
    """Return a row for each point: requests sent and failed, rates, tokens per second, times, and whether the engine
    carried the rate.

    :param told: what the program told of each point, `name` with `result` or `error`.
    :param input_len: tokens of a prompt, unless the point has its own.
    """
    found = [_row(one, input_len) for one in told]
    alone = [row["e2e_ms"]["50"] for row in found if row["answered"]]
    shortest = min(alone, default=0.0) / MILLISECONDS
    for row in found:
        row["carried"] = _carried(row, shortest)
    return found


def _row(one: Mapping[str, Any], input_len: int) -> dict[str, Any]:
    said = one.get("result") or {}
    sent, answered = int(said.get("requests") or 0), int(said.get("completed") or 0)
    times = {
        name: {str(part): round(float(said.get(f"p{part}_{theirs}_ms") or 0.0), 2) for part in PERCENTILES}
        for name, theirs in TIMES.items()
    }
    return {
        "name": one["name"],
        "rate": one.get("rate"),
        "at_once": one.get("at_once"),
        "input_len": one.get("input_len") or input_len,
        "sent": sent,
        "answered": answered,
        "failed": sent - answered,
        "seconds": round(float(said.get("duration") or 0.0), 3),
        "requests_per_second": round(float(said.get("request_throughput") or 0.0), 4),
        "tokens_per_second": round(float(said.get("output_throughput") or 0.0), 2),
        "all_tokens_per_second": round(float(said.get("total_token_throughput") or 0.0), 2),
        "prompt_tokens": int(said.get("total_input_tokens") or 0),
        "answer_tokens": int(said.get("total_output_tokens") or 0),
        **times,
        "errors": [*(said.get("errors") or []), *([{"error": one["error"], "requests": 0}] if "error" in one else [])],
    }


def _carried(row: Mapping[str, Any], shortest: float) -> bool | None:
    """Return whether answers came at the rate of the requests; null for a point without a rate.

    The last answer comes later than the last request, by the time of an answer that waits for nothing, so that is taken
    off. An engine that gets f times what it can carry takes f times as long.

    :param shortest: seconds of an answer that waits for nothing.
    """
    if row["rate"] is None:
        return None
    sending = row["seconds"] - shortest
    return bool(row["answered"]) and (sending <= 0 or row["answered"] / sending >= CARRIED_SHARE * row["rate"])


def saturation(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the highest rate that was `carried` with no higher one before it that was not, the lowest `lost`, and the
    point with the `most` tokens per second.
    """
    rated = sorted((row for row in found if row["rate"] is not None), key=lambda row: float(row["rate"]))
    lost = next((row["rate"] for row in rated if not row["carried"]), None)
    carried = [row["rate"] for row in rated if row["carried"] and (lost is None or row["rate"] < lost)]
    full = [row for row in found if row["answered"] and row["name"] != points.CONTEXT]
    most = max(full, key=lambda row: float(row["tokens_per_second"]), default=None)
    return {"carried": carried[-1] if carried else None, "lost": lost, "most": most["name"] if most else None}


def promise(found: list[dict[str, Any]], context: int, promised: int) -> dict[str, Any]:
    """Return what the plan promises and whether it was `kept`: so many requests of full context at once, all answered;
    null if as many were not sent.
    """
    row = next((one for one in found if one["name"] == points.CONTEXT), None)
    sent = row is not None and row["at_once"] is not None and row["at_once"] >= promised
    kept = bool(row["answered"]) and not row["failed"] if row and sent else None
    return {"context": context, "at_once": promised, "kept": kept}


def run(order: Mapping[str, Any], told: Mapping[str, Any], when: str) -> dict[str, Any]:
    """Return all that is kept of a benchmark.

    :param order: what was sent, as :func:`order.order` returned it.
    :param told: `points`, `release` and `files`, as the module engine_benchmark_info returned them.
    :param when: time in UTC, as 2026-11-28T10:00:00Z.
    """
    own = {point["name"]: point for point in order["points"]}
    found = rows([{**own[one["name"]], **one} for one in told["points"]], order["input_len"])
    work = {name: order[name] for name in identity.OF_WORK}
    return {
        "when": when,
        **work,
        "client": order["client"],
        "context": order["context"],
        "replicas": len(order["instances"]),
        "identity": identity.identity(order["instances"], told["release"], told["files"]),
        "points": found,
        "saturation": saturation(found),
        "planned": order["planned"],
        "promise": promise(found, order["context"], order["planned"]["context"]),
    }


def speed(done: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is remembered of a run: the speed of one instance at full load; null where no load was full, requests
    failed, or replicas are not alike.

    `tokens_per_second` are those of all answers of an instance together, `of_one` those of one answer meanwhile.
    """
    each = done["identity"]["instances"]
    row = next((one for one in done["points"] if one["name"] == points.FULL), None)
    if row is None or row["failed"] or not row["answered"] or row["at_once"] < done["planned"]["full"]:
        return None
    if any(one != each[0] for one in each):
        return None
    replicas = done["replicas"]
    return {
        **{name: each[0][name] for name in OF_SPEED},
        "when": done["when"],
        "release": done["identity"]["release"],
        "digest": done["identity"]["digest"],
        "through": done["through"],
        "input_len": done["input_len"],
        "output_len": done["output_len"],
        "at_once": max(1, row["at_once"] // replicas),
        "tokens_per_second": round(row["tokens_per_second"] / replicas, 2),
        "of_one": round(MILLISECONDS / row["tpot_ms"]["50"], 2) if row["tpot_ms"]["50"] else None,
    }
