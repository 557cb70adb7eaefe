# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking an engine: a small program stands in for it and answers what a test wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import digest_of
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.asked import REMEDY
from ansible_collections.llmfleet.serving.plugins.modules import engine_answers
from module_runner import run_apart

ROOT = Path(__file__).resolve().parents[4]
CONFIG = {"model_type": "llama", "hidden_size": 64}
SENTENCE = "max_num_batched_tokens (128) is smaller than max_model_len (2048), says token-of-a-user."
PROGRAM = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    refused = asked["flags"].get("max-num-batched-tokens") == 128
    more = {{"accepted": False, "refusal": {sentence!r}}} if refused else {{
        "accepted": True,
        "stages": [{{"weights_bytes": 100, "buffers_bytes": 1}}, {{"weights_bytes": 90, "buffers_bytes": 1}}],
        "bytes_per_block": [10, 8],
        "requests": [{{"length": n, "blocks": [3, 4], "bytes_to_start": [80, 64]}} for n in asked["lengths"]],
    }}
    print(json.dumps({{"id": asked["id"], "engine": "vllm 0.32.0+cpu", "asked": asked, **more}}))
"""


def instance(name: str, **more: Any) -> dict[str, Any]:
    """An instance as `llm_instances_here` has it: without its host."""
    values = {"device": "cpu", "cpu": {"kv_cache_space_gib": 1}, "memory": {"kv_cache": 2**30}, "max_model_len": 2048}
    return {"name": name, "model": name, "source": "path:/m", "args": {}, "env": {}, **values, **more}


def question(name: str, config: str = "0") -> dict[str, Any]:
    return {"name": name, "host": "h", "engine": "vllm", "key": {"engine": "vllm", "release": "?", "config": config}}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    program = tmp_path / "dry.py"
    program.write_text(PROGRAM.format(sentence=SENTENCE))
    return {
        "host": "h",
        "programs": {"vllm": {"command": [sys.executable, str(program)]}},
        "paths": {"chat": "/m", "guide": "/m"},
        "settings": "s",
        "record": str(tmp_path / "answers.fact"),
    }


def ask(given: dict[str, Any], *instances: dict[str, Any], config: str = "0", **more: Any) -> dict[str, Any]:
    questions = [question(one["name"], config) for one in instances]
    result = run_apart("engine_answers", {**given, "questions": questions, "instances": list(instances), **more})
    assert set(result) - {"changed", "invocation"} == set(yaml.safe_load(engine_answers.RETURN))
    return result


def test_an_answer_is_recorded_with_its_key(given: dict[str, Any]) -> None:
    result = ask(given, instance("chat"))
    assert result["changed"]
    assert result["refused"] == ""
    (answer,) = result["answers"]
    assert answer["release"] == "0.32.0"
    assert answer["accepted"] is True
    assert (answer["weights"], answer["bytes_per_block"]) == (101, 10)
    assert (answer["blocks"], answer["bytes_to_start"]) == ({"2048": 7}, {"2048": 80})
    recorded = json.loads(Path(given["record"]).read_text())
    assert recorded == {"answers": [answer], "programs": given["programs"]}
    assert Path(given["record"]).stat().st_mode & 0o777 == 0o600
    assert not ask(given, instance("chat"))["changed"]


def test_a_refusal_says_host_instance_release_and_remedy_and_is_recorded(given: dict[str, Any]) -> None:
    env = {"TOKEN": "token-of-a-user"}
    result = ask(given, instance("chat", args={"max-num-batched-tokens": 128}, env=env), instance("guide"))
    assert result["refused"] == (
        'h: llm_models[chat].source is "path:/m": vLLM 0.32.0 refuses chat: '
        + SENTENCE.replace("token-of-a-user", "***").rstrip(".")
        + f"; {REMEDY}."
    )
    assert [one["accepted"] for one in json.loads(Path(given["record"]).read_text())["answers"]] == [False, True]


def test_check_mode_asks_and_records_nothing(given: dict[str, Any]) -> None:
    result = ask(given, instance("chat"), _ansible_check_mode=True)
    assert result["changed"]
    assert result["answers"]
    assert not Path(given["record"]).exists()


def test_an_engine_that_is_not_installed_is_not_asked(given: dict[str, Any]) -> None:
    for programs in ({}, {"vllm": {"command": ["/missing/python", "/missing/dry_start.py"]}}):
        result = ask({**given, "programs": programs}, instance("chat"))
        assert (result["answers"], result["changed"], result["refused"]) == ([], False, "")


def test_a_program_that_fails_says_nothing_about_the_card(given: dict[str, Any]) -> None:
    Path(given["programs"]["vllm"]["command"][1]).write_text("raise SystemExit('no libnuma')")
    result = ask(given, instance("chat"))
    (answer,) = result["answers"]
    assert answer["accepted"] is None
    assert "ended with status 1: no libnuma" in answer["sentence"]
    assert result["refused"] == ""
    assert not Path(given["record"]).exists()


def test_a_model_is_found_where_the_plan_knows_its_config(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    one, unknown = instance("chat", source=f"path:{tmp_path}"), {**given, "paths": {}}
    assert len(ask(unknown, one, config=digest_of(CONFIG))["answers"]) == 1
    assert ask(unknown, one, config="another")["answers"] == []
    cached = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    cached.mkdir(parents=True)
    (cached / "config.json").write_text(json.dumps(CONFIG))
    one = instance("chat", source="hf://a/b", revision="0" * 40)
    assert len(ask({**unknown, "cache_dir": str(tmp_path)}, one, config=digest_of(CONFIG))["answers"]) == 1
    assert ask(unknown, instance("chat", source="demo:"))["answers"] == []


TASKS = ("prepare", "change", "run")


def test_it_is_asked_and_heard_before_anything_is_stopped() -> None:
    check = yaml.safe_load((ROOT / "roles" / "vllm" / "tasks" / "check.yml").read_text())
    asking, stopping = check[-2:]
    assert "llmfleet.serving.engine_answers" in asking
    assert "refused" in stopping["ansible.builtin.assert"]["that"]
    tasks = ROOT / "playbooks" / "tasks"
    prepared, run = (yaml.safe_load((tasks / f"{name}_engines.yml").read_text()) for name in ("prepare", "run"))
    files = [str(task.get("ansible.builtin.include_role", {}).get("tasks_from")) for task in prepared]
    assert "check.yml" in files
    assert "run.yml" not in files
    started = [task["ansible.builtin.include_role"] for task in run if "ansible.builtin.include_role" in task]
    assert started[0]["tasks_from"] == "run.yml"
    plays = [str(play) for play in yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text())]
    first = {name: next(n for n, play in enumerate(plays) if f"tasks/{name}_engines.yml" in play) for name in TASKS}
    # The play that changes them prepares all hosts before.
    assert first["prepare"] <= first["change"] < first["run"]
    changing = plays[first["change"]]
    assert changing.index("tasks/prepare_engines.yml") < changing.index("tasks/change_engines.yml")
