# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real vLLM's log without words of prompts: the names that the role's file relies on are there, and it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import PYTHON  # noqa: E402

WORD = "canary-of-a-prompt"
# Run by vLLM's own Python.
PROGRAM = """
import importlib.util, sys
import llmfleet_engine_log as log
from vllm.entrypoints.anthropic import api_router
from vllm.v1 import structured_output
from vllm.v1.engine import core

for name in (log.GRAMMARS, *(one.rstrip(".") for one in log.READERS)):
    assert importlib.util.find_spec(name), name
assert hasattr(core.EngineCoreProc, log.PREPARATION)

def fail(logger):
    try:
        raise ValueError(sys.argv[1])
    except ValueError as error:
        logger.exception("Error in create_messages: %s", error)

fail(structured_output.logger)
log.begin_serving()
fail(api_router.logger)
"""


def test_a_failed_request_leaves_no_word_of_it() -> None:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "roles" / "vllm" / "files"), "VLLM_LOGGING_LEVEL": "INFO"}
    command = [PYTHON, "-B", "-c", PROGRAM, WORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout + done.stderr
    assert said.count("fail failed, ValueError") == 2, said
    assert WORD not in said
