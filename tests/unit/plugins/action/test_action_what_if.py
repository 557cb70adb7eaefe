# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.llmfleet.serving.plugins.action import what_if_info as action


def call(hub: dict[str, Any] | None = None, **args: Any) -> dict[str, Any]:
    task = SimpleNamespace(
        action="llmfleet.serving.what_if_info", args=args, async_val=0, check_mode=True, diff=False, environment=[]
    )
    plugin = action.ActionModule(task, MagicMock(), MagicMock(), DataLoader(), MagicMock(), MagicMock())
    plugin._execute_module = MagicMock(return_value=hub or {})
    return plugin.run(task_vars={})


def test_it_answers_and_changes_nothing() -> None:
    found = call(cards="L4", model="Qwen/Qwen3-8B", values={"users": None})
    assert (found["changed"], found["answer"]["fits"]) == (False, True)
    assert found["text"].startswith("It fits: hf://Qwen/Qwen3-8B")


def test_a_model_that_is_not_shipped_is_read_by_model_info() -> None:
    facts = json.loads(Path(action.reading.SHIPPED).read_text())["Qwen/Qwen3-8B"]
    found = call({"model_info": facts}, cards="L4", model="hf://me/mine")
    assert found["answer"]["model"]["source"] == "hf://me/mine"
    with pytest.raises(AnsibleActionFail, match=r"the name of the hub does not resolve; give its config\.json"):
        call({"failed": True, "msg": "the name of the hub does not resolve."}, cards="L4", model="hf://me/mine")


def test_wrong_values_are_the_message() -> None:
    with pytest.raises(AnsibleActionFail, match="no card is known as H300; did you mean H200"):
        call(cards="8 x H300", model="Qwen/Qwen3-8B")


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_facts_that_are_missing_or_broken_are_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "fleet.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(AnsibleActionFail, match=r"llm_fleet_file.*run site\.yml"):
        call(fleet_file=str(file), inference=["gpu1"], values={"add_hosts": "L4"})
