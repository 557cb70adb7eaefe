# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The expressions of all dashboards, and which of them a fleet like the demo cannot answer."""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.definition import DASHBOARDS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import VARIABLE

# Metrics that this fleet does not have, and why. tests/prometheus/test_dashboards.py computes their panels.
CARDS = "there is no card"
ABSENT = {
    "llmfleet_gate_budget_amount": "no key, team or model has a budget",
    "llmfleet_gate_budget_spent": "no key, team or model has a budget",
    "llmfleet_gate_limit_store_up": "one gate counts alone",
    "llmfleet_gate_usage_unbooked_bytes": "no database books usage",
    "llmfleet_held_host": "no host was held",
    "vllm:spec_decode_num_accepted_tokens_total": "no model guesses tokens",
    "vllm:spec_decode_num_draft_tokens_total": "no model guesses tokens",
    "DCGM_FI_DEV_FB_FREE": CARDS,
    "DCGM_FI_DEV_FB_USED": CARDS,
    "DCGM_FI_DEV_GPU_TEMP": CARDS,
    "DCGM_FI_DEV_GPU_UTIL": CARDS,
    "DCGM_FI_DEV_MEMORY_TEMP": CARDS,
    "DCGM_FI_DEV_MEM_COPY_UTIL": CARDS,
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": CARDS,
    "DCGM_FI_DEV_POWER_USAGE": CARDS,
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": CARDS,
    "DCGM_FI_DEV_SM_CLOCK": CARDS,
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": CARDS,
    "DCGM_FI_DEV_XID_ERRORS": CARDS,
}


def expressions() -> list[str]:
    """Return every expression once, with all models, hosts and keys."""
    found = [query.expr for one in DASHBOARDS for panel in one.panels for query in panel.queries]
    return list(dict.fromkeys(VARIABLE.sub(".*", expr) for expr in found))


def absent(expr: str) -> list[str]:
    """Return the metrics of an expression that this fleet does not have."""
    return [metric for metric in ABSENT if metric in expr]
