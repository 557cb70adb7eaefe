# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check with the state of the GPUs whether the NVLink fabric of a machine with NVSwitches is complete.

The fabric manager's unit runs also where it failed to make a fabric; CUDA then fails with error 802. What counts is
that each GPU was registered. NVML has four states (nvmlGpuFabricState_t: not supported, not started, in progress,
completed), and once it is completed a status, success or the text of an error. Pure functions; no Ansible, no files,
no network.
"""

from __future__ import annotations

from typing import Any, Mapping

# States of a GPU in the fabric.
ABSENT, PENDING, WHOLE, FAILED = "absent", "pending", "whole", "failed"
COMPLETED, SUCCESS = "completed", "success"


def fabric_state(fabric: Mapping[str, Any] | None) -> str:
    """Judge what a GPU says of its fabric: :data:`ABSENT`, :data:`PENDING`, :data:`WHOLE` or :data:`FAILED`.

    A registration that is completed without a word of success is not whole: nvidia-smi prints some errors, such as
    ``Unknown Error``, in the words that it has for values that do not exist.

    :param fabric: ``fabric`` of a GPU in the facts of the module gpu_facts.
    """
    state, status = ((fabric or {}).get(key) for key in ("state", "status"))
    if not state:
        return ABSENT
    if str(state).lower() != COMPLETED:
        return PENDING
    return WHOLE if str(status).lower() == SUCCESS else FAILED


def said(fabric: Mapping[str, Any] | None) -> str:
    """Return state and status in words."""
    state, status = ((fabric or {}).get(key) for key in ("state", "status"))
    return f"state {state or 'nothing'}, status {status or 'nothing'}"


def fabric_problem(gpu_facts: Mapping[str, Any]) -> str:
    """Return the problem of an incomplete fabric from facts of the module gpu_facts; empty if there is none.

    The machine has a fabric: a GPU that says nothing of one is a problem, unless it is cut into MIG devices, which
    take no part in it.
    """
    if gpu_facts.get("error") and not gpu_facts.get("degraded"):
        return str(gpu_facts["error"])
    if not gpu_facts.get("gpus"):
        return "nvidia-smi shows no GPU."
    found = []
    for gpu in gpu_facts["gpus"]:
        if gpu_facts.get("degraded") and gpu.get("health") != "ok":
            continue
        state = fabric_state(gpu["fabric"])
        if state != WHOLE and not (state == ABSENT and gpu["mig_mode_current"] == "Enabled"):
            found.append(f"GPU {gpu['index']} says {said(gpu['fabric'])}")
    return "; ".join(found) + "." if found else ""
