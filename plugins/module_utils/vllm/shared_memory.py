# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared memory that vLLM's processes need."""

from __future__ import annotations

# MiB of shared memory through which an engine's processes talk: vLLM's ring of ten chunks of 16 MiB (0.32).
ENGINE_SHARED_MIB = 160
