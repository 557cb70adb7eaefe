# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of one service for the module ``service_state``, which documents them."""

from __future__ import annotations

from typing import Any

_TCP: dict[str, Any] = {"port": {"type": "int", "required": True}, "address": {"type": "str", "default": "127.0.0.1"}}
_PREPARE: dict[str, Any] = {
    "command": {"type": "list", "elements": "str", "required": True},
    "stamp": {"type": "path", "required": True},
    "timeout": {"type": "int", "default": 600},
}
_READY: dict[str, Any] = {
    "url": {"type": "str", "default": ""},
    "tcp": {"type": "dict", "options": _TCP},
    "command": {"type": "list", "elements": "str", "default": []},
    "deadline": {"type": "int", "default": 120},
    "ca": {"type": "path"},
    "headers": {"type": "dict", "default": {}},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "body": {"type": "str", "default": ""},
}
_GENERATION: dict[str, Any] = {
    "instance": {"type": "str", "required": True},
    "model": {"type": "str", "default": ""},
    "revision": {"type": "str", "default": ""},
    "snapshot": {"type": "str", "default": ""},
    "image": {"type": "str", "default": ""},
    # These are paths.
    "secret_files": {"type": "list", "elements": "path", "default": [], "no_log": False},
}
SERVICE: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "command": {"type": "path", "required": True},
    "user": {"type": "str", "default": ""},
    "state_dir": {"type": "path"},
    "restart_files": {"type": "list", "elements": "path", "default": []},
    "reload_files": {"type": "list", "elements": "path", "default": []},
    "reload_signal": {"type": "str", "default": ""},
    "after": {"type": "list", "elements": "str", "default": []},
    "beside": {"type": "path"},
    "prepare": {"type": "list", "elements": "dict", "default": [], "options": _PREPARE},
    "generation": {"type": "dict", "options": _GENERATION},
    "ready": {"type": "dict", "default": {}, "options": _READY, "apply_defaults": True},
}
