# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pass questions on to the dry start that a test keeps running, and its answers back: it takes the program's place.

asking.py < QUESTIONS    the socket is the file `socket` beside this program
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def main() -> None:
    """Run the program."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(Path(__file__).with_name("socket")))
        with line.makefile("rw") as answers:
            for question in sys.stdin:
                answers.write(question)
                answers.flush()
                sys.stdout.write(answers.readline())


if __name__ == "__main__":
    main()
