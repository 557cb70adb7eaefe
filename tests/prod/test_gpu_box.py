# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inventories/gpu-box, one machine with everything on it: its model, and each that it offers instead, has a sane plan.

The machines do not exist. What they would have told of themselves is recorded in boxes.json (record_boxes.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.tests.prod import record_boxes

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories/gpu-box"
VALUES = INVENTORY / "group_vars/all.yml"
RECORDED = json.loads(record_boxes.BOXES.read_text())
# Cards that a line is for, and the line that is to be uncommented.
OFFERED = dict(re.findall(r"^  # ([^:\n]*GB)[^:\n]*:\n  # - (\{.*\})$", VALUES.read_text(), re.MULTILINE))


def read() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return values


def ansible(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).with_name(program)), "-i", str(INVENTORY), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180)


def plan(folder: Path, box: str, model: dict[str, Any]) -> dict[str, Any]:
    """What playbooks/plan.yml makes of a model on a machine that does not answer."""
    remembered = {"hosts": {"box": RECORDED["hosts"][box]}, "models": {"chat": RECORDED["models"][model["source"]]}}
    (folder / "fleet.json").write_text(json.dumps(remembered))
    done = ansible(
        "ansible-playbook",
        "playbooks/plan.yml",
        *("-e", json.dumps({"llm_models": [model], "plan_offline": True, "plan_fail_on_change": False})),
        *("-e", f"llm_fleet_file={folder}/fleet.json", "-e", f"plan_output={folder}/plan.json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    planned: dict[str, Any] = json.loads((folder / "plan.json").read_text())["plan"]
    assert (planned["unplaced"], planned["problems"]) == ([], [])
    return planned


def test_the_record_is_of_these_models() -> None:
    assert json.loads(json.dumps(record_boxes.boxes())) == RECORDED, "run tests/prod/record_boxes.py"
    lines = [*read()["llm_models"], *map(yaml.safe_load, OFFERED.values())]
    assert {line["source"]: line["revision"] for line in lines} == {
        source: revision for source, (revision, _config, _size) in record_boxes.MODELS.items()
    }


def test_one_host_has_every_job_and_the_model_is_one_line() -> None:
    inventory = json.loads(ansible("ansible-inventory", "--list").stdout)
    groups = ("llm_inference", "llm_gateway", "llm_webui", "llm_monitoring")
    assert {name: inventory[name]["hosts"] for name in groups} == {name: ["box"] for name in groups}
    assert len(re.findall(r"^  - ", VALUES.read_text().partition("llm_models:")[2].partition("\n\n")[0], re.M)) == 1
    assert ansible("ansible-inventory", "--graph").returncode == 0


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/plan.yml"])
def test_playbooks_read_it(playbook: str) -> None:
    done = ansible("ansible-playbook", "--syntax-check", playbook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_every_variable_is_one_that_a_role_reads() -> None:
    known: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            known |= set(entry.get("options") or {})
    said = set(read()) | set(re.findall(r"^# ((?:llm|service|nginx)_\w+): ", VALUES.read_text(), re.MULTILINE))
    assert sorted(said - known) == []
    assert "service_container_digests" in said


@pytest.mark.parametrize("box", RECORDED["hosts"])
def test_the_shipped_model_has_its_full_context_on_one_card(tmp_path: Path, box: str) -> None:
    (model,) = read()["llm_models"]
    (one,) = plan(tmp_path, box, model)["instances"]
    assert (one["max_model_len"], one["tensor_parallel_size"], len(one["gpus"])) == (131072, 1, 1)


@pytest.mark.parametrize(("box", "line"), OFFERED.items(), ids=list(OFFERED))
def test_what_is_offered_instead_fits_the_cards_that_it_is_offered_for(tmp_path: Path, box: str, line: str) -> None:
    (one,) = plan(tmp_path, box, yaml.safe_load(line))["instances"]
    cards = len(RECORDED["hosts"][box]["gpu_facts"]["gpus"])
    assert (one["tensor_parallel_size"], one["pipeline_parallel_size"]) == (cards, 1)
    # Long enough for documents, not only for questions.
    assert one["max_model_len"] >= 16384


def test_the_lines_are_found() -> None:
    assert sorted(OFFERED) == ["2 x 24 GB", "80 GB"]


def test_clients_get_the_door_and_the_key_of_this_machine(tmp_path: Path) -> None:
    shutil.copytree(INVENTORY / "group_vars", tmp_path / "group_vars")
    (tmp_path / ".llm_secrets.yml").write_text("secrets: {litellm_key_me: canary}\n")
    command = [sys.executable, str(ROOT / "scripts/demo_env.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:2] == [
        "export OPENAI_BASE_URL=https://localhost:8443/v1",
        "export OPENAI_API_KEY=canary",
    ]
    assert read()["nginx_listen"] == "127.0.0.1"


@pytest.mark.parametrize("target", ["gpu-box", "gpu-box-plan", "gpu-box-env", "gpu-box-stop", "gpu-box-clean"])
def test_make_uses_this_inventory(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "inventories/gpu-box" in done.stdout
    assert "inventories/local" not in done.stdout
