# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell by the GPUs themselves whether the NVLink fabric of a machine with NVSwitches is whole.

The fabric manager's unit runs also where it failed to make a fabric; CUDA then fails with error 802. What counts is
that each GPU was registered: state Completed, status Success. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

COMPLETED, SUCCESS = "completed", "success"


def fabric_problem(gpu_facts: Mapping[str, Any]) -> str:
    """Say what keeps the fabric from being whole, by facts of the module gpu_facts; empty where nothing does."""
    if gpu_facts.get("error"):
        return str(gpu_facts["error"])
    if not gpu_facts.get("gpus"):
        return "nvidia-smi shows no GPU."
    found = []
    for gpu in gpu_facts["gpus"]:
        fabric = gpu["fabric"] or {}
        state, status = fabric.get("state"), fabric.get("status")
        if state is None and gpu["mig_mode_current"] == "Enabled":
            continue  # A card cut into MIG devices takes no part in the fabric.
        if (state or "").lower() != COMPLETED or (status or "").lower() != SUCCESS:
            found.append(f"GPU {gpu['index']} says state {state or 'nothing'}, status {status or 'nothing'}")
    return "; ".join(found) + "." if found else ""
