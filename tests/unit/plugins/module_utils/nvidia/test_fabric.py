# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One judgement of the NVLink fabric, for the role that waits for it and for the doctor."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import gpu as doctor_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import fabric
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.gpu import parse_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import read_xml


def gpu(said: dict[str, Any] | None, mig: str | None = None) -> dict[str, Any]:
    return {"index": 0, "fabric": said, "mig_mode_current": mig, "health": "ok", "pci_bus_id": "0000:01:00.0"}


@pytest.mark.parametrize(
    ("state", "status", "judged"),
    [
        ("Completed", "Success", fabric.WHOLE),
        ("completed", "success", fabric.WHOLE),
        ("Completed", "Unknown Error", fabric.FAILED),
        ("Completed", "Timeout", fabric.FAILED),
        ("Completed", "Insufficient Permissions", fabric.FAILED),
        ("Completed", "N/A", fabric.FAILED),
        ("Completed", "", fabric.FAILED),
        ("In Progress", "N/A", fabric.PENDING),
        ("In Progress", "Success", fabric.PENDING),
        ("Not Started", "N/A", fabric.PENDING),
        ("Something New", "Success", fabric.PENDING),
        ("N/A", "N/A", fabric.ABSENT),
        ("Not Supported", "Not Supported", fabric.ABSENT),
        ("GPU is lost", "GPU is lost", fabric.ABSENT),
        ("", "", fabric.ABSENT),
    ],
)
def test_role_and_doctor_judge_alike(state: str, status: str, judged: str) -> None:
    root = read_xml(
        f"<nvidia_smi_log><gpu><fabric><state>{state}</state><status>{status}</status></fabric></gpu></nvidia_smi_log>"
    ).root
    assert root
    said = parse_gpu(root.all("gpu")[0], 0)["fabric"]
    assert fabric.fabric_state(said) == judged
    facts = {"error": None, "gpus": [gpu(said)]}
    found = [one.found for one in doctor_gpu.health(facts, "") if "fabric" in one.found]
    # The role asks machines that have a fabric only, so that one which says nothing of it is a problem there alone.
    assert bool(fabric.fabric_problem(facts)) is (judged != fabric.WHOLE)
    assert bool(found) is (judged in (fabric.PENDING, fabric.FAILED))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"error": None, "gpus": [gpu({"state": "Completed", "status": "Success"})]}, ""),
        ({"error": None, "gpus": [gpu(None, mig="Enabled")]}, ""),
        (
            {"error": None, "gpus": [gpu({"state": "In Progress", "status": None})]},
            "state In Progress, status nothing.",
        ),
        (
            {"error": None, "gpus": [gpu({"state": "Completed", "status": "Failure"})]},
            "GPU 0 says state Completed",
        ),
        ({"error": None, "gpus": [gpu(None)]}, "GPU 0 says state nothing"),
        ({"error": None, "gpus": []}, "nvidia-smi shows no GPU."),
        ({"error": "It hangs.", "gpus": []}, "It hangs."),
        ({}, "nvidia-smi shows no GPU."),
    ],
)
def test_the_fabric(facts: dict[str, Any], words: str) -> None:
    found = fabric.fabric_problem(facts)
    assert words in found
    assert bool(found) is bool(words)


def test_a_lost_gpu_does_not_hold_up_the_fabric_of_the_others() -> None:
    done = {"state": "Completed", "status": "Success"}
    gpus = [
        {"index": 0, "fabric": done, "mig_mode_current": None, "health": "ok"},
        {"index": 1, "fabric": None, "mig_mode_current": None, "health": "lost"},
    ]
    assert fabric.fabric_problem({"error": "GPU 1 is out of service", "degraded": True, "gpus": gpus}) == ""
    assert fabric.fabric_problem({"error": "It hangs.", "degraded": False, "gpus": gpus}) == "It hangs."
