# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark as a table and as JSON. Pure functions."""

from __future__ import annotations

import json
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table

COLUMNS = ("POINT", "PER SECOND", "AT ONCE", "SENT", "FAILED", "TOKENS/S", "TTFT P50/P99", "ITL P50/P99", "E2E P50/P99")
FIGURES = {"tokens_per_second": "tokens per second", "ttft_ms": "TTFT p99", "itl_ms": "ITL p99", "e2e_ms": "E2E p99"}
FIRST = "There is no earlier benchmark of this model, way and lengths to compare with."


def number(value: float | None) -> str:
    """Return a number with three digits that count, and a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row of the table; times are milliseconds."""
    times = ((row[name]["50"], row[name]["99"]) for name in ("ttft_ms", "itl_ms", "e2e_ms"))
    return [
        row["name"],
        number(row["rate"]),
        number(row["at_once"]),
        str(row["sent"]),
        str(row["failed"]),
        number(row["tokens_per_second"]),
        *(" / ".join(map(number, pair)) if row["answered"] else "-" for pair in times),
    ]


def findings(done: Mapping[str, Any]) -> list[str]:
    """Return in sentences what was found: saturation, the plan's promise, failures, and the comparison."""
    return [*_saturation(done), *_promise(done["promise"]), *_failures(done), *comparison(done["comparison"])]


def _saturation(done: Mapping[str, Any]) -> list[str]:
    found = done["saturation"]
    lines = []
    if found["lost"] is not None:
        carried = "none that was tried" if found["carried"] is None else f"{number(found['carried'])} per second"
        lines.append(
            f"Saturated: at {number(found['lost'])} requests per second answers come more slowly than requests; the "
            f"highest rate that was carried is {carried}."
        )
    elif found["carried"] is not None:
        lines.append(f"Not saturated: {number(found['carried'])} requests per second were carried.")
    most = next((row for row in done["points"] if row["name"] == found["most"]), None)
    if most:
        lines.append(f"Most tokens per second of all answers: {number(most['tokens_per_second'])} ({most['name']}).")
    return lines


def _promise(found: Mapping[str, Any]) -> list[str]:
    promised = f"{found['at_once']} requests of {found['context']} tokens at once"
    if found["kept"] is None:
        return [f"The plan's promise was not measured: {promised}."]
    if found["kept"]:
        return [f"The plan's promise was kept: {promised}, all answered."]
    return [f"The plan's promise was NOT kept: of {promised}, some failed."]


def _failures(done: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['name']}: {one['requests'] or 'all'} requests failed: {one['error']}"
        for row in done["points"]
        for one in row["errors"]
    ]


def comparison(found: Mapping[str, Any]) -> list[str]:
    """Return in sentences how it compares with the last benchmark."""
    if found["with"] is None:
        return [FIRST]
    if found["different"]:
        why = "; ".join(found["different"])
        return [f"Not compared with that of {found['with']}, which is of another plan: {why}."]
    lines = [f"Compared with that of {found['with']}, of the same plan (1 is equal):"]
    for name, ratios in found["ratios"].items():
        parts = (f"{FIGURES[key]} {number(value)}" for key, value in ratios.items())
        lines.append(f"  {name}: {', '.join(parts)}")
    return lines


def subject(done: Mapping[str, Any]) -> str:
    """Return what was measured, in a sentence."""
    lengths = f"{done['input_len']} tokens in, {done['output_len']} out"
    return (
        f"{done['model']} through {done['through']}, {done['replicas']} instance(s), {lengths}, release "
        f"{done['identity']['release']}, plan {done['identity']['digest']}, {done['when']}"
    )


def text(done: Mapping[str, Any], form: str) -> str:
    """Return the report.

    :param form: `table` or `json`.
    """
    if form == "json":
        return json.dumps(done, indent=2, ensure_ascii=False)
    lines = [subject(done), "", table([COLUMNS, *(cells(row) for row in done["points"])])]
    return "\n".join([*lines, "times in milliseconds", "", *findings(done)])
