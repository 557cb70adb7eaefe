# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/plan.yml over hosts whose nvidia-smi is a stand-in that replays recorded output: no GPU is needed.

All hosts of the inventory are this machine; what they tell of their GPUs is what tells them apart.
"""

from __future__ import annotations

import json
import os
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
        # Weights of 15 GiB.
        checkpoint(folder / "model", CONFIG, 15 * 1024**3)
        program(folder / "bin/nvidia-smi", ONE_H100)
        self.keys: list[dict[str, Any]] = []
        self.model = {"name": "chat", "source": f"path:{folder}/model", "context": 16384}

    def write(self, *models: dict[str, Any], hosts: tuple[str, ...] = ("gpu1",), **values: Any) -> None:
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "llm_address": "127.0.0.1",
            "llm_package": "native",
            "llm_models": list(models),
            "litellm_keys": self.keys,
            **values,
        }
        groups = {group: {"hosts": dict.fromkeys(hosts)} for group in ("llm_inference", "llm_gateway")}
        inventory = {"all": {"vars": variables, "children": groups}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def plan(self, *models: dict[str, Any], arguments: tuple[str, ...] = (), hosts: tuple[str, ...] = ("gpu1",)) -> Any:
        self.write(*models, hosts=hosts)
        output = self.folder / "plan.json"
        output.unlink(missing_ok=True)
        extra = ("-e", f"plan_output={output}", *arguments)
        done = play(self.inventory, "playbooks/plan.yml", self.folder / "bin", *extra)
        self.said = done.stdout + done.stderr
        self.code = done.returncode
        return json.loads(output.read_text()) if output.exists() else None


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


def test_a_restart_that_the_inventory_causes_is_told_with_its_reason(fleet: Fleet) -> None:
    def planned(**values: Any) -> Any:
        return fleet.plan(
            fleet.model, arguments=("-e", json.dumps({"llm_engine_api_key": "sk-first-0123456789", **values}))
        )

    running = planned()["plan"]["instances"]
    answer = planned(llm_instances_in_force=running)
    assert [change["action"] for change in answer["changes"]] == ["="], fleet.said
    assert fleet.code == 0, fleet.said
    other = {"vllm_env": {"TOKEN": "canary"}, "vllm_drain_timeout": 60, "llm_engine_api_key": "sk-second-0123456789"}
    (change,) = planned(llm_instances_in_force=running, **other)["changes"]
    # Another key of the engines is no reason.
    assert change["action"] == "~"
    assert change["what"] == ["drain_timeout: 20 -> 60", "variable of all instances TOKEN is new"]
    assert "~ chat-0 on gpu1: it is started with other values" in fleet.said
    assert "site.yml would change chat-0" in fleet.said
    assert fleet.code == 2
    assert "canary" not in fleet.said
    assert "sk-second" not in fleet.said


def test_limits_that_several_gateways_count_each_for_itself_are_noted(fleet: Fleet) -> None:
    told = "gateways counts limits for itself"
    fleet.plan(fleet.model)
    assert told not in fleet.said
    fleet.keys = [{"alias": "trial", "rpm": 20}]
    fleet.plan(fleet.model)
    assert told not in fleet.said
    fleet.plan(fleet.model, hosts=("gpu1", "gpu2"))
    assert fleet.said.count(f"Each of the 2 {told}, so all of them together admit key trial: rpm 40 (2 x 20).") == 1


def remember(fleet: Fleet, instances: list[dict[str, Any]], host: str, address: str = "127.0.0.1") -> None:
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
        "address": address,
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
    assert "no facts for gpu2, neither from this run" in fleet.said
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
    assert "site.yml would change chat-0, and replicas that cannot be placed: 1." in fleet.said
    assert fleet.code == 2


def test_bad_input_is_refused_before_anything(fleet: Fleet) -> None:
    assert fleet.plan({**fleet.model, "context": "long"}) is None
    assert 'llm_models[chat].context is "long"' in fleet.said
    assert fleet.code == 2


# An address that is known when the facts of the host are read.
DERIVED = "{{ '203.0.113.5' if ansible_facts['nodename'] else '' }}"
IN_PLAIN_TEXT = 'gpu1: llm_address is "203.0.113.5": services speak plain HTTP there'


def test_plain_text_on_a_public_address_is_refused_when_the_address_is_known(fleet: Fleet) -> None:
    address = ("-e", json.dumps({"llm_address": DERIVED}))
    assert fleet.plan(fleet.model, arguments=address) is None
    assert IN_PLAIN_TEXT in " ".join(fleet.said.split())
    assert fleet.code == 2
    named = ("-e", json.dumps({"llm_private_networks": ["203.0.113.0/28"]}))
    assert fleet.plan(fleet.model, arguments=(*address, *named, "-e", "plan_fail_on_change=false")), fleet.said
    # The host cannot be reached, and its address is the one that was remembered.
    remember(fleet, [], "gpu1", address="203.0.113.5")
    offline = (*address, "-e", "plan_offline=true")
    assert fleet.plan(fleet.model, arguments=offline) is None
    assert IN_PLAIN_TEXT in " ".join(fleet.said.split())


# ---- What site.yml does before the plan ----------------------------------------------------------------------

SITE = """
- import_playbook: {root}/playbooks/machines.yml
- import_playbook: {root}/playbooks/preflight.yml
"""


@pytest.fixture
def bare(fleet: Fleet) -> Fleet:
    """A machine with a card on its bus, and no driver."""
    card = fleet.folder / "sys/bus/pci/devices/0000:3b:00.0"
    card.mkdir(parents=True)
    for name, value in {"vendor": "0x10de", "class": "0x030200", "device": "0x2330"}.items():
        (card / name).write_text(f"{value}\n")
    (fleet.folder / "proc").mkdir()
    (fleet.folder / "bin/nvidia-smi").unlink()
    (fleet.folder / "site.yml").write_text(SITE.format(root=ROOT))
    return fleet


def before_the_plan(fleet: Fleet, *arguments: str, **values: Any) -> int:
    """Run the first plays of site.yml in check mode on this machine; nothing of it is changed."""
    variables = {
        "nvidia_driver_sysfs_root": f"{fleet.folder}/sys",
        "nvidia_driver_proc_root": f"{fleet.folder}/proc",
        "nvidia_driver_user_space_only": "false",
        **values,
    }
    fleet.write(fleet.model, **variables)
    done = play(fleet.inventory, fleet.folder / "site.yml", fleet.folder / "bin", "--check", "--diff", *arguments)
    # Ansible folds long lines.
    fleet.said = " ".join((done.stdout + done.stderr).split())
    return done.returncode


def test_check_mode_on_a_host_whose_driver_is_yet_to_come(bare: Fleet) -> None:
    assert before_the_plan(bare) == 0, bare.said
    assert "would install" in bare.said
    assert "nvidia-open" in bare.said
    assert (
        "gpu1: the NVIDIA driver is not installed yet, so check mode knows neither the GPUs nor the plan" in bare.said
    )
    assert sorted(path.name for path in bare.inventory.iterdir()) == ["hosts.yml"]


def test_images_that_are_not_pinned_are_refused_before_anything_is_touched(bare: Fleet) -> None:
    program(bare.folder / "bin/nvidia-smi", ONE_H100)
    values = {"llm_package": "container", "nvidia_driver_manage": False, "nvidia_driver_proc_root": "/proc"}
    assert before_the_plan(bare, "--skip-tags", "machines", **values) != 0
    assert 'llm_images.vllm is "docker.io/vllm/vllm-openai:' in bare.said
    assert "it is not pinned by a digest; add its digest in llm_images" in bare.said
    assert "llm_images.nginx is" not in bare.said
    assert before_the_plan(bare, "--skip-tags", "machines", **values, service_container_digests=False) == 0, bare.said


def test_site_refuses_plain_text_on_a_public_address_before_anything_is_touched(bare: Fleet) -> None:
    assert before_the_plan(bare, llm_address=DERIVED) != 0
    assert IN_PLAIN_TEXT in bare.said
    assert "Install" not in bare.said
