# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the gate's usage log from a place that somebody remembers: usage.jsonl, usage.jsonl.1 (older), ...

A file is known by the digest of its first line, which no other file has: a number would come to mean another file when
the gate begins the next one, and an inode is given to a new file when the old one is gone.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from typing import BinaryIO, Iterator, NamedTuple

# A first line is shorter than this.
MOST_FIRST_BYTES = 1 << 16


class Position(NamedTuple):
    """A place in the log: a file, by the digest of its first line, and how much of it was read."""

    file: str
    offset: int


# Before the oldest line.
BEGINNING = Position("", 0)


class Piece(NamedTuple):
    """Whole lines that follow each other."""

    lines: list[bytes]
    position: Position
    """The place behind them."""
    missed: bool
    """Whether the file of the last place is gone, so that lines may be missing."""


def _numbered(path: str) -> list[str]:
    """Return the names of the files, the newest first."""
    found = {}
    for name in glob.glob(f"{glob.escape(path)}.*"):
        number = name[len(path) + 1 :]
        if number.isdigit():
            found[int(number)] = name
    return [path, *(found[number] for number in sorted(found))]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[list[tuple[str, BinaryIO]]]:
    """Give the files with their digests, the oldest first.

    They are opened from the newest to the oldest, the way in which the gate moves them, so none is passed by: one that
    moves meanwhile is met twice, and counted once.
    """
    with contextlib.ExitStack() as stack:
        found: list[tuple[str, BinaryIO]] = []
        seen = set()
        for name in _numbered(path):
            try:
                file = stack.enter_context(open(name, "rb"))
            except FileNotFoundError:
                continue
            state = os.fstat(file.fileno())
            first, end, _rest = file.read(MOST_FIRST_BYTES).partition(b"\n")
            if end and (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                found.insert(0, (hashlib.sha256(first).hexdigest(), file))
        yield found


def read(path: str, position: Position, most_bytes: int) -> Piece:
    """Return the lines behind a place, as many as are in so many bytes, and at least one if there is one."""
    lines: list[bytes] = []
    with _opened(path) as files:
        digests = [digest for digest, _file in files]
        known = position.file in digests
        missed = bool(position.file and digests) and not known
        start = digests.index(position.file) if known else 0
        offset = position.offset if known else 0
        for digest, file in files[start:]:
            file.seek(offset)
            data = file.read(most_bytes)
            is_ended = len(data) < most_bytes
            whole = data.rfind(b"\n") + 1
            if not whole and not is_ended and not lines:
                # No line of the gate is longer than a piece.
                whole = len(data)
            if whole:
                lines += data[:whole].removesuffix(b"\n").split(b"\n")
                position = Position(digest, offset + whole)
                most_bytes -= whole
            if not is_ended or most_bytes <= 0:
                break
            # What an older file has behind its last line was never completed.
            offset = 0
    return Piece(lines, position, missed)
