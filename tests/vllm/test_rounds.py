# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tasks of site.yml and plan.yml with the real vLLM: what it refuses is not chosen again, or ends the play.

A machine has two GPUs of which only the plan knows. vLLM answers as it would on one of them; it is imported once, and
what the tasks call is a program that passes their questions on.
"""

from __future__ import annotations

import json
import resource
import shutil
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import run_playbook

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm import matrix  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import MODELS, SMALL  # noqa: E402

# The plan knows nothing of this flag. vLLM spreads a cache over two GPUs only if there are two, and more than KV heads.
ARGS = {"decode-context-parallel-size": 2}
SENTENCE = "tp_size=1 must be divisible by dcp_size=2"
CONFIG = {**SMALL, **MODELS["full attention"][1], "num_key_value_heads": 1, "head_dim": 64}
CONTEXT = 16384
# Seconds of a core for the first question, with all imports, and for each further one. An idle machine takes as long.
FIRST, FURTHER = 20, 3

PLAY = """
- name: Plan, and ask on the host before anything is stopped
  hosts: llm_inference
  gather_facts: false
  vars_files:
    - {root}/group_vars/all/llm_catalog.yml
    - {root}/group_vars/all/llm_images.yml
  roles:
    - role: llmfleet.serving.fleet_defaults
  tasks:
    - name: Publish what the host would tell
      ansible.builtin.set_fact:
        llm_host: "{{ host_told | combine({'engine_settings': llm_engine_settings}) }}"
        llm_models_read: "{{ models_told }}"

    - name: Plan
      ansible.builtin.include_tasks: {root}/playbooks/tasks/make_plan.yml
      vars:
        llm_remember: false

    - name: Save the plan
      ansible.builtin.copy:
        content: "{{ llm_planned | to_json }}"
        dest: "{folder}/planned.json"
        mode: "0600"

    - name: Check on the host
      ansible.builtin.include_role:
        name: llmfleet.serving.vllm
        tasks_from: check.yml
      when: is_new | bool
      vars:
        vllm_device: cuda
        vllm_instances: "{{ llm_instances_here }}"
        vllm_questions: "{{ llm_questions_here }}"
        vllm_model_paths: {chat: "{folder}/model"}
        vllm_answers_file: "{folder}/answers.fact"
        vllm_api_key: of-nobody
        service_packages: {vllm: {python: "{python}", digest: "0"}}
        __vllm_programs: "{folder}"
        # The command line was checked before, which takes vLLM's parser seconds.
        __vllm_flags_stamp: "{folder}/model"

    - name: Stop what runs
      ansible.builtin.file:
        path: "{folder}/stopped"
        state: touch
        mode: "0600"
"""


class Line(socketserver.StreamRequestHandler):
    """Answers the questions of one program, with the card of the machine added to each."""

    server: Asked

    def handle(self) -> None:
        """Answer."""
        for text in self.rfile:
            asked = {**json.loads(text), "card": matrix.CARDS[matrix.H100]}
            self.wfile.write(self.server.ask(asked).encode())


class Asked(socketserver.ThreadingUnixStreamServer):
    """The dry start behind a socket."""

    daemon_threads = True

    def __init__(self, path: Path, process: Any) -> None:
        super().__init__(str(path), Line)
        self.process = process
        self.questions: list[dict[str, Any]] = []

    def ask(self, asked: dict[str, Any]) -> str:
        """Return the line that answers a question."""
        self.questions.append(asked)
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return str(self.process.stdout.readline())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    if not matrix.PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The program becomes nobody before it reads the model, and pytest closes its own folders with every session.
        folder.chmod(0o755)
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text(json.dumps(CONFIG))
        shutil.copy(Path(__file__).with_name("asking.py"), folder / "dry_start.py")
        yield folder


@pytest.fixture(scope="module")
def asked(folder: Path) -> Iterator[Asked]:
    with matrix.dry_start() as (process, _drafts), Asked(folder / "socket", process) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
        before = seconds_of_children()
    taken = seconds_of_children() - before
    print(f"{len(server.questions)} questions in {taken:.1f} s")
    assert taken <= FIRST + FURTHER * (len(server.questions) - 1)


def seconds_of_children() -> float:
    """Return the seconds that cores have spent on all programs that ended so far, and on what these waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def played(folder: Path, is_new: bool) -> tuple[dict[str, Any], str]:
    """Run the play; return the plan that it made, and what was said.

    :param is_new: whether no earlier run has installed an engine that the plan could ask.
    """
    card = cards.find("H100")
    assert card
    program = {"command": [sys.executable, str(folder / "dry_start.py")]}
    facts = {**checkpoint_config.describe(CONFIG), "weight_bytes": 2 * 10**6, "weight_bytes_source": "headers"}
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "llm_address": "127.0.0.1",
        "llm_models": [{"name": "chat", "source": f"path:{folder}/model", "context": CONTEXT, "args": ARGS}],
        "litellm_keys": [],
        "is_new": is_new,
        "models_told": {"chat": {**facts, "source": f"path:{folder}/model", "revision": None}},
        "host_told": {
            "address": "127.0.0.1",
            "device": "cuda",
            "gpus": [],
            "gpu_facts": {"gpus": [cards.gpu(card, index, f"GPU-{index}") for index in range(2)], "topology": None},
            "cpu": {"cores": "", "vcpus": 8, "memory_mib": 65536},
            "own_pids": [],
            "instances": [],
            "answers": {} if is_new else {"programs": {"vllm": program}},
        },
    }
    inventory = {"all": {"vars": variables, "children": {"llm_inference": {"hosts": {"gpu1": None}}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    text = PLAY
    for name, value in {"root": ROOT, "folder": folder, "python": sys.executable}.items():
        text = text.replace(f"{{{name}}}", str(value))
    (folder / "play.yml").write_text(text)
    done = run_playbook("-i", folder / "hosts.yml", folder / "play.yml")
    planned = folder / "planned.json"
    assert planned.exists(), done.stdout[-6000:] + done.stderr[-2000:]
    return json.loads(planned.read_text()), done.stdout + done.stderr


def test_the_plan_asks_learns_and_chooses_another_combination(folder: Path, asked: Asked) -> None:
    planned, said = played(folder, is_new=False)
    assert [one["flags"].get("tensor-parallel-size") for one in asked.questions] == [None, 2]
    (instance,) = planned["plan"]["instances"]
    assert (instance["tensor_parallel_size"], instance["max_model_len"]) == (2, CONTEXT)
    known = planned["plan"]["answers"]["chat-0"]
    assert (known["accepted"], known["engine"], known["asked_on"], known["shipped"]) == (
        True,
        "vLLM 0.32.0",
        "gpu1",
        False,
    )
    # Each GPU holds every other token, which the arithmetic does not know and vLLM said.
    assert instance["max_concurrency"] == pytest.approx(instance["kv_cache_blocks"] / (CONTEXT // 16 // 2), rel=0.01)
    assert planned["questions"] == [], said
    assert (folder / "stopped").exists(), said


def test_what_vllm_refuses_ends_the_play_before_anything_is_stopped(folder: Path, asked: Asked) -> None:
    (folder / "stopped").unlink(missing_ok=True)
    planned, said = played(folder, is_new=True)
    assert planned["plan"]["instances"][0]["tensor_parallel_size"] == 1
    assert planned["plan"]["answers"]["chat-0"]["accepted"] is None
    wanted = f'gpu1: llm_models[chat].source is "path:{folder}/model": vLLM 0.32.0 refuses chat-0: {SENTENCE}; change'
    assert wanted in " ".join(said.replace('\\"', '"').split()), said
    assert not (folder / "stopped").exists()
    (kept,) = json.loads((folder / "answers.fact").read_text())["answers"]
    assert (kept["accepted"], kept["sentence"]) == (False, f"{SENTENCE}.")
