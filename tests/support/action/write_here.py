# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes texts into files on the control node, for plays of tests that tell what they have made.

ansible.builtin.copy and template call two modules for each file and host, and a call takes a second of a processor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """One file as `content` and `dest`, or several as `files`. A content that is no text becomes JSON."""

    _requires_connection = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        for file in given.get("files", [given]):
            text = file["content"] if isinstance(file["content"], str) else json.dumps(file["content"])
            path = Path(file["dest"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
        return {**result, "changed": True}
