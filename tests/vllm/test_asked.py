# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module that asks engines, with the real vLLM: what it would not start is refused in its own words."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import MODELS, PYTHON, SMALL  # noqa: E402
from module_runner import run_apart  # noqa: E402

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "starts": ({}, ""),
    "batch": (
        {"args": {"max-num-batched-tokens": 128, "enable-chunked-prefill": False}},
        "max_num_batched_tokens (128) is smaller than max_model_len",
    ),
    "context": ({"max_model_len": 10**6}, "is greater than the derived max_model_len"),
    "heads": ({"tensor_parallel_size": 3}, "must be divisible by tensor parallel size"),
    "cache": ({"memory": {"kv_cache": 10**6}}, "a request of 4096 tokens needs a KV cache of"),
}


@pytest.fixture(scope="module")
def result() -> Iterator[dict[str, Any]]:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The program becomes nobody before it imports its modules, and pytest closes its folders with every session.
        folder.chmod(0o755)
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({**SMALL, **MODELS["full attention"][1]}))
        programs = shutil.copytree(ROOT / "roles" / "vllm" / "files" / "programs", folder / "programs")
        values = {
            "device": "cpu",
            "cpu": {"kv_cache_space_gib": 1},
            "memory": {"kv_cache": 2**30},
            "max_model_len": 4096,
        }
        base = {"source": f"path:{model}", "args": {}, "env": {}, **values}
        asked = {name: {**base, "name": name, "model": name, **more} for name, (more, _words) in CASES.items()}
        key = {"engine": "vllm", "release": "0.32.0", "config": "0"}
        yield run_apart(
            "engine_answers",
            {
                "host": "h",
                "questions": [{"name": name, "host": "h", "engine": "vllm", "key": key} for name in asked],
                "instances": list(asked.values()),
                "programs": {"vllm": {"command": [PYTHON, str(programs / "dry_start.py")]}},
                "paths": dict.fromkeys(asked, str(model)),
            },
        )


def test_every_instance_is_answered(result: dict[str, Any]) -> None:
    assert [one["sentence"] for one in result["answers"] if one["accepted"] is None] == []
    assert {one["instance"]: one["accepted"] for one in result["answers"]} == {
        "starts": True,
        "batch": False,
        "context": False,
        "heads": False,
        "cache": True,
    }
    assert {one["release"] for one in result["answers"]} == {"0.32.0"}


@pytest.mark.parametrize("name", [name for name, (_more, words) in CASES.items() if words])
def test_a_refusal_is_told_in_the_engines_words(result: dict[str, Any], name: str) -> None:
    (line,) = [line for line in result["refused"].splitlines() if f"refuses {name}:" in line]
    assert CASES[name][1] in line
    assert f"h: llm_models[{name}]" in line


def test_nothing_is_said_of_what_starts(result: dict[str, Any]) -> None:
    assert "refuses starts" not in result["refused"]
