# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of what running services were started with, in a file of each below the directory of state."""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import delete, read_json


class Started:
    """What the services of a host were started with."""

    def __init__(self, state_root: str) -> None:
        """Name the directory of state."""
        self._root = f"{state_root}/.started"

    def marker(self, name: str) -> str:
        """Return the file of a service."""
        return f"{self._root}/{name}"

    def digests(self, name: str) -> dict[str, str]:
        """Return what a service was started with, shaped as ``readiness.wanted_digests``; empty if not known."""
        found = read_json(self.marker(name))
        return found if isinstance(found, dict) else {}

    def begin(self, name: str, action: str) -> None:
        """Forget what a service was started with before it starts or restarts with something else.

        Until it is ready its process may be of either, also where the files go back to what they were.
        """
        if action in ("start", "restart"):
            delete(self.marker(name))

    def remember(self, name: str, digests: dict[str, str]) -> None:
        """Write what a service was started with."""
        records.private_folder(self._root)
        records.replace_json(self.marker(name), digests)
