# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to a host of rig.py that can be lost: every command runs there, not Python alone, until it is off."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: namespaces")


class Connection(local.Connection):
    """Files are those of this machine, but for the directories that a host has of its own; tasks write none there."""

    transport = "namespaces"

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command on the host."""
        root = Path(os.environ["FLEET_FOLDER"]) / "hosts" / str(self._play_context.remote_addr)
        if (root / "off").exists():
            raise AnsibleConnectionFailure(f"{root.name} is off")
        enter = (root / "enter").read_text()
        result: tuple[int, bytes, bytes] = super().exec_command(
            f"{enter} {shlex.join(self.shell(cmd))}", in_data, sudoable
        )
        return result

    @staticmethod
    def shell(command: str) -> list[str]:
        """Return the shell's call for a command."""
        return ["/bin/sh", "-c", command]

    def reset(self) -> None:
        """There is nothing to connect again."""

    def set_option(self, option: str, value: Any, hostvars: Any = None) -> None:
        """Set an option; there is no connection whose timeout could be set."""
        if option not in ("connection_timeout", "timeout"):
            super().set_option(option, value, hostvars)
