# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real vLLM refuses with the flags and the environment that the role gives it, whoever asks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.unit.roles.vllm import test_specs  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import PYTHON  # noqa: E402


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    folder = tmp_path_factory.mktemp("limits")
    (spec,) = test_specs.render(folder, [test_specs.CHAT])["specs"]
    argv = spec["command"][3:]
    own = {name: str(value) for name, value in spec["environment"].items() if name.startswith("VLLM_")}
    with socket.create_server(("127.0.0.1", 0)) as canary:
        # A connection that nobody accepts waits here, and is seen at the end.
        canary.setblocking(False)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/picture.png"
        command = [PYTHON, str(Path(__file__).with_name("limits.py")), json.dumps(argv), url]
        environment = {**os.environ, **own, "VLLM_LOGGING_LEVEL": "CRITICAL"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, env=environment, cwd=folder
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with pytest.raises(BlockingIOError):
            canary.accept()
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_engine_has_every_variable_that_the_role_sets(told: dict[str, Any]) -> None:
    assert told["unknown"] == []


def test_answers_and_prompts_of_a_request_are_few(told: dict[str, Any]) -> None:
    assert (told["n=8"], told["prompts=32"], told["tokens=99"]) == ("", "", "")
    assert "n must be at most 8" in told["n=9"]
    assert "maximum allowed count of 32" in told["prompts=33"]


def test_media_come_from_nowhere(told: dict[str, Any]) -> None:
    assert "none.invalid" in told["media"]
    assert told["redirects"] is False
