# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks ask the hosts of the fleet's groups and no others, and check the inventory before they touch anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import run_playbook

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
GROUPS = ("llm_inference", "llm_gateway", "llm_webui", "llm_monitoring")


def plays(playbook: Path) -> list[dict[str, Any]]:
    """Return the plays of a playbook and of those that it imports, in their order."""
    found = []
    for play in yaml.safe_load(playbook.read_text(encoding="utf-8")):
        if name := play.get("ansible.builtin.import_playbook") or play.get("import_playbook"):
            found += plays(playbook.parent / name)
        else:
            found.append(play)
    return found


def imported(tasks: list[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield tasks, those of blocks, and those of imported files: a condition of the play skips each of them."""
    for task in tasks:
        for part in ("block", "rescue", "always"):
            yield from imported(task.get(part, []), folder)
        if name := task.get("ansible.builtin.import_tasks"):
            yield from imported(yaml.safe_load((folder / name).read_text(encoding="utf-8")), folder)
        yield task


def listed(folder: Path, inventory: dict[str, Any], *playbooks: Path) -> str:
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")
    result = run_playbook("-i", folder / "hosts.yml", *playbooks, "--list-hosts")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_a_host_outside_the_groups_is_left_alone(tmp_path: Path) -> None:
    children: dict[str, Any] = {group: {"hosts": {group.replace("_", "-"): None}} for group in GROUPS}
    children["databases"] = {"hosts": {"bystander": None, "llm-bystander": None}}
    said = listed(tmp_path, {"all": {"children": children, "hosts": {"ungrouped-bystander": None}}}, *PLAYBOOKS)
    assert "bystander" not in said
    for group in GROUPS:
        assert group.replace("_", "-") in said


def test_a_group_that_the_inventory_lacks_is_no_warning(tmp_path: Path) -> None:
    """A fleet without a chat page has no group for it; plays for the whole fleet are quiet about that."""
    whole = [path for path in PLAYBOOKS if path.stem in ("plan", "stop", "remove", "summary", "doctor")]
    said = listed(tmp_path, {"all": {"children": {"llm_inference": {"hosts": {"one": None}}}}}, *whole)
    assert "Could not match" not in said


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_no_play_takes_every_host_of_the_inventory(path: Path) -> None:
    assert not [play["name"] for play in plays(path) if play["hosts"] in ("all", "*")]


@pytest.mark.parametrize("name", ["site", "rollout", "rollback", "plan", "verify"])
def test_a_held_host_is_in_no_play_but_the_one_that_reads_who_is_held(name: str) -> None:
    found = [play for play in plays(ROOT / "playbooks" / f"{name}.yml") if play["hosts"] != "localhost"]
    reading = [play for play in found if play["name"] == "Read which hosts are held"]
    assert reading
    assert not [p["name"] for p in found if p not in reading and not p["hosts"].endswith(",!~^(llm_held|ungrouped)$")]


def test_nothing_is_computed_from_every_host_of_the_inventory() -> None:
    sources = [path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml")]
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources
        if re.search(r"groups(\.all\b|\[['\"]all['\"]\])", path.read_text(encoding="utf-8"))
    ]
    assert not wrong, f"the fleet is llm_fleet_hosts: {wrong}"


def test_the_address_of_a_listener_is_computed_in_one_place() -> None:
    """The filters ``reachable`` and ``authority`` implement the rule, with IPv6; no expression repeats it."""
    sources = [path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*") if path.is_file()]
    repeated = re.compile(
        r"""['"](?:0\.0\.0\.0|\[?::\]?)['"]|_listen\s*(?:~|\}\}:)|address\s*(?:~\s*['"]:|\}\}:)|https?://['"]\s*~"""
    )
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources
        if path.suffix in (".yml", ".j2")
        for line in path.read_text(encoding="utf-8").splitlines()
        if repeated.search(line)
    ]
    assert len(sources) > 100
    assert not wrong, "use the filters:\n" + "\n".join(wrong)


def sections(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary within a document, in depth."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from sections(inner)


def test_a_module_whose_messages_name_the_host_is_told_its_name_in_the_inventory() -> None:
    """Without the option ``host`` such a module gives the machine's own name, which may be in no inventory."""
    modules = {
        f"llmfleet.serving.{path.stem}"
        for path in (ROOT / "plugins" / "modules").glob("*.py")
        if re.search(r'^ *"host": ', path.read_text(encoding="utf-8"), re.M)
    }
    assert len(modules) > 10
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("playbooks", "roles")
        for path in sorted((ROOT / folder).rglob("*.yml"))
        for task in sections(yaml.safe_load(path.read_text(encoding="utf-8")))
        for name in modules & task.keys()
        if (task[name] or {}).get("host") != "{{ inventory_hostname }}"
    ]
    assert not wrong, f"without the option host: {wrong}"


@pytest.mark.parametrize("name", ["site", "machines"])
def test_the_inventory_is_checked_before_anything_is_touched(name: str) -> None:
    names = [play["name"] for play in plays(ROOT / "playbooks" / f"{name}.yml")]
    assert names.index("Check the inventory against the machines") < names.index("Prepare the machines")


def test_a_playbook_that_is_skipped_replaces_no_result() -> None:
    """A task that a condition of import_playbook skips registers a result without values in place of the former one."""
    replaced, conditional = [], 0
    for path in PLAYBOOKS:
        for play in yaml.safe_load(path.read_text(encoding="utf-8")):
            name = play.get("ansible.builtin.import_playbook") or play.get("import_playbook")
            if not name or "when" not in play:
                continue
            conditional += 1
            for skipped in plays(path.parent / name):
                tasks = [task for part in ("pre_tasks", "tasks", "post_tasks") for task in skipped.get(part, [])]
                registered = [task["register"] for task in imported(tasks, path.parent) if "register" in task]
                replaced += [f"{name}: {result}" for result in registered if not result.startswith("__")]
    assert conditional > 1
    assert replaced == []


def test_an_imported_role_is_not_validated_in_runs_with_other_tags() -> None:
    """Ansible always runs the validation of an imported role, also where what its arguments refer to is not set."""
    calls = []
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")]:
        calls += [(path, task) for task in imported(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent)]
    for path in PLAYBOOKS:
        calls += [(path, task) for play in plays(path) for task in imported(play.get("tasks", []), path.parent)]
    roles = [
        (path, task["ansible.builtin.import_role"]) for path, task in calls if "ansible.builtin.import_role" in task
    ]
    # Only a name of tasks without an extension is that of an argument spec.
    validated = [(path, role) for path, role in roles if "." not in role.get("tasks_from", "main")]
    assert len(validated) > 5
    for path, role in validated:
        assert role.get("rolespec_validate") is False, f"{path.relative_to(ROOT)}: {role['name']}"
