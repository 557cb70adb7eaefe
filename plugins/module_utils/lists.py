# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists that a user gives on the command line, where they are easier to write as one text."""

from __future__ import annotations

from typing import Any


def names(given: Any) -> list[str]:
    """Return names that are given as a list, or joined by commas; spaces around them and empty ones are dropped.

    :param given: a list, a text, a single number, or nothing.
    """
    if given is None:
        return []
    found = given if isinstance(given, (list, tuple, set)) else str(given).split(",")
    return [name for name in (str(one).strip() for one in found) if name]
