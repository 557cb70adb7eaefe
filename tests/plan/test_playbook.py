# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/plan.yml over hosts whose nvidia-smi is a stand-in that replays recorded output: no GPU is needed.

All hosts of the inventory are this machine; what they tell of their GPUs is what tells them apart.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests/unit/plugins/module_utils/data/nvidia_smi"
RECORDS = Path("/etc/ansible/facts.d")
UUID = "GPU-00000000-0000-0000-0000-000000000000"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}


class Fleet:
    """An inventory with models and a stand-in for nvidia-smi."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory"
        self.inventory.mkdir()
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(CONFIG))
        # The header of a checkpoint of 15 GiB; the weights themselves are a hole in the file.
        size = 15 * 1024**3
        header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        with (model / "model.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + size)
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "nvidia-smi"
        program.write_text(
            f"""#!/bin/sh
case "$1" in
  -q) cat {RECORDED}/h100.xml ;;
  -L) echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: {UUID})' ;;
  topo) printf '\\tGPU0\\nGPU0\\t X \\n' ;;
  *) echo '0, {UUID}, 9.0' ;;
esac
"""
        )
        program.chmod(0o755)
        self.model = {"name": "chat", "source": f"path:{model}", "context": 16384}

    def plan(self, *models: dict[str, Any], arguments: tuple[str, ...] = (), hosts: tuple[str, ...] = ("gpu1",)) -> Any:
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "llm_address": "127.0.0.1",
            "llm_package": "native",
            "llm_models": list(models),
        }
        groups = {group: {"hosts": dict.fromkeys(hosts)} for group in ("llm_inference", "llm_gateway")}
        inventory = {"all": {"vars": variables, "children": groups}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(inventory))
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        output = self.folder / "plan.json"
        output.unlink(missing_ok=True)
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory, "playbooks/plan.yml"]
        done = subprocess.run(
            [*alone(), *command, "-e", f"plan_output={output}", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.said = done.stdout + done.stderr
        self.code = done.returncode
        return json.loads(output.read_text()) if output.exists() else None


def alone() -> list[str]:
    """What hides from a command that this very machine is a fleet's host already (make demo), if it is one."""
    if not any(RECORDS.glob("llmfleet*")):
        return []
    return ["unshare", "--mount", "--", "sh", "-c", f'mount -t tmpfs none {RECORDS} && exec "$@"', "sh"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    if os.geteuid() != 0:
        pytest.skip("the playbook becomes root, which needs a password here: run as root")
    return Fleet(tmp_path)


def test_a_fresh_fleet(fleet: Fleet) -> None:
    answer = fleet.plan(fleet.model)
    (instance,) = answer["plan"]["instances"]
    assert (instance["gpus"], instance["max_model_len"], instance["host"]) == ([UUID], 16384, "gpu1"), fleet.said
    assert instance["memory"]["weights"] >= 15 * 1024**3
    assert [change["action"] for change in answer["changes"]] == ["+"]
    assert "gpu1  GPU 0   chat-0" in fleet.said
    assert "+ chat-0 on gpu1: it is asked for and does not run" in fleet.said
    # The exit code says that something would change.
    assert fleet.code == 2
    assert "site.yml would change chat-0" in fleet.said
    # Nothing was kept: neither secrets nor a memory of hosts.
    assert sorted(path.name for path in fleet.inventory.iterdir()) == ["hosts.yml"]


def remember(fleet: Fleet, instances: list[dict[str, Any]], host: str) -> None:
    """Write what an earlier run would have left behind of a host with one GPU."""
    gpu = {
        "uuid": UUID,
        "index": 0,
        "product_name": "NVIDIA H100 80GB HBM3",
        "compute_capability": "9.0",
        "memory_total_mib": 81559,
        "memory_reserved_mib": 551,
        "health": "ok",
    }
    known = {
        "address": "127.0.0.1",
        "device": "cuda",
        "gpus": [],
        "cpu": {"cores": "", "vcpus": 2, "memory_mib": 8000},
        "gpu_facts": {"gpus": [gpu]},
        "instances": [one for one in instances if one["host"] == host],
    }
    (fleet.inventory / ".llm_fleet.json").write_text(json.dumps({"hosts": {host: known}, "models": {}}))


def test_hosts_that_cannot_be_reached_are_planned_as_they_were_last_known(fleet: Fleet) -> None:
    plan = fleet.plan(fleet.model, arguments=("-e", "plan_fail_on_change=false"))["plan"]
    remember(fleet, plan["instances"], "gpu1")
    answer = fleet.plan(fleet.model, arguments=("-e", "plan_offline=true"))
    # Nobody could ask for the model either: it stays as it is.
    assert [change["action"] for change in answer["changes"]] == ["="], fleet.said
    assert answer["plan"]["hosts"]["gpu1"]["gpus"][0]["instances"] == ["chat-0"]
    assert fleet.code == 0, fleet.said


def test_hosts_outside_of_the_limit_keep_what_they_have(fleet: Fleet) -> None:
    hosts = ("gpu1", "gpu2")
    models = ({**fleet.model, "hosts": ["gpu1"]}, {**fleet.model, "name": "other", "hosts": ["gpu2"]})
    plan = fleet.plan(*models, hosts=hosts)["plan"]
    assert [(one["name"], one["host"]) for one in plan["instances"]] == [("chat-0", "gpu1"), ("other-0", "gpu2")]
    remember(fleet, plan["instances"], "gpu2")
    answer = fleet.plan(*models, hosts=hosts, arguments=("--limit", "gpu1"))
    actions = {change["name"]: change["action"] for change in answer["changes"]}
    assert actions == {"chat-0": "+", "other-0": "="}, fleet.said


def test_a_host_that_was_never_reached_is_named(fleet: Fleet) -> None:
    assert fleet.plan(fleet.model, hosts=("gpu1", "gpu2"), arguments=("--limit", "gpu1")) is None
    assert "gpu2: nothing is known of it, neither from this run" in fleet.said
    assert fleet.code == 2


def test_json(fleet: Fleet) -> None:
    fleet.plan(fleet.model, arguments=("-e", "plan_format=json", "-e", "plan_fail_on_change=false"))
    assert fleet.code == 0, fleet.said
    assert f"- {UUID}" in fleet.said or f'"{UUID}"' in fleet.said


def test_what_does_not_fit_is_said_with_its_remedy(fleet: Fleet) -> None:
    answer = fleet.plan({**fleet.model, "replicas": 2})
    (missing,) = answer["plan"]["unplaced"]
    assert missing["replica"] == 1
    assert "! chat-1:" in fleet.said
    assert "site.yml would change chat-0, and 1 replicas find no place." in fleet.said
    assert fleet.code == 2


def test_bad_input_is_refused_before_anything(fleet: Fleet) -> None:
    assert fleet.plan({**fleet.model, "context": "long"}) is None
    assert 'llm_models[chat].context is "long"' in fleet.said
    assert fleet.code == 2
