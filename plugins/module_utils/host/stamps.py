# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Empty files that record that a command has run. They are in directories that a service's user may write to."""

from __future__ import annotations

import os


def is_stamped(path: str) -> bool:
    """Return whether the file is there."""
    return os.path.lexists(path)


def stamp(path: str) -> None:
    """Create the file without following a link that the owner of the directory may have placed there."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(os.path.basename(path), flags, 0o644, dir_fd=folder))
    finally:
        os.close(folder)
