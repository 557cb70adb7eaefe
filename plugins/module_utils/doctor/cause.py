# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cause that the doctor knows by words of a program, and the remedies that several causes share."""

from __future__ import annotations

from typing import NamedTuple

TOOLKIT = "have the roles nvidia_container_toolkit and container_engine set this host up (playbooks/machines.yml)"
REFRESH_CDI = (
    "restart nvidia-cdi-refresh.service (or run nvidia-ctk cdi generate), and remove a stale /etc/cdi/nvidia.yaml"
)
RECREATE = "recreate the container, with CDI (nvidia_container_toolkit_mode: cdi)"
RESET = "reset the GPU (nvidia-smi --gpu-reset -i UUID) or reboot, and read dmesg for its Xid"


class Cause(NamedTuple):
    """What some output of a program means, and the remedy."""

    words: str
    """Regular expression of the words, in lower case, with single spaces."""
    cause: str
    """Says no more than the words prove: where they have several causes, all are named."""
    remedy: str
