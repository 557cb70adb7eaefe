# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of processor cores as text, e.g. ``0-3,8``."""

from __future__ import annotations


def parse_cores(cores: str) -> list[int]:
    """Return the core numbers of a list such as ``0-3,8``; an empty text is no core."""
    numbers: list[int] = []
    for part in str(cores).split(",") if str(cores) else []:
        ends = part.strip().split("-")
        numbers.extend(range(int(ends[0]), int(ends[-1]) + 1))
    return numbers


def format_cores(numbers: list[int]) -> str:
    """Return core numbers as vLLM's ``VLLM_CPU_OMP_THREADS_BIND`` reads them: ``0-3,8``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
