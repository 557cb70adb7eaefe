# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meanings of messages of CUDA, NCCL, torch, Docker, Podman and CDI if an engine cannot use its GPUs.

Pure functions.
"""

from __future__ import annotations

import re

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import container_causes, cuda_causes
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.cause import Cause

NO_IMAGE = container_causes.NO_IMAGE
SHM, NETWORK = cuda_causes.SHM, cuda_causes.NETWORK
# What these say has several causes, so a closer look may still find one.
VAGUE = cuda_causes.OTHERWISE
# The first entry whose words are found is used: what says its cause comes before what has several.
CAUSES = (
    SHM,
    *cuda_causes.DRIVER,
    *container_causes.CAUSES,
    *cuda_causes.CUDA,
    NETWORK,
    *container_causes.OTHERWISE,
    *VAGUE,
)
BLOCKED = Cause(
    "",
    "GPUs cannot write into each other's memory over PCIe: ACS of its switches or the IOMMU prevents it",
    "turn ACS and the IOMMU off in the firmware, or iommu=pt on the kernel's command line; until then set "
    "NCCL_P2P_DISABLE to 1 in the env of the models on this host, which costs speed",
)
GROUP = Cause(
    "",
    "not known; often ACS or IOMMU, the fabric manager, or a defective link",
    "read the log above and dmesg; try NCCL_DEBUG=INFO, nvidia-smi topo -m and nvidia-smi nvlink -s",
)


def explain(said: str, otherwise: Cause) -> Cause:
    """Return the meaning of a program's output, read line by line."""
    lines = [" ".join(line.split()).lower() for line in said.splitlines()]
    return next((cause for cause in CAUSES if any(re.search(cause.words, line) for line in lines)), otherwise)
