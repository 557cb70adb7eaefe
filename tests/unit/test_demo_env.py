# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""scripts/demo_env.py finds the value of a key under the name that the collection keeps it under."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.client_keys import secret_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("alias", ["guest", "guide-only", "team.a", "Ann_2", "me@example"])
def test_the_key_of_a_client(tmp_path: Path, alias: str) -> None:
    variables = {"llm_api_server_name": "localhost", "llm_api_port": 8443, "litellm_keys": [{"alias": alias}]}
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(yaml.safe_dump(variables))
    (tmp_path / ".llm_secrets.yml").write_text(yaml.safe_dump({"secrets": {secret_name(alias): "it's $HOME"}}))
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/demo_env.py"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert """export OPENAI_API_KEY='it'"'"'s $HOME'\n""" in done.stdout


def test_a_machine_that_was_not_set_up(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("{}")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/demo_env.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "make demo" in done.stderr
