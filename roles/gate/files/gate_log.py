# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of what was used: one line of JSON a request, in files of a bounded number and size.

A line is written whole before the last bytes of an answer are sent, so a crash loses lines of those requests alone
whose client has no whole answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping

import orjson


class UsageLog:
    """Appends to a file, and begins the next one when it is full: usage.jsonl, usage.jsonl.1 (older), ..."""

    def __init__(self, path: str, most_bytes: int, most_files: int) -> None:
        self.configure(path, most_bytes, most_files)

    def configure(self, path: str, most_bytes: int, most_files: int) -> None:
        """Write to this file from now on."""
        before = getattr(self, "_file", None)
        self._path, self._most_bytes, self._most_files = path, most_bytes, most_files
        self._open()
        if before is not None:
            os.close(before)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        # Whoever books usage is in the gate's group; the mask of a service takes the group's right away.
        os.fchmod(self._file, 0o640)
        self._size = os.fstat(self._file).st_size

    def write(self, entry: Mapping[str, object]) -> None:
        """Append one entry. An error of the disk is raised; the caller decides whether the request is worth more."""
        line = orjson.dumps(entry) + b"\n"
        if self._size and self._size + len(line) > self._most_bytes:
            self._next()
        written = os.write(self._file, line)
        if written < len(line):
            # A line without its end would spoil the next one too.
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self._size += written

    def _next(self) -> None:
        """Begin the next file. The one before stays open until then, or its number could come to mean another file."""
        for number in range(self._most_files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            with contextlib.suppress(FileNotFoundError):
                os.replace(older, f"{self._path}.{number}")
        if self._most_files == 1:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        before = self._file
        self._open()
        os.close(before)

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)
