# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole numbers in the forms in which users write them."""

from __future__ import annotations

from typing import Any

# More digits than any number of the collection has.
LONGEST = 18


def whole(value: Any) -> int | None:
    """Return a whole number above 0 that is written as a number or as its digits; null for anything else."""
    digits = str(value)
    # Digits of other scripts are none for the programs that get the value.
    written = digits.isascii() and digits.isdigit() and len(digits) <= LONGEST
    return int(digits) if written and int(digits) > 0 and not isinstance(value, bool) else None
