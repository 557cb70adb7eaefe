# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host of the bench must have become."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Case:
    """A machine with cards, and what its driver must be."""

    version: str
    flavour: str
    gpus: int
    packages: set[str]
    absent: set[str] = field(default_factory=set)
    fabric: bool = False


DEBIAN = {"nvidia-open", "nvidia-kernel-open-dkms", "nvidia-persistenced"}
UBUNTU = {"nvidia-open", "nvidia-dkms-580-open", "nvidia-persistenced"}
CASES = {
    "gpu-hgx": Case(
        "580.95.05",
        "open",
        8,
        DEBIAN | {"nvidia-driver-pinning-580.95.05", "nvidia-fabricmanager"},
        {"cuda-drivers", "nvidia-kernel-dkms"},
        fabric=True,
    ),
    "gpu-t4": Case(
        "580.105.08",
        "open",
        1,
        UBUNTU | {"nvidia-driver-pinning-580"},
        {"cuda-drivers", "nvidia-dkms-580", "nvidia-fabricmanager"},
    ),
    "gpu-a100": Case(
        "580.105.08",
        "open",
        1,
        DEBIAN | {"nvidia-driver-pinning-580"},
        {"cuda-drivers", "nvidia-fabricmanager"},
    ),
    "gpu-p100": Case(
        "580.105.08",
        "proprietary",
        1,
        {"cuda-drivers", "nvidia-dkms-580", "nvidia-driver-pinning-580"},
        {"nvidia-open", "nvidia-dkms-580-open", "nvidia-fabricmanager", "cuda-keyring"},
    ),
    "gpu-guest": Case(
        "580.95.05",
        "open",
        1,
        {"libcuda1", "libnvidia-ml1", "nvidia-smi", "nvidia-driver-pinning-580.95.05"},
        {"nvidia-open", "cuda-drivers", "nvidia-kernel-open-dkms", "nvidia-kernel-dkms", "nvidia-persistenced"},
    ),
}
ENGINES = ["docker://gpu-hgx", "docker://gpu-t4", "docker://gpu-a100"]
LIBRARIES = ("libcuda", "libnvidia-compute", "libnvidia-ml", "libnvidia-ptxjitcompiler")
MODULES = ("nvidia-open", "cuda-drivers", "nvidia-dkms", "nvidia-kernel")
PROGRAMS = ("nvidia-smi", "nvidia-utils", "nvidia-persistenced", "nvidia-fabricmanager")


def of_driver(installed: dict[str, str]) -> dict[str, str]:
    """Return the packages whose version must be the driver's."""
    return {name: version for name, version in installed.items() if name.startswith(LIBRARIES + MODULES + PROGRAMS)}
