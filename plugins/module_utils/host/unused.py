# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find directories that are not in force, and blobs of a hub's cache that no snapshot needs."""

from __future__ import annotations

import glob
import os
import re
from typing import Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_text

# A unit file or a configuration is far smaller.
MOST_BYTES = 2**22
# The ending of a lock's name after the name of the environment that is built from it.
LOCK = ".txt"


def is_named(path: str, text: str) -> bool:
    """Check whether a text contains a path or something below it, and not just a path with the same beginning."""
    return bool(re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", text))


def matching(patterns: Iterable[str]) -> list[str]:
    """Return the paths that patterns match, sorted; ``**`` stands for any depth."""
    return sorted({path for pattern in patterns for path in glob.glob(pattern, recursive=True)})


def texts_in_force(patterns: Iterable[str], gone: Iterable[str] = ()) -> list[str]:
    """Return the texts that show what is in force: contents of files, targets of links, command lines of processes.

    :param gone: directories that are removed; what they contain shows nothing.
    """
    texts = []
    removed = tuple(f"{path}/" for path in gone)
    left = [path for path in matching(patterns) if not path.startswith(removed)]
    for path in [*left, *glob.glob("/proc/[0-9]*/cmdline"), *glob.glob("/proc/[0-9]*/exe")]:
        try:
            if os.path.islink(path):
                texts.append(os.readlink(path))
            elif os.path.isfile(path):
                texts.append(read_text(path, MOST_BYTES).replace("\0", " "))
        except OSError:
            # A process may end while it is read.
            continue
    return texts


def unused(candidates: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Return the candidates that none of the texts names, neither by their path nor by a link among the candidates.

    The lock of an environment lies beside it and stays or goes with it.
    """
    found, known = list(candidates), list(texts)
    owners = {path: path.removesuffix(LOCK) if path.removesuffix(LOCK) in found else path for path in found}
    real = {path: os.path.realpath(owner) for path, owner in owners.items()}
    kept = {
        target
        for path, target in real.items()
        if any(is_named(name, text) for name in (path, target) for text in known)
    }
    return [path for path, target in real.items() if target not in kept]


def orphaned_blobs(hub: str, gone: Iterable[str]) -> list[str]:
    """Return files of a hub's cache that are unused after the removal of snapshots: their blobs, or the whole
    repository.

    :param hub: the cache, which holds ``models--organisation--name/{blobs,refs,snapshots}``.
    :param gone: snapshots that are removed. A repository without one of them is left as it is: it may be downloading.
    """
    removed = set(gone)
    found = []
    for repository in sorted(glob.glob(os.path.join(glob.escape(hub), "models--*"))):
        snapshots = glob.glob(os.path.join(glob.escape(repository), "snapshots", "*"))
        if not removed & set(snapshots):
            continue
        left = [snapshot for snapshot in snapshots if snapshot not in removed]
        if not left:
            found.append(repository)
            continue
        needed = {
            os.path.realpath(os.path.join(folder, name))
            for snapshot in left
            for folder, _folders, names in os.walk(snapshot)
            for name in names
        }
        blobs = glob.glob(os.path.join(glob.escape(repository), "blobs", "*"))
        found += sorted(blob for blob in blobs if os.path.realpath(blob) not in needed)
    return found


def size_mib(path: str) -> int:
    """Return the MiB that a file or directory takes on the disk, rounded up; links count for themselves."""
    total = os.lstat(path).st_blocks
    if os.path.isdir(path) and not os.path.islink(path):
        for folder, folders, names in os.walk(path):
            total += sum(os.lstat(os.path.join(folder, name)).st_blocks for name in [*folders, *names])
    return -(-total * 512 // 1024**2)
