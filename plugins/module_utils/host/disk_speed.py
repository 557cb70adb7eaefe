# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure the size of weights in bytes, and the speed of reading them without the page cache."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import Any

WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
READ_BYTES = 2**30
READ_SECONDS = 5.0
BLOCK = 8 * 2**20
MOST_FILES = 20_000


def weight_files(folder: str) -> dict[str, int]:
    """Return the sizes of the weights below a directory, each file once: a hub's snapshots link to its blobs."""
    found: dict[tuple[int, int], tuple[str, int]] = {}
    count = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            count += 1
            if count > MOST_FILES:
                return dict(found.values())
            if name.endswith(WEIGHTS):
                with contextlib.suppress(OSError):
                    state = os.stat(os.path.join(parent, name))
                    found[(state.st_dev, state.st_ino)] = (os.path.join(parent, name), state.st_size)
    return dict(found.values())


def read_rate(path: str) -> tuple[int, float]:
    """Read the beginning of a file without the page cache; return the number of bytes and the seconds."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        # tmpfs and some network file systems do not support O_DIRECT.
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    # Pages of memory, aligned as O_DIRECT asks for.
    buffer = mmap.mmap(-1, BLOCK)
    start, read = time.monotonic(), 0
    while read < READ_BYTES and time.monotonic() - start < READ_SECONDS:
        count = os.readv(handle, [buffer])
        read += count
        if count < BLOCK:
            break
    return read, time.monotonic() - start


def measure_disk(folders: dict[str, str]) -> dict[str, Any]:
    """Return the bytes of weights of each instance, and the read speed of the largest file."""
    files = {name: weight_files(folder) for name, folder in folders.items()}
    everything = {path: size for each in files.values() for path, size in each.items()}
    largest = max(everything, key=lambda path: everything[path], default=None)
    read, seconds = read_rate(largest) if largest else (0, 0.0)
    return {"sizes": {name: sum(each.values()) for name, each in files.items()}, "read": read, "seconds": seconds}
