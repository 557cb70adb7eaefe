# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what vLLM, torch and CUDA say of the card of this machine, as JSON; memory in bytes.

It is a program of its own, because it takes memory of the card, and because Ansible changes functions that torch reads.
"""

from __future__ import annotations

import datetime
import json
import os

import pynvml
import torch
import vllm


def main() -> None:
    """Run the program."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    before = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    torch.zeros(1, device="cuda")
    free, total = torch.cuda.mem_get_info()
    print(
        json.dumps(
            {
                "vllm": vllm.__version__,
                "torch": torch.__version__,
                "cuda": torch.version.cuda,
                "cuda_total": total,
                "cuda_free_with_context": free,
                "nvml_used_before": before,
                "nvml_used_with_context": int(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
                "date": f"{datetime.date.today()}",
                "kernel": os.uname().release,
            }
        )
    )


if __name__ == "__main__":
    main()
