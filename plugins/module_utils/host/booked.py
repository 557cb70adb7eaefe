# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of the usage log is not booked yet.

Whoever books it (the role usage) tells the place up to which it has in booked/position.json beside the log:

    {"file": "digest of the first line of a file", "offset": 1234, "time": 1793491200.5}

What is behind that place is counted by others, because a program that has ended could not tell it: the role gate copies
this file to gateways, so it imports nothing of the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

# A first line is shorter than this.
MOST_FIRST_BYTES = 1 << 16


def place(log: str) -> Path:
    """Return the file that tells how far a log is booked."""
    return Path(log).parent / "booked" / "position.json"


def lag(log: str, most_files: int) -> tuple[int, float] | None:
    """Return the bytes of the log that are not booked, and when booking last succeeded; None where nobody books.

    :param log: path of the log.
    :param most_files: number of its files that are looked at, the newest first.
    """
    try:
        told = json.loads(place(log).read_text(encoding="ascii"))
        name, offset, time = str(told["file"]), int(told["offset"]), float(told["time"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    behind = 0
    for number in range(most_files):
        with contextlib.suppress(OSError), open(f"{log}.{number}" if number else log, "rb") as file:
            first, end, _rest = file.read(MOST_FIRST_BYTES).partition(b"\n")
            size = file.seek(0, 2)
            if end and hashlib.sha256(first).hexdigest() == name:
                return behind + max(0, size - offset), time
            behind += size
    return behind, time
