# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark beside the last one of the same plan; of another plan, the reason why the two are not compared."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import identity

# What is compared of each point, and which percentile of times.
FIGURES = (("tokens_per_second", ""), ("ttft_ms", "99"), ("itl_ms", "99"), ("e2e_ms", "99"))


def compare(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `with`, the time of the last benchmark of the same model, way and lengths (null for none), and either what
    is `different` about the plan, or, by the name of a point, ratios of this benchmark's figures to that one's.
    """
    if not before:
        return {"with": None, "different": [], "ratios": {}}
    different = identity.differences(before["identity"], now["identity"])
    ratios = {}
    if not different:
        earlier = {row["name"]: row for row in before["points"]}
        pairs = [(row, earlier[row["name"]]) for row in now["points"] if row["name"] in earlier]
        ratios = {new["name"]: _ratios(new, old) for new, old in pairs if new["answered"] and old["answered"]}
    return {"with": before["when"], "different": different, "ratios": ratios}


def _ratios(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, float | None]:
    found = {}
    for name, part in FIGURES:
        values = [float(row[name][part] if part else row[name]) for row in (new, old)]
        found[name] = round(values[0] / values[1], 3) if values[1] else None
    return found
