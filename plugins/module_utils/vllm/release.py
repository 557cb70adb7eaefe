# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release of vLLM that is planned for, and what later ones do in another way."""

from __future__ import annotations

from typing import Tuple

Release = Tuple[int, int]

# The release in roles/vllm/files/vllm-cuda.in and vllm-cpu.in.
PINNED: Release = (0, 32)
# From this release on the gated delta rule exports a state inside a prefill (`ChunkGatedDeltaRule`).
GATED_DELTA_CHECKPOINTS: Release = (0, 33)
