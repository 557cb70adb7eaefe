# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/what_if.yml from an empty folder: no host, no inventory, no engine, no network."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 3


def ask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook by its name, where neither a network nor a configuration of Ansible is at hand."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(folder),
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), "llmfleet.serving.what_if", *arguments]
    alone = ["unshare", "--net", "--"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*alone, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def told(folder: Path, *arguments: str) -> dict[str, Any]:
    output = folder.parent / "answer.json"
    done = ask(folder, "-e", f"plan_output={output}", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(output.read_text()))


def test_given_cards(folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = ask(folder, "-e", 'cards="8 x H200"', "-e", "model=hf://Qwen/Qwen3-32B", "-e", "users=32")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It fits: hf://Qwen/Qwen3-32B" in done.stdout
    assert '"as asked ' in done.stdout, "each line of the answer is a line of the output"
    # A busy machine is no failure: what counts is the time of processors.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert not [path for path in folder.iterdir() if path.name != ".ansible"], "it left something behind"


def documented() -> list[list[str]]:
    """Return the arguments of the commands of the page that need no fleet."""
    page = (ROOT / "docs/what-if.md").read_text()
    commands = re.findall(r"^ansible-playbook llmfleet\.serving\.what_if (.*)$", page, re.M)
    return [shlex.split(one, comments=True) for one in commands if "INVENTORY" not in one]


@pytest.mark.parametrize("arguments", documented(), ids=" ".join)
def test_commands_of_the_page(folder: Path, arguments: list[str]) -> None:
    done = ask(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_commands() -> None:
    assert len(documented()) >= 2


def test_json_and_a_file(folder: Path) -> None:
    done = ask(folder, "-e", "cards=L4", "-e", "model=Qwen/Qwen3-8B", "-e", "plan_format=json", "-e", "explain=true")
    shown = done.stdout[done.stdout.index('"msg": ') + len('"msg": ') :]
    answer, _end = json.JSONDecoder().raw_decode(shown)
    assert answer["fits"]
    assert answer["arithmetic"][0] == {
        "what": "memory of the card",
        "value": 23034,
        "unit": "MiB",
        "why": "as nvidia-smi reports it",
    }
    assert told(folder, "-e", "cards=L4", "-e", "model=Qwen/Qwen3-8B")["context"] == answer["context"]


def test_the_other_way_round(folder: Path) -> None:
    answer = told(folder, "-e", "model=openai/gpt-oss-120b", "-e", "users=8", "-e", "context=32768")
    assert answer["choices"][0]["cards"] == 1
    assert {"card": "T4"}.items() <= answer["others"][0].items()


def test_a_config_in_the_folder(folder: Path) -> None:
    configs = json.loads((ROOT / "tests/catalog/configs.json").read_text())
    (folder / "config.json").write_text(json.dumps(configs["Qwen/Qwen3-8B"]["config"]))
    assert told(folder, "-e", "cards=L4", "-e", "model=config.json")["model"]["weights_source"] == "config"


def test_a_change_of_a_fleet(folder: Path) -> None:
    fleet = ("-i", str(ROOT / "inventories/prod"), "-e", f"llm_fleet_file={ROOT / 'tests/prod/fleet.json'}")
    answer = told(folder, *fleet, "-e", "remove_hosts=gpu2")
    assert {one["model"] for one in answer["unplaced"]} == {"code", "small"}
    answer = told(folder, *fleet, "-e", "change_model=chat", "-e", "context=32768", "-e", "users=64")
    assert answer["models"]["chat"]["after"]["context"] == 32768
    assert {one["action"] for one in answer["changes"] if not one["name"].startswith("chat-")} == {"="}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "model is missing: nothing is asked about"),
        (("-e", "cards=H300", "-e", "model=Qwen/Qwen3-8B"), "no card is known as H300; did you mean H200"),
        (("-e", "cards=L4", "-e", "model=hf://nobody/nothing"), "give its config.json"),
        (("-e", "add_hosts=L4"), "there is no fleet to change; name an inventory with -i"),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = ask(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
