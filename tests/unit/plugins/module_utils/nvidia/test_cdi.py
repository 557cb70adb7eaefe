# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cdi
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, render

LISTING = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aaaa)
  MIG 3g.40gb     Device  0: (UUID: MIG-1111)
  MIG 1g.10gb     Device  1: (UUID: MIG-GPU-aaaa/9/0)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-bbbb)
"""


@pytest.mark.parametrize(
    ("engine", "version", "wanted", "mode", "feature", "said"),
    [
        # Docker 25.0 brought CDI behind a feature flag, 28.2 switched it on (moby/moby#45134, #49963).
        ("docker", "20.10.24+dfsg1", "auto", "legacy", False, ""),  # Debian 12
        ("docker", "24.0.7", "auto", "legacy", False, ""),
        ("docker", "25.0.0", "auto", "cdi", True, ""),
        ("docker", "26.1.5+dfsg1", "auto", "cdi", True, ""),  # Debian 13
        ("docker", "28.1.1", "auto", "cdi", True, ""),
        ("docker", "28.2.0", "auto", "cdi", False, ""),
        ("docker", "28.2.2", "cdi", "cdi", False, ""),
        ("docker", "29.0", "auto", "cdi", False, ""),
        ("docker", "100.1", "auto", "cdi", False, ""),
        ("docker", "24.0.7", "cdi", "cdi", True, "Docker 24.0.7 does not know CDI"),
        ("docker", "29.0", "legacy", "legacy", False, ""),
        ("docker", "", "auto", "cdi", True, ""),  # check mode, before it is installed
        # Podman knows `--device <kind>=<name>` from 4.1.0 on.
        ("podman", "3.4.4", "auto", "cdi", False, "Podman 3.4.4 does not know CDI"),  # Ubuntu 22.04
        ("podman", "4.0.3", "cdi", "cdi", False, "install a newer one."),
        ("podman", "4.1.0", "auto", "cdi", False, ""),
        ("podman", "4.3.1", "auto", "cdi", False, ""),  # Debian 12
        ("podman", "5.4.2", "legacy", "legacy", False, "Podman gives GPUs to containers by CDI alone"),
    ],
)
def test_mode(engine: str, version: str, wanted: str, mode: str, feature: bool, said: str) -> None:
    found = cdi.gpu_mode(engine, version, wanted, "gpu1")
    assert (found["mode"], found["feature"]) == (mode, feature)
    text = render(Problem(**problem) for problem in found["problems"])
    assert said in text
    assert text.startswith(f'gpu1: nvidia_container_toolkit_mode is "{wanted}": ' if said else "")
    assert bool(said) == bool(text)


def test_gpus() -> None:
    assert cdi.uuids(LISTING) == ["GPU-aaaa", "MIG-1111", "MIG-GPU-aaaa/9/0", "GPU-bbbb"]
    assert cdi.requestable(LISTING) == ["MIG-1111", "MIG-GPU-aaaa/9/0", "GPU-bbbb"]
    assert cdi.requestable("No devices found.") == []


def test_devices() -> None:
    text = "INFO[0000] Found 3 CDI devices\nnvidia.com/gpu=0\nnvidia.com/gpu=GPU-aaaa\nother.com/x=1\n"
    assert cdi.devices(text) == ["0", "GPU-aaaa"]


SPECIFICATION = "hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.105.08\n"


@pytest.mark.parametrize(
    ("listed", "text", "driver", "reason"),
    [
        (["GPU-a"], SPECIFICATION, "580.105.08", ""),
        (["GPU-a"], "", "580.105.08", ""),
        (["GPU-a"], SPECIFICATION, "", ""),
        ([], SPECIFICATION, "580.105.08", "it lacks GPU-a"),
        (["GPU-a"], SPECIFICATION, "595.1", "it is of driver 580.105.08, and 595.1 is installed"),
    ],
)
def test_why_to_refresh(listed: list[str], text: str, driver: str, reason: str) -> None:
    assert cdi.refresh_reason(["GPU-a"], listed, text, driver) == reason


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("# NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=/etc/cdi/nvidia.yaml\n", ""),
        ('NVIDIA_CTK_DEBUG=1\nNVIDIA_CTK_CDI_OUTPUT_FILE_PATH="/etc/cdi/nvidia.yaml"\n', "/etc/cdi/nvidia.yaml"),
    ],
)
def test_where_the_unit_writes(text: str, path: str) -> None:
    assert cdi.output_file(text) == path


@pytest.mark.parametrize(
    ("label", "answer", "complaint", "code", "gone"),
    [
        ("GPU-aaaa, GPU-bbbb", LISTING, "", 0, []),
        ("MIG-1111", LISTING, "", 0, []),
        ("GPU-aaaa,GPU-cccc", LISTING, "", 0, ["GPU-cccc"]),
        ("GPU-aaaa", "Failed to initialize NVML: Unknown Error", "", 255, ["GPU-aaaa"]),
        ("all", LISTING, "", 0, []),
        ("all", "Failed to initialize NVML: Unknown Error", "", 255, ["all"]),
        ("GPU-aaaa", "", "exec: nvidia-smi: not found", 127, None),
        ("GPU-aaaa", "", "Error response from daemon: Container x is not running", 1, None),
        ("", "", "", 0, []),
    ],
)
def test_who_lost_a_gpu(label: str, answer: str, complaint: str, code: int, gone: list[str] | None) -> None:
    assert cdi.lost(label, answer, complaint, code) == gone
