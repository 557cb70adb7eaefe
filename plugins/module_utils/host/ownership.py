# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owners of files and directories, and handing a directory over to another user while somebody may be using it."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from typing import NamedTuple


class Owner(NamedTuple):
    """Numbers of a user and a group."""

    user: int
    group: int


def of_account(name: str) -> Owner | None:
    """Return the user and the group of a name, which have the same; None unless both exist."""
    try:
        return Owner(pwd.getpwnam(name).pw_uid, grp.getgrnam(name).gr_gid)
    except KeyError:
        return None


def of_path(path: str) -> Owner | None:
    """Return the owner of a file or directory; None if it does not exist."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid)


def described(path: str) -> str:
    """Return owner, group and mode in words, such as ``root:root 0755``; ``absent`` if there is nothing."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return "absent"
    owner, group = str(found.st_uid), str(found.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(found.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(found.st_gid).gr_name
    return f"{owner}:{group} {stat.S_IMODE(found.st_mode):04o}"


def is_foreign(path: str, name: str) -> bool:
    """Return whether a directory exists that belongs to another user or group than those of an account."""
    found = of_path(path)
    return found is not None and found != of_account(name)


def hand_over(directory: str, new: Owner) -> None:
    """Give a directory to a user, with everything in it that its owner has; files of others and of root stay theirs.

    The owner may still run, and change it meanwhile. Therefore no link is followed, and no path is looked up again. The
    directory itself changes last, so a call that was interrupted is completed by the next one.

    :raises OSError: a file cannot be given away.
    """
    old = of_path(directory)
    if old is None:
        return
    if old.user != 0:
        for _path, folders, files, within in os.fwalk(directory, topdown=False, follow_symlinks=False):
            for name in folders + files:
                # What was there a moment ago may be deleted.
                with contextlib.suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=within, follow_symlinks=False)
                    if found.st_uid == old.user:
                        group = new.group if found.st_gid == old.group else -1
                        os.chown(name, new.user, group, dir_fd=within, follow_symlinks=False)
    os.chown(directory, new.user, new.group, follow_symlinks=False)
