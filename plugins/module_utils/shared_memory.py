# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes of shared memory (``/dev/shm``) for vLLM: the minimum, the sufficient size, and that of a container."""

from __future__ import annotations

# MiB of shared memory through which an engine's processes communicate: vLLM's ring of ten chunks of 16 MiB (0.32).
ENGINE_SHARED_MIB = 160
# MiB that are sufficient for several GPUs: NCCL's buffers for GPUs that do not reach each other, and vLLM's ring.
GROUP_SHARED_MIB = 1024
# Sizes of a container's own, as Docker and Podman take them: limits, which take memory only as it is used. vLLM's
# documentation of its image asks for --ipc=host or --shm-size, for tensor parallel inference.
GPU_CONTAINER, CPU_CONTAINER = "16g", "1g"


def container_size(gpus: bool) -> str:
    """Return the size that an engine's container gets.

    :param gpus: whether the engine runs on GPUs.
    """
    return GPU_CONTAINER if gpus else CPU_CONTAINER
