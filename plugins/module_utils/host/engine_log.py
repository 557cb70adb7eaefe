# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the end of the log of a service: its file under supervisor, else the journal."""

from __future__ import annotations

import os
import time

from ansible_collections.llmfleet.serving.plugins.module_utils.host import programs

# An engine logs its memory in the first few hundred lines after a start; busy ones log ten lines a minute after that.
TAIL_BYTES = 4 * 1024**2
TAIL_LINES = 20000
SECONDS_TO_READ = 60.0


class EngineLog:
    """The log of one service."""

    def __init__(self, service: str, prefix: str, log_root: str) -> None:
        """Begin at what is logged from now on.

        :param service: name of the service without the prefix of its unit.
        :param log_root: directory of the logs under supervisor.
        """
        self.unit = f"{prefix}{service}"
        self.path = os.path.join(log_root, f"{service}.log")
        self.mark()

    def mark(self) -> None:
        """Let `since` begin here."""
        self.began = int(time.time())
        self.offset = os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def end(self) -> str:
        """Return the end of the log; empty where there is none."""
        if os.path.exists(self.path):
            return self._read(max(0, os.path.getsize(self.path) - TAIL_BYTES))
        return self._journal(["-n", str(TAIL_LINES)])

    def since(self) -> str:
        """Return what was logged since the mark."""
        if os.path.exists(self.path):
            size = os.path.getsize(self.path)
            # A file that was rotated begins anew.
            return self._read(max(self.offset if size >= self.offset else 0, size - TAIL_BYTES))
        return self._journal(["--since", f"@{self.began}"])

    def _read(self, offset: int) -> str:
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(TAIL_BYTES).decode("utf-8", "replace")

    def _journal(self, options: list[str]) -> str:
        command = ["journalctl", "--no-pager", "-o", "cat", *options, "-u", self.unit]
        printed, _ending = programs.run_program(command, SECONDS_TO_READ)
        return printed
