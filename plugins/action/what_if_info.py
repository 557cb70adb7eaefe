# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action behind llmfleet.serving.what_if_info; plugins/modules/what_if_info.py documents it."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import ask, reading

ARGUMENTS: dict[str, dict[str, Any]] = {
    "cards": {"type": "str", "default": ""},
    "model": {"type": "str", "default": ""},
    "values": {"type": "dict", "default": {}},
    "explain": {"type": "bool", "default": False},
    "models": {"type": "raw"},
    "catalog": {"type": "raw"},
    "catalog_extra": {"type": "raw"},
    "model_defaults": {"type": "raw"},
    "engines": {"type": "raw"},
    "fleet_file": {"type": "str", "default": ""},
    "inference": {"type": "list", "elements": "str", "default": []},
    "gateways": {"type": "list", "elements": "str", "default": []},
    "first_port": {"type": "int", "default": 8100},
    "releases": {"type": "dict", "default": {}},
    "answers": {"type": "bool", "default": True},
    "endpoint": {"type": "str", "default": "https://huggingface.co"},
    "token": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """The action runs only on the control node, never on a host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        given = {name: plain(value) for name, value in args.items()}

        def hub(source: str) -> dict[str, Any]:
            """Return the facts of a model that only a hub or its cache has."""
            asked = {
                "source": source,
                "endpoint": given["endpoint"],
                "token": given["token"] or None,
                "host": "localhost",
            }
            read = self._execute_module("llmfleet.serving.model_info", asked, task_vars=task_vars)
            if "model_info" not in read:
                raise ProblemsError([Problem("model", source, _said(read), "give its config.json, or its folder")])
            return dict(read["model_info"])

        given["remembered"] = self._remembered(given["fleet_file"]) if given["fleet_file"] else {}
        try:
            answer, text = ask.ask(given, reading.Reader(os.getcwd(), hub))
        except ProblemsError as error:
            raise AnsibleActionFail(str(error)) from None
        return {**result, "changed": False, "answer": answer, "text": text}

    def _remembered(self, path: str) -> dict[str, Any]:
        """Return the facts that an earlier run kept beside the inventory; none without the file."""
        try:
            with open(self._loader.path_dwim(path), encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            remedy = "run site.yml, which writes it anew"
            raise AnsibleActionFail(
                Problem("llm_fleet_file", path, f"it cannot be read: {error}", remedy).sentence()
            ) from None
        return found if isinstance(found, dict) else {}


def _said(read: dict[str, Any]) -> str:
    """Return why a model could not be read, without the remark that stands before it."""
    return str(read.get("msg") or "nothing was read").rstrip(".")
