# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/doctor.yml and the role doctor on this machine, with stand-ins for what it does not have.

nvidia-smi replays recorded output, the engine's Python is the tests' own with a stand-in for torch. No GPU is needed,
and none is proven here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from replay import ONE_H100, ROOT, UUID, checkpoint, play, program

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
}
# A stand-in for torch with the GPU that nvidia-smi tells of, where CUDA_VISIBLE_DEVICES names it.
TORCH = f"""
import os
__version__ = "2.99"


class version:
    cuda = "13.0" if "CUDA_VISIBLE_DEVICES" in os.environ else None


class _One:
    name, uuid = "NVIDIA H100 80GB HBM3", "{UUID[4:]}"
    sum = lambda self: self
    item = lambda self: 1024.0


def ones(count, device):
    return _One()


class cuda:
    @staticmethod
    def init():
        if os.path.exists(os.path.join(os.path.dirname(__file__), "broken")):
            raise RuntimeError("Found no NVIDIA driver on your system.")

    device_count = staticmethod(lambda: 1)
    get_device_properties = staticmethod(lambda index: _One())
"""


# What every host is examined for, with this machine's apt and processes.
ALWAYS = ("clock", "libraries", "pins", "updates")


class Fleet:
    """One host, which is this machine, with a model and stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.torch = folder / "torch"
        self.output = folder / "doctor.json"
        self.down: list[str] = []
        self.docker = False
        for name in ("inventory", "bin", "state", "torch", "opt/venvs/vllm-0123/bin"):
            (folder / name).mkdir(parents=True)
        checkpoint(folder / "model", CONFIG, 2**20)
        (self.torch / "__init__.py").write_text(TORCH)
        environment = folder / "opt/venvs/vllm-0123"
        (environment / ".complete").touch()
        program(environment / "bin/python", f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
        program(folder / "bin/nvidia-smi", ONE_H100)

    def play(self, playbook: Path, *arguments: str, device: str = "cuda") -> int:
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "llm_address": "127.0.0.1",
            "llm_device": device,
            "llm_package": "container" if self.docker else "native",
            "service_container_program": str(self.folder / "bin/docker"),
            "llm_engine_port_base": 18100,
            "llm_models": [{"name": "chat", "source": f"path:{self.folder}/model", "context": 2048}],
            "service_root": str(self.folder / "opt"),
            "service_state_root": str(self.state),
        }
        groups = {group: {"hosts": {"gpu1": None}} for group in ("llm_inference", "llm_gateway")}
        groups["llm_monitoring"] = {
            "hosts": {name: {"ansible_connection": "ssh", "ansible_port": 1} for name in self.down}
        }
        inventory = {"all": {"vars": variables, "children": groups}}
        (self.folder / "inventory/hosts.yml").write_text(yaml.safe_dump(inventory))
        self.output.unlink(missing_ok=True)
        extra = ("-e", f"doctor_output={self.output}", *arguments)
        done = play(self.folder / "inventory", playbook, self.folder / "bin", *extra)
        self.said = done.stdout + done.stderr
        return done.returncode

    def doctor(self, *arguments: str, **values: str) -> int:
        return self.play(ROOT / "playbooks/doctor.yml", *arguments, **values)

    @property
    def findings(self) -> dict[str, Any]:
        return {one["check"]: one for one in json.loads(self.output.read_text())["gpu1"]["findings"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    if os.geteuid() != 0:
        pytest.skip("the playbook becomes root, which needs a password here: run as root")
    return Fleet(tmp_path)


def test_a_healthy_host(fleet: Fleet) -> None:
    assert fleet.doctor() == 0, fleet.said
    assert "changed=0" in fleet.said
    assert {one["severity"] for one in fleet.findings.values()} <= {"ok", "warning"}
    assert fleet.findings["cuda"]["found"] == "torch 2.99, CUDA 13.0 computes on 1 x NVIDIA H100 80GB HBM3"
    assert {"cuda", "disk", "driver", "gpu", "port", "shared memory", "xid", *ALWAYS} == set(fleet.findings)
    # The table for people.
    assert re.search(r"HOST +CHECK +SUBJECT +FOUND\n +gpu1 ", fleet.said), fleet.said
    assert "1 host: 0 errors" in fleet.said
    record = fleet.state / "doctor.json"
    assert record.stat().st_mode & 0o777 == 0o644
    assert json.loads(record.read_text())["parts"]["GPUs"] == UUID


def test_a_release_that_is_too_old(fleet: Fleet) -> None:
    """The releases of this host: it is of the groups of vLLM and of the gateway, and has no chat page."""
    own = '{"llm_releases": {"vllm": {"title": "vLLM", "version": "0.1", "released": "2023-06-20"}, "open_webui": {}}}'
    assert fleet.doctor("-e", own) == 0, fleet.said
    assert fleet.findings["pins"]["subject"] == "vLLM 0.1"
    assert "doctor_pins_max_age_days (180)" in fleet.findings["pins"]["cause"]
    assert fleet.doctor("-e", own, "-e", "doctor_pins_max_age_days=0") == 0, fleet.said
    assert "pins" not in fleet.findings


def test_errors_are_said_with_cause_and_remedy_and_by_the_exit_code(fleet: Fleet) -> None:
    (fleet.torch / "broken").touch()
    assert fleet.doctor("-e", "doctor_format=json") != 0
    found = fleet.findings["cuda"]
    assert (found["severity"], found["subject"]) == ("error", "chat-0")
    assert "the engine sees no driver" in fleet.said
    assert found["remedy"] in fleet.said
    assert '"check": "cuda"' in fleet.said or "check: cuda" in fleet.said


def test_a_driver_that_does_not_fit_its_module(fleet: Fleet) -> None:
    said = "Failed to initialize NVML: Driver/library version mismatch\\nNVML library version: 580.105"
    program(fleet.folder / "bin/nvidia-smi", f"#!/bin/sh\nprintf '{said}\\n'; exit 18\n")
    assert fleet.doctor() != 0
    assert fleet.findings["driver"]["severity"] == "error"
    assert "reboot" in fleet.findings["driver"]["remedy"]
    assert "gpu1: driver of kernel module" in fleet.said


def test_a_host_that_does_not_answer_is_an_error_and_the_others_are_examined(fleet: Fleet) -> None:
    """Of this one nothing was ever known, so that no plan can be made either."""
    fleet.down = ["127.0.0.2"]
    assert fleet.doctor() != 0
    reports = json.loads(fleet.output.read_text())
    assert not reports["127.0.0.2"]
    assert {"driver", "gpu", "xid", *ALWAYS} == set(fleet.findings), fleet.said
    assert "127.0.0.2: connection of 127.0.0.2: no answer" in fleet.said
    assert "No plan could be made" in fleet.said


def test_a_host_on_processors_in_check_mode(fleet: Fleet) -> None:
    assert fleet.doctor("--check", "--diff", device="cpu") == 0, fleet.said
    assert "changed=0" in fleet.said
    assert not (fleet.state / "doctor.json").exists()
    assert set(fleet.findings) == {"cuda", "disk", "port", "shared memory", *ALWAYS}
    assert fleet.findings["cuda"]["found"] == "torch 2.99, without CUDA, on processors"


def test_engines_in_containers(fleet: Fleet) -> None:
    """The stand-in for docker runs the last of its arguments with the tests' Python, and keeps them all."""
    fleet.docker = True
    keep = f'echo "$*" > {fleet.folder}/said; env | grep ^CUDA > {fleet.folder}/env'
    run = f'while [ $# -gt 2 ]; do shift; done; PYTHONPATH={fleet.folder} exec {sys.executable} "$@"'
    program(fleet.folder / "bin/docker", f"#!/bin/sh\n{keep}\n{run}\n")
    assert fleet.doctor() == 0, fleet.said
    assert fleet.findings["cuda"]["found"] == "torch 2.99, CUDA 13.0 computes on 1 x NVIDIA H100 80GB HBM3"
    said = (fleet.folder / "said").read_text()
    assert said.startswith("run ")
    assert f"nvidia.com/gpu={UUID}" in said
    assert "--interactive" in said


ROLE = """
- hosts: gpu1
  gather_facts: false
  roles:
    - role: llmfleet.serving.fleet_defaults
    - role: llmfleet.serving.doctor
      vars:
        doctor_instances: [{{name: chat-0, port: 18100, source: 'path:{folder}/model', path: '{folder}/model'}}]
        doctor_engines: [{{name: chat-0, python: [{folder}/opt/venvs/vllm-0123/bin/python]}}]
        doctor_needs_gpus: false
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ [doctor_result.examined, ansible_facts['doctor_start_deadlines']] | to_json }}}}"
        dest: "{folder}/told"
        mode: "0600"
      changed_when: false
"""


def test_site_examines_a_host_once(fleet: Fleet) -> None:
    """What site.yml calls: nothing changed means one task that reads a file, and the same facts."""
    playbook = fleet.folder / "role.yml"
    playbook.write_text(ROLE.format(folder=fleet.folder))
    told = []
    for _run in range(2):
        assert fleet.play(playbook) == 0, fleet.said
        told.append(json.loads((fleet.folder / "told").read_text()))
        # The role's argument spec, its one task, and the task of this test.
        assert "ok=3 " in fleet.said
        assert "changed=0" in fleet.said
    assert told == [[True, {"chat-0": 360}], [False, {"chat-0": 360}]]
    (fleet.torch / "broken").touch()
    program(fleet.folder / "opt/venvs/vllm-0123/bin/python", "#!/bin/sh\necho 'No module named torch' >&2; exit 1\n")
    assert fleet.play(playbook) == 0, "what it examined did not change"
    assert fleet.play(playbook, "-e", "doctor_always=true") != 0
    assert "gpu1: cuda of chat-0: ended with status 1" in fleet.said
