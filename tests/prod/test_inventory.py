# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inventories/prod, the worked example: Ansible reads it, every variable is one that is read, every model has a place.

Its machines do not exist. What they would have told of themselves is recorded in fleet.json (record.py); a connection
to any of them is an error.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device
from ansible_collections.llmfleet.serving.tests.prod import record

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories/prod"
FLEET = record.FOLDER / "fleet.json"
FILES = sorted(path for path in INVENTORY.rglob("*.yml") if not path.name.startswith("."))
VARIABLE_FILES = [path for path in FILES if path.name != "hosts.yml"]
# Variables of Ansible itself.
CONNECTION = {"ansible_host", "ansible_user"}
COMMENTED = re.compile(
    r"^# ((?:llm|nginx|litellm|vllm|open_webui|prometheus|service|container|nvidia)_\w+):", re.MULTILINE
)


def ansible(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible that can reach nobody."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_EXECUTABLE": "/bin/false"}
    command = [str(Path(sys.executable).with_name(program)), "-i", str(INVENTORY), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def variables() -> dict[str, Any]:
    """Every variable of the inventory; one that stands in several files, as the last of them has it."""
    found = {}
    for path in VARIABLE_FILES:
        found.update(read(path) or {})
    return found


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What playbooks/plan.yml makes of it with no host reachable."""
    output = tmp_path_factory.mktemp("plan") / "plan.json"
    before = sorted(path.name for path in INVENTORY.iterdir())
    done = ansible(
        "ansible-playbook",
        "playbooks/plan.yml",
        *("-e", "plan_offline=true", "-e", f"llm_fleet_file={FLEET}"),
        *("-e", "plan_fail_on_change=false", "-e", f"plan_output={output}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in INVENTORY.iterdir()) == before, "plan.yml wrote beside the inventory"
    return {**json.loads(output.read_text()), "said": done.stdout}


@pytest.mark.parametrize(
    "playbook", ["site.yml", *sorted(f"playbooks/{path.name}" for path in ROOT.glob("playbooks/*.yml"))]
)
def test_playbooks_read_it(playbook: str) -> None:
    done = ansible("ansible-playbook", "--syntax-check", playbook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_its_groups_are_jobs_and_each_host_has_one() -> None:
    done = ansible("ansible-inventory", "--graph")
    assert done.returncode == 0, done.stderr
    inventory = json.loads(ansible("ansible-inventory", "--list").stdout)
    groups = {name: content["hosts"] for name, content in inventory.items() if content.get("hosts")}
    assert groups == {
        "llm_inference": ["gpu1", "gpu2", "gpu3"],
        "llm_gateway": ["gateway1", "gateway2"],
        "llm_webui": ["ops1"],
        "llm_monitoring": ["ops1"],
    }
    for name, hosts in groups.items():
        assert f"@{name}:" in done.stdout
        assert all(f"--{host}" in done.stdout for host in hosts)
    files = {path.stem for path in (INVENTORY / "host_vars").iterdir()}
    assert files <= {"gpu1", "gpu2", "gpu3"}


def test_every_variable_is_one_that_a_role_reads() -> None:
    known = set(CONNECTION)
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in read(path)["argument_specs"].values():
            known |= set(entry.get("options") or {})
    for path in ROOT.glob("roles/fleet_defaults/defaults/**/*.yml"):
        known |= set(read(path))
    said = set(variables())
    for path in VARIABLE_FILES:
        # What is only shown, to be uncommented, must be as true.
        said |= set(COMMENTED.findall(path.read_text()))
    assert sorted(said - known) == []


def test_it_holds_no_secret_and_no_real_address() -> None:
    for path in FILES:
        text = path.read_text()
        assert "$ANSIBLE_VAULT" not in text
        assert not re.search(r"\bsk-[\w-]{8,}", text), path
        for found in re.findall(r"^ *(?:#.*)?\w*(?:password|token|secret|value): *(\S.*)$", text, re.MULTILINE):
            assert found.startswith('"{{'), f"{path}: {found}"
        for address in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text):
            assert address.startswith(("192.0.2.", "127.")), f"{path}: {address}"
        for name in re.findall(r"[\w.-]+\.(?:com|org|net|io)\b", text):
            assert name.endswith("example.com") or name in ("docker.io", "ghcr.io"), f"{path}: {name}"


def test_the_record_is_of_these_hosts_and_models() -> None:
    recorded = json.loads(FLEET.read_text())
    assert recorded == json.loads(json.dumps(record.fleet())), "run PYTHONPATH=collections python3 tests/prod/record.py"
    hosts = read(INVENTORY / "hosts.yml")["all"]["hosts"]
    assert {name: host["address"] for name, host in recorded["hosts"].items()} == {
        name: host["ansible_host"] for name, host in hosts.items()
    }
    models = {model["name"]: [model["source"], model["revision"]] for model in variables()["llm_models"]}
    assert {name: model["asked"] for name, model in recorded["models"].items()} == models


def test_the_cards_are_cut_as_the_inventory_says() -> None:
    recorded = json.loads(FLEET.read_text())["hosts"]
    layouts = {host: read(path).get("nvidia_driver_mig", []) for host in recorded if (path := host_file(host)).exists()}
    for host, layout in layouts.items():
        wanted = {entry["card"]: entry["profiles"] for entry in layout}
        for gpu in recorded[host]["gpu_facts"]["gpus"]:
            assert [device["profile"] for device in gpu["mig_devices"]] == wanted.get(gpu["index"], [])
    assert layouts["gpu2"]


def host_file(host: str) -> Path:
    return INVENTORY / f"host_vars/{host}.yml"


def test_the_plan_places_every_replica(planned: dict[str, Any]) -> None:
    plan = planned["plan"]
    assert (plan["unplaced"], plan["problems"]) == ([], [])
    wanted = {model["name"]: model for model in variables()["llm_models"]}
    placed = [(one["model"], one["host"]) for one in plan["instances"]]
    assert sorted(name for name, _host in placed) == sorted(
        name for name, model in wanted.items() for _replica in range(model.get("replicas", 1))
    )
    for name, host in placed:
        assert host in wanted[name]["hosts"]
    for one in plan["instances"]:
        asked = wanted[one["model"]]["context"]
        assert one["max_model_len"] >= (asked["min"] if isinstance(asked, dict) else asked)
    assert {change["action"] for change in planned["changes"]} == {"+"}


def test_the_engine_refuses_none_of_it(planned: dict[str, Any]) -> None:
    recorded = json.loads(FLEET.read_text())
    cards = {}
    for host in recorded["hosts"].values():
        for card in (host["gpu_facts"] or {"gpus": []})["gpus"]:
            cards.update({part["uuid"]: card["compute_capability"] for part in [card, *card["mig_devices"]]})
    for one in planned["plan"]["instances"]:
        facts = recorded["models"][one["model"]]["facts"]
        capability = tuple(map(int, cards[one["gpus"][0]].split(".")))
        device = Device(one["gpus"][0], 0, one["product_name"], (capability[0], capability[1]), one["memory"]["total"])
        args = {**one["args"], "dtype": one["dtype"]}
        assert registry.of(one).refusal(facts, args, device) is None
        assert registry.of(one).division_refusal(facts, args, one["tensor_parallel_size"]) == ""
    # gpt-oss names no data type in its config, and mxfp4 computes in bfloat16 alone.
    assert {one["dtype"] for one in planned["plan"]["instances"] if one["model"] == "chat"} == {"bfloat16"}


def test_the_plan_is_what_a_person_would_do(planned: dict[str, Any]) -> None:
    by_name = {one["name"]: one for one in planned["plan"]["instances"]}
    assert {name: one["tensor_parallel_size"] for name, one in by_name.items() if one["tensor_parallel_size"] > 1} == {
        "chat-0": 2,
        "chat-1": 2,
        "large-0": 4,
    }
    # All eight cards of the large machine, each with one engine.
    used = [uuid for name in ("chat-0", "chat-1", "large-0") for uuid in by_name[name]["gpus"]]
    assert len(used) == len(set(used)) == 8
    slices = {uuid for name in ("small-0", "small-1", "small-2") for uuid in by_name[name]["gpus"]}
    assert len(slices) == 3
    assert all(uuid.startswith("MIG-") for uuid in slices)
    assert by_name["code-0"]["gpus"][0].startswith("GPU-")
    assert by_name["embed-0"]["dtype"] == "float16"
    assert "float16: compute capability 7.5 has no bfloat16" in planned["said"]
