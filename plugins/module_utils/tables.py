# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables in plain text."""

from __future__ import annotations

from typing import Iterable


def table(rows: Iterable[Iterable[object]], header: Iterable[str] | None = None) -> str:
    """Return rows as columns as wide as their widest cell, two spaces between them, without trailing spaces.

    :param header: names of the columns, underlined; without it the first row is the heading and nothing is underlined.
    """
    lines = [[str(cell) for cell in row] for row in ([header, *rows] if header is not None else rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    if header is not None:
        text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)
