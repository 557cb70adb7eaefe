# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write files of records: as a whole, or a line at a time, readable by their owner only."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
from typing import Any

PRIVATE = 0o600


def replace(path: str, content: bytes, mode: int = PRIVATE, owner: str = "", group: str = "") -> None:
    """Put a file in the place of the one that is there, if any, with its owner and mode from the first moment.

    :param owner: name of the user; empty for the one who runs this.
    :param group: name of the group; empty for that of the one who runs this.
    :raises OSError: it cannot be written.
    :raises KeyError: there is no such user or group.
    """
    user = pwd.getpwnam(owner).pw_uid if owner else -1
    number = grp.getgrnam(group).gr_gid if group else -1
    handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".new", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chown(new, user, number)
        os.chmod(new, mode)
        os.replace(new, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)


def replace_json(path: str, value: Any) -> None:
    """Put a JSON file in the place of the one that is there, for its owner only.

    :raises OSError: it cannot be written.
    """
    replace(path, f"{json.dumps(value, indent=1)}\n".encode())


def create_json(path: str, value: Any) -> bool:
    """Create a JSON file for its owner only; return whether there was none.

    Of several who try at once only one succeeds, and nobody sees a part of the file.

    :raises OSError: it cannot be written.
    """
    handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".new", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(new)
    return True


def append_line(path: str, line: str) -> None:
    """Append a line to a file for its owner only, on a line of its own even if the last one was cut short.

    :raises OSError: it cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(handle, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        last = b"\n"
        if size:
            file.seek(size - 1)
            last = file.read(1)
        # One call writes all of it, so lines of two runs do not mix.
        file.write((b"" if last == b"\n" else b"\n") + line.encode() + b"\n")
        os.fsync(file.fileno())


def last_part(path: str, most: int) -> str:
    """Return the last bytes of a file as text, from the beginning of a line; empty if it cannot be read.

    :param most: bytes that are read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            text = file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
    return text if size <= most else text.partition("\n")[2]


def private_folder(path: str) -> None:
    """Create a directory, and those above it that are missing, for its owner only.

    :raises OSError: it cannot be created.
    """
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        private_folder(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def folders(path: str) -> list[str]:
    """Return the names of the directories in a directory, sorted; empty if it cannot be read."""
    try:
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def remove_folder(path: str) -> None:
    """Remove a directory with everything in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def content_of(path: str) -> tuple[bytes, dict[str, Any]] | None:
    """Return the content of a regular file, and its ``{owner, group, mode}``; None if there is none.

    :raises OSError: it cannot be read.
    """
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return None
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    names = {"owner": str(found.st_uid), "group": str(found.st_gid)}
    with contextlib.suppress(KeyError):
        names = {"owner": pwd.getpwuid(found.st_uid).pw_name, "group": grp.getgrgid(found.st_gid).gr_name}
    return content, {**names, "mode": stat.S_IMODE(found.st_mode)}


def is_there(path: str) -> bool:
    """Return whether a path exists and leads to something."""
    return os.path.exists(path)


def is_group(name: str) -> bool:
    """Return whether the host has a group of this name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
