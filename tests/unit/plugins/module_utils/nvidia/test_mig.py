# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MIG layouts: what differs, what nvidia-smi is told, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import mig as nvidia_mig


def gpu(number: int = 0, name: str = "NVIDIA A100-SXM4-80GB", **more: Any) -> dict[str, Any]:
    return {
        "index": number,
        "uuid": f"GPU-{number}",
        "pci_bus_id": f"0000:{0x53 + number:02x}:00.0",
        "product_name": name,
        "mig_mode_current": "Disabled",
        "mig_devices": [],
        "processes": [],
        **more,
    }


def cut(*profiles: str, **more: Any) -> dict[str, Any]:
    return gpu(mig_mode_current="Enabled", mig_devices=[{"profile": profile} for profile in profiles], **more)


def plan(wanted: list[dict[str, Any]], *gpus: dict[str, Any]) -> nvidia_mig.Layout:
    return nvidia_mig.plan(wanted, gpus, "gpu1")


def entry(card: Any = 0, *profiles: str) -> dict[str, Any]:
    return {"card": card, "profiles": list(profiles)}


def only(wanted: list[dict[str, Any]], *gpus: dict[str, Any]) -> nvidia_mig.Change:
    found = plan(wanted, *gpus)
    assert found.problems == []
    (change,) = found.changes
    return change


def test_a_whole_card_is_cut() -> None:
    change = only([entry(0, "1g.10gb", "3g.40gb", "1g.10gb")], gpu())
    assert change.commands == [
        ["-i", "GPU-0", "-mig", "1"],
        ["mig", "-i", "GPU-0", "-dci"],
        ["mig", "-i", "GPU-0", "-dgi"],
        ["mig", "-i", "GPU-0", "-cgi", "3g.40gb,1g.10gb,1g.10gb", "-C"],
    ]
    assert change.enable
    assert (change.before, change.after) == ([], ["1g.10gb", "1g.10gb", "3g.40gb"])
    assert "GPU 0 (NVIDIA A100-SXM4-80GB, GPU-0)" in change.name


@pytest.mark.parametrize(
    ("there", "profiles"),
    [
        (cut("3g.40gb", "1g.10gb"), ["1g.10gb", "3g.40gb"]),
        (cut("1g.10gb"), ["1g.10gb+me"]),
        (cut("1g.10gb+me", "2g.20gb"), ["2g.20gb", "1g.10gb"]),
        (gpu(), []),
        (gpu(mig_mode_current=None), []),
    ],
)
def test_what_is_as_it_should_be_is_left_alone(there: dict[str, Any], profiles: list[str]) -> None:
    assert plan([entry(0, *profiles)], there) == ([], [])
    assert plan([entry(0, *profiles)], {**there, "processes": [{"pid": 7, "name": "vllm"}]}) == ([], [])


@pytest.mark.parametrize(
    ("there", "profiles", "last"),
    [
        (cut("3g.40gb"), ["3g.40gb", "3g.40gb"], ["mig", "-i", "GPU-0", "-cgi", "3g.40gb,3g.40gb", "-C"]),
        (cut("1c.3g.40gb", "1c.3g.40gb"), ["3g.40gb"], ["mig", "-i", "GPU-0", "-cgi", "3g.40gb", "-C"]),
        (cut("odd"), ["7g.80gb"], ["mig", "-i", "GPU-0", "-cgi", "7g.80gb", "-C"]),
        (cut(), ["7g.80gb"], ["mig", "-i", "GPU-0", "-cgi", "7g.80gb", "-C"]),
        (cut("3g.40gb"), [], ["-i", "GPU-0", "-mig", "0"]),
        (cut(), [], ["-i", "GPU-0", "-mig", "0"]),
    ],
)
def test_another_layout(there: dict[str, Any], profiles: list[str], last: list[str]) -> None:
    change = only([entry(0, *profiles)], there)
    assert change.commands == [["mig", "-i", "GPU-0", "-dci"], ["mig", "-i", "GPU-0", "-dgi"], last]
    assert not change.enable


@pytest.mark.parametrize("card", [1, "1", "GPU-1", "gpu-1", "0000:54:00.0", "*H100*", "nvidia h100 nvl"])
def test_ways_to_name_a_card(card: Any) -> None:
    change = only([entry(card, "7g.94gb")], gpu(), gpu(1, "NVIDIA H100 NVL"))
    assert change.uuid == "GPU-1"


def test_a_pattern_may_mean_many_cards() -> None:
    found = plan([entry("*A100*", "7g.80gb")], gpu(), gpu(1), gpu(2, "NVIDIA H100 NVL"))
    assert [change.uuid for change in found.changes] == ["GPU-0", "GPU-1"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([entry(4)], "nvidia_driver_mig[0].card is 4: it matches no GPU of this host"),
        ([entry("*T4*")], "(there are: 0 NVIDIA A100-SXM4-80GB)"),
        ([entry(0, "3g.40gb"), entry("*A100*")], "nvidia_driver_mig[1].card"),
        ([entry(0, "MIG 3g.40gb")], "it is not a profile of a GPU instance"),
        ([entry(0, "1c.3g.40gb")], "it is not a profile of a GPU instance"),
    ],
)
def test_layouts_that_are_none(wanted: list[dict[str, Any]], words: str) -> None:
    problem = plan(wanted, gpu()).problems[0].sentence()
    assert problem.startswith("gpu1: ")
    assert words in problem


def test_no_gpu_at_all() -> None:
    assert "there are: none" in plan([entry()]).problems[0].sentence()


def test_a_card_without_mig() -> None:
    (problem,) = plan([entry(0, "1g.10gb")], gpu(name="Tesla T4", mig_mode_current=None)).problems
    assert "GPU 0 (Tesla T4, GPU-0) has no MIG; leave it out of the layout" in problem.sentence()


def test_a_card_in_use_is_refused() -> None:
    users = [{"pid": 42, "name": "python3"}, {"pid": 43, "name": None}]
    found = plan([entry(0, "7g.80gb")], cut("3g.40gb", processes=users))
    assert found.changes == []
    (problem,) = found.problems
    assert "is in use by 42 python3, 43 of somebody else, and changing its layout would kill them" in problem.problem
