# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and delete files of the host that may be missing, may change, or may not be regular files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from typing import Any, BinaryIO, Callable

# Characters; /proc/net/tcp has 150 for each socket.
MOST = 2**24


class IrregularError(OSError):
    """The path is a device or a pipe, which could hang, or a directory."""


def read_text(path: str, most: int = MOST) -> str:
    """Return the text of a file; empty if it cannot be read, because files of the kernel appear and disappear."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(most)
    except OSError:
        return ""


def read_json(path: str) -> Any:
    """Return the content of a JSON file; None if it cannot be read or is invalid."""
    try:
        return json.loads(read_text(path))
    except ValueError:
        return None


def open_regular(path: str) -> tuple[BinaryIO, int] | None:
    """Return a regular file and its size in bytes, None where there is none.

    :raises OSError: it cannot be read.
    :raises IrregularError: it is no regular file.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise IrregularError(f"{path} is no regular file")
        return open(path, "rb"), status.st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def delete(path: str) -> None:
    """Delete a file, or a directory unless somebody else has something in it."""
    if os.path.isdir(path):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    elif os.path.exists(path):
        os.remove(path)


def names(directory: str) -> list[str]:
    """Return what a directory holds, in the order of the names.

    :raises OSError: it cannot be read.
    """
    return sorted(os.listdir(directory))


def digest_of(paths: list[str], extra: str, without: Callable[[str, bytes], bytes] | None = None) -> str:
    """Return the digest of the contents of files and a further text; a missing file changes the digest as well.

    :param without: returns what counts of a file, by its path and its content.
    """
    digest = hashlib.sha256(extra.encode())
    for path in paths:
        digest.update(path.encode() + b"\0")
        try:
            with open(path, "rb") as handle:
                content = handle.read()
            digest.update(hashlib.sha256(without(path, content) if without else content).digest())
        except OSError:
            digest.update(b"absent")
    return digest.hexdigest()


def program_identity(path: str) -> str:
    """Return what identifies a build of a program: real path, size in bytes and modification time."""
    try:
        status = os.stat(path)
    except OSError:
        return "absent"
    return f"{os.path.realpath(path)} {status.st_size} {int(status.st_mtime)}"
