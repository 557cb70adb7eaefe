# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints how many lines of the gate's log are behind a place: usage_behind.py SETTINGS FILE OFFSET.

FILE is a digest as usage_spool.py has it. Where that file is gone, all lines count, because all would be booked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import usage_spool
from usage_spool import Position

PIECE_BYTES = 4 << 20


def behind(path: str, position: Position) -> int:
    """Return how many lines are behind a place."""
    lines = 0
    while True:
        piece = usage_spool.read(path, position, PIECE_BYTES)
        if piece.position == position:
            return lines
        lines, position = lines + len(piece.lines), piece.position


def main() -> None:
    """Run the program."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(behind(settings["spool"], Position(sys.argv[2], int(sys.argv[3]))))


if __name__ == "__main__":
    main()
