# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every route of the real vLLM's server, behind the role's middleware: without the key, and with it.

The routes are those of the recorded list, so that a release that brings another one fails here and is looked at: does
the API have it? Then run with UPDATE_GOLDEN=1.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_paths import VLLM_PATHS

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import PYTHON  # noqa: E402

ROLE = ROOT / "roles" / "vllm"
RECORDED = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "data" / "vllm-0.32.0-routes.json"
OPEN = {("/health", "GET"), ("/metrics", "GET")}
WEBSOCKET = "WEBSOCKET"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    keys = tmp_path_factory.mktemp("keys") / "accepted_keys"
    keys.write_text(f"{'0' * 64}\n{hashlib.sha256(b'sk-routes').hexdigest()}\n")
    ours = {"LLMFLEET_API_PATHS": ",".join(VLLM_PATHS), "LLMFLEET_ACCEPTED_KEYS": str(keys)}
    environment = {**os.environ, "PYTHONPATH": str(ROLE / "files"), **ours}
    environment.pop("VLLM_API_KEY", None)
    command = [PYTHON, "-B", str(Path(__file__).with_name("routes.py"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_routes_are_those_that_were_looked_at(answers: dict[str, Any]) -> None:
    found: dict[str, list[str]] = {}
    for path, method, *_statuses in answers["answers"]:
        found.setdefault(path, []).append(method)
    if os.environ.get("UPDATE_GOLDEN"):
        RECORDED.write_text(json.dumps({"vllm": answers["vllm"], "routes": found}, indent=1) + "\n")
    assert json.loads(RECORDED.read_text()) == {"vllm": answers["vllm"], "routes": found}


def test_without_the_key_health_and_metrics_are_all(answers: dict[str, Any]) -> None:
    statuses = {(path, method): status for path, method, status, _with_key in answers["answers"]}
    served = {route for route, status in statuses.items() if status != (403 if route[1] == WEBSOCKET else 401)}
    assert served == OPEN


def test_with_the_key_the_paths_of_the_api_are_all(answers: dict[str, Any]) -> None:
    statuses = {(path, method): status for path, method, _without, status in answers["answers"]}
    served = {route for route, status in statuses.items() if status not in (401, 403, 404)}
    assert served == OPEN | {(path, "GET" if path == "/v1/models" else "POST") for path in VLLM_PATHS}
