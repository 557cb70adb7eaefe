# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layout of a KV cache with the figures that an engine answered in place of the computed ones.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Layout


class AnsweredLayout:
    """A layout whose blocks are as large, and requests as many of them, as the engine said."""

    def __init__(self, computed: Layout, answer: Mapping[str, Any]) -> None:
        """Correct a computed layout.

        :param answer: with ``bytes_per_block``, and ``blocks`` of a request by its length in tokens.
        """
        self._computed = computed
        self._said = {int(length): int(blocks) for length, blocks in (answer.get("blocks") or {}).items()}
        self.bytes_per_block = int(answer["bytes_per_block"])
        self.block_size = computed.block_size
        self.limits_sequences = computed.limits_sequences
        # Of other lengths it is supposed that they differ by as much as the one that differs most.
        shares = [Fraction(blocks, max(1, computed.blocks_for(length))) for length, blocks in self._said.items()]
        self._share = max(shares, default=Fraction(1))

    def blocks_for(self, length: int) -> int:
        """Return the blocks that one request of this length takes."""
        said = self._said.get(length)
        return -(-self._computed.blocks_for(length) * self._share // 1) if said is None else said

    def num_blocks(self, available: int) -> int:
        """Return the blocks that this much memory holds."""
        return available // self.bytes_per_block

    def fits(self, available: int, length: int) -> bool:
        """Check whether the engine starts with this much memory and this context; one block is never given away."""
        return self.blocks_for(length) < self.num_blocks(available)

    def longest(self, available: int, limit: int) -> int:
        """Return the longest context up to the limit that fits; 0 for none."""
        low, high = 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.fits(available, middle) else (low, middle - 1)
        return low

    def capacity(self, available: int, length: int) -> dict[str, Any]:
        """Return ``kv_cache_blocks``, ``kv_cache_tokens`` and ``max_concurrency``."""
        blocks = self.num_blocks(available)
        at_once = blocks / max(1, self.blocks_for(length))
        return {"kv_cache_blocks": blocks, "kv_cache_tokens": int(at_once * length), "max_concurrency": at_once}


def corrected(computed: Layout, answer: Mapping[str, Any]) -> Layout:
    """Return a layout as an engine answered it: the computed one where both say the same."""
    block, blocks = answer.get("bytes_per_block"), answer.get("blocks") or {}
    alike = block == computed.bytes_per_block
    if not block or (alike and all(computed.blocks_for(int(length)) == many for length, many in blocks.items())):
        return computed
    return AnsweredLayout(computed, answer)
