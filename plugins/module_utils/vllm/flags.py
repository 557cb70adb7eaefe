# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read single flags of vLLM from a model's args, as its command line reads them."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole

# Whole numbers as vLLM's command line takes them: 16k is 16,000, 16K is 16,384; a fraction goes with the former alone.
READABLE = re.compile(r"(\d+(?:\.\d+)?)([kmgt])|(\d+)([KMGT])")


def pinned(args: Mapping[str, Any], flag: str) -> int | None:
    """Return the whole number above 0 that args pin a flag to; null for none, and for what is no number."""
    value = args.get(flag)
    match = READABLE.fullmatch(str(value))
    if not match:
        return whole(value)
    decimal, small, binary, large = match.groups()
    if small:
        return int(Fraction(decimal) * 1000 ** ("kmgt".index(small) + 1)) or None
    return int(binary) * 1024 ** ("KMGT".index(large) + 1) or None


def number(args: Mapping[str, Any], flag: str) -> float:
    """Return the number, at least 0, that args set a flag to; 0 for none, and for what is no number."""
    try:
        value = float(args.get(flag) or 0)
    except (TypeError, ValueError):
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def switched(args: Mapping[str, Any], flag: str, default: bool = False) -> bool:
    """Return whether a switch is on; ``no-`` before its name turns it off, null leaves it at its default."""
    if args.get(f"no-{flag}") not in (None, False, "false", "False"):
        return False
    value = args.get(flag)
    if value is None:
        return default
    return str(value).lower() not in ("false", "0", "no")


def structure(args: Mapping[str, Any], flag: str) -> dict[str, Any]:
    """Return the object that args set a flag to, by itself or as JSON; empty for none."""
    value = args.get(flag)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, dict) else {}


def text_only(args: Mapping[str, Any]) -> bool:
    """Return whether a multimodal model serves text alone: its encoders are then not loaded."""
    limits = structure(args, "limit-mm-per-prompt")
    counts = [limit.get("count") if isinstance(limit, dict) else limit for limit in limits.values()]
    return switched(args, "language-model-only") or (bool(counts) and all(count == 0 for count in counts))
