# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many hosts site.yml changes at a time, and that nothing is changed after one that failed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Collection

import pytest
import yaml
from role_files import defaults

ROOT = Path(__file__).resolve().parents[2]
PLAYS: list[dict[str, Any]] = yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text(encoding="utf-8"))
ROLLING = {"Run the engines": "llm_inference", "Run the gateways": "llm_gateway"}
HOSTS = ["one", "two", "three"]
# What a batch has seen of a play, after which a host may fail.
TASKS = [
    {"name": "Begin", "ansible.builtin.debug": {"msg": "begin"}},
    {"name": "Fail", "ansible.builtin.fail": {}, "when": "inventory_hostname == broken | default('')"},
    {"name": "End", "ansible.builtin.debug": {"msg": "end"}},
]


def roll(
    folder: Path, *options: str, groups: Collection[str] = ROLLING.values(), **variables: Any
) -> tuple[list[str], str]:
    """Run the plays of site.yml that roll, with other tasks, and say what happened on which host in which order."""
    keep = ("name", "hosts", "serial", "max_fail_percentage", "gather_facts")
    plays = [{**{key: play[key] for key in keep}, "tasks": TASKS} for play in PLAYS if play.get("name") in ROLLING]
    assert len(plays) == len(ROLLING)
    # Keywords of a play see variables of hosts once another play has run, as it has in site.yml.
    before = [{"name": "Look", "hosts": "all", "gather_facts": False}]
    (folder / "plays.yml").write_text(yaml.safe_dump(before + plays, sort_keys=False), encoding="utf-8")
    group = {"hosts": dict.fromkeys(HOSTS)}
    children = dict.fromkeys(groups, group)
    inventory = {"all": {"children": children, "vars": {"ansible_connection": "local", **variables}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "plays.yml", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_STDOUT_CALLBACK": "default",
        },
    )
    said = re.findall(r'^ok: \[(\w+)\] => \{\s*"msg": "(\w+)"', result.stdout, re.MULTILINE)
    return [f"{host} {what}" for host, what in said], result.stdout + result.stderr


def test_one_host_after_another(tmp_path: Path) -> None:
    happened, said = roll(tmp_path)
    one_by_one = [f"{host} {what}" for host in HOSTS for what in ("begin", "end")]
    assert happened == one_by_one * 2, said


@pytest.mark.parametrize("group", ROLLING.values())
def test_a_fleet_may_lack_a_group(tmp_path: Path, group: str) -> None:
    happened, said = roll(tmp_path, groups=[group])
    assert happened == [f"{host} {what}" for host in HOSTS for what in ("begin", "end")], said
    assert "ERROR" not in said


def test_no_host_is_touched_after_one_that_failed(tmp_path: Path) -> None:
    happened, said = roll(tmp_path, broken="two")
    assert happened == ["one begin", "one end", "two begin"], said


@pytest.mark.parametrize("by_option", [True, False])
def test_more_at_a_time_stop_as_well(tmp_path: Path, by_option: bool) -> None:
    variables = {} if by_option else {"llm_serial": 2}
    options = ["-e", "llm_serial=2"] if by_option else []
    happened, said = roll(tmp_path, *options, broken="one", **variables)
    assert sorted(happened) == ["one begin", "two begin"], said


def test_growing_batches(tmp_path: Path) -> None:
    happened, said = roll(tmp_path, llm_serial=[1, "100%"])
    assert [line.partition(" ")[2] for line in happened] == ["begin", "end", "begin", "begin", "end", "end"] * 2, said


def test_the_playbooks_default_is_the_roles() -> None:
    rolling = {play["name"]: play for play in PLAYS if play.get("name") in ROLLING}
    assert {name: play["hosts"].partition(",")[0] for name, play in rolling.items()} == ROLLING
    for play in rolling.values():
        assert f"default({defaults('fleet_defaults')['llm_serial']}) }}}}" in play["serial"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_role_takes_one_batch_for_the_whole_play(path: Path) -> None:
    """What is done once, or for the hosts of the play, would be done for each batch anew."""
    assert not re.search(r"\brun_once\b|\bansible_play_(hosts|batch)\b", path.read_text(encoding="utf-8"))
