# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meanings of messages of CUDA, NCCL, torch, Docker, Podman and CDI if an engine cannot use its GPUs.

NCCL's part follows its user guide ("Troubleshooting": GPU Direct, shared memory, networking). Pure functions.
"""

from __future__ import annotations

from typing import NamedTuple

TOOLKIT = "have the roles nvidia_container_toolkit and container_engine set this host up (playbooks/machines.yml)"


class Cause(NamedTuple):
    """Words in the output of a program, in lower case, and their meaning."""

    words: str
    cause: str
    remedy: str


NO_IMAGE = ("no such image", "unable to find image", "image not known")
_IMAGE_IS_MISSING = (
    "the engine's image is not on this host yet",
    "run site.yml, which pulls it; if it cannot, look at registry, mirror and credentials",
)
# These are messages of runc, which numbers its limits (8 is RLIMIT_MEMLOCK), and of crun.
NO_MEMLOCK = ("setting rlimit type 8", "setrlimit `rlimit_memlock`")
_LIMIT_STAYS = (
    "this machine does not let the engine lift the limit of locked memory, as container guests do not",
    "set service_container_memlock: false for this host",
)
# The first entry with matching words is used. The words are those of CUDA, NCCL, torch, Docker, Podman and CDI
# themselves.
CAUSES = (
    Cause("could not select device driver", "the container engine has no NVIDIA runtime configured", TOOLKIT),
    Cause(
        "is not an absolute path",
        "this container engine is too old for CDI, which Docker has from 25 on",
        "install a newer one (container_engine_source: docker), or set nvidia_container_toolkit_mode: legacy",
    ),
    Cause(
        "unresolvable cdi devices",
        "the CDI specification does not have this GPU: it is older than the GPUs or their MIG layout",
        "restart nvidia-cdi-refresh.service (or run nvidia-ctk cdi generate), and remove a stale /etc/cdi/nvidia.yaml",
    ),
    Cause(
        "cdi device injection failed",
        "the CDI specification does not fit the driver that is installed",
        "restart nvidia-cdi-refresh.service (or run nvidia-ctk cdi generate)",
    ),
    Cause(
        "nvidia-container-cli",
        "the container toolkit cannot make the GPUs available",
        "run nvidia-smi on the host first; then " + TOOLKIT,
    ),
    Cause("cannot connect to the docker daemon", "the container engine does not run", "start docker, and read its log"),
    Cause(
        "manifest unknown",
        "the image is not in the registry",
        "correct tag and digest in llm_images, or mirror the image",
    ),
    *(Cause(words, *_IMAGE_IS_MISSING) for words in NO_IMAGE),
    *(Cause(words, *_LIMIT_STAYS) for words in NO_MEMLOCK),
    Cause(
        "driver on your system is too old",
        "the engine's CUDA is newer than the driver can run",
        "install a newer driver branch (nvidia_driver), or an engine that was built for an older CUDA",
    ),
    Cause(
        "unsupported display driver",
        "the driver's library does not fit the loaded kernel module",
        "reboot; in a container see that no other libcuda is in the image's path",
    ),
    Cause(
        "forward compatibility was attempted",
        "the image's CUDA compatibility libraries do not run on this kind of card, or the "
        "driver was updated without a reboot",
        "reboot; else take the compatibility libraries out of LD_LIBRARY_PATH",
    ),
    Cause(
        "system not yet initialized",
        "the NVSwitches are not set up",
        "install nvidia-fabricmanager in exactly the driver's version, restart it, and read its log",
    ),
    Cause(
        "no kernel image is available",
        "this engine was not built for this kind of card",
        "use an engine that was built for its compute capability, or another card",
    ),
    Cause(
        "is not compatible with the current pytorch",
        "this engine was not built for this kind of card",
        "use an engine that was built for its compute capability, or another card",
    ),
    Cause(
        "uncorrectable ecc",
        "memory of the card lost data",
        "reset the GPU or reboot; if it comes back, have the card replaced",
    ),
    Cause(
        "busy or unavailable",
        "another program uses the GPU exclusively, or the GPU is in MIG mode without a device",
        "nvidia-smi -q -d COMPUTE must say Default; create MIG devices, or turn MIG off",
    ),
    Cause("out of memory", "other programs hold the GPU's memory", "find the program with nvidia-smi, and stop it"),
    Cause(
        "libcuda.so",
        "the driver's library is not there",
        "install the driver's compute libraries; in a container: " + TOOLKIT,
    ),
    Cause(
        "no nvidia driver",
        "the engine sees no driver",
        "a container got no GPU: " + TOOLKIT + "; else install the driver",
    ),
    Cause(
        "no cuda-capable device",
        "the engine sees no GPU",
        "its user must be able to open /dev/nvidia*; a container that lost its devices must be recreated",
    ),
    Cause(
        "no cuda gpus are available",
        "the engine sees no GPU",
        "its user must be able to open /dev/nvidia*; a container that lost its devices must be recreated",
    ),
    Cause(
        "unknown error",
        "the module nvidia_uvm is not loaded, or its device file is missing",
        "run modprobe nvidia_uvm, see /dev/nvidia-uvm, and read dmesg",
    ),
    Cause(
        "no module named",
        "the engine's environment is not complete",
        "install the engine (site.yml) first, or correct doctor_engines",
    ),
)
BLOCKED = Cause(
    "",
    "GPUs cannot write into each other's memory over PCIe: ACS of its switches or the IOMMU prevents it",
    "turn ACS and the IOMMU off in the firmware, or iommu=pt on the kernel's command line; until then set "
    "NCCL_P2P_DISABLE to 1 in the env of the models on this host, which costs speed",
)
SHM = Cause(
    "",
    "NCCL's shared memory does not work",
    "enlarge /dev/shm (--shm-size, or --ipc host for a container); until then set "
    "NCCL_SHM_DISABLE to 1 in the env of the models on this host",
)
NETWORK = Cause(
    "",
    "the ranks do not find each other: a firewall blocks lo, or NCCL_SOCKET_IFNAME names another interface",
    "allow traffic of the host to itself over lo, and remove NCCL_SOCKET_IFNAME from the env of its models",
)
GROUP = Cause(
    "",
    "not known; often ACS or IOMMU, the fabric manager, or a defective link",
    "read the log above and dmesg; try NCCL_DEBUG=INFO, nvidia-smi topo -m and nvidia-smi nvlink -s",
)


def explain(said: str, otherwise: Cause) -> Cause:
    """Return the meaning of a program's output."""
    lower = " ".join(said.split()).lower()
    return next((cause for cause in CAUSES if cause.words in lower), otherwise)
