# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tarball installed into an empty folder is the checkout: same files, same tasks, same variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_files import defaults as role_defaults

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORY = ROOT / "inventories" / "local"
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
# One asks the control node alone about the groups; the others take the lock before everything and return it at last.
WITHOUT_ROLE = {"Check the groups of the inventory", "Lock the hosts for this run", "Unlock the hosts"}
# What a user's installation is made of.
WANTED = ("playbooks", "plugins", "roles", "group_vars", "meta", "LICENSE", "README.md", "site.yml")
SECRETS = (".llm_secrets", "vault_pass")


def run(command: list[str], cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    result = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={
            **clean,
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONHASHSEED": "0",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(command)} in {cwd} exits {result.returncode}:\n{result.stdout}"
    return result.stdout


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where a user builds it: in the working tree, with everything that lies about there."""
    output = tmp_path_factory.mktemp("tarball")
    decoy = INVENTORY / ".llm_secrets.yml.decoy"
    decoy.touch()
    try:
        run(["ansible-galaxy", "collection", "build", "--output-path", str(output)], cwd=ROOT)
    finally:
        decoy.unlink()
    return next(output.glob("llmfleet-serving-*.tar.gz"))


@pytest.fixture(scope="session")
def elsewhere(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the collection installed into it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(
        ["ansible-galaxy", "collection", "install", "--offline", "-p", str(folder / "collections"), str(tarball)],
        cwd=folder,
        ANSIBLE_COLLECTIONS_PATH=str(folder / "collections"),
    )
    return folder


def in_checkout(*arguments: str, **environment: str) -> str:
    return run(["ansible-playbook", *arguments], cwd=ROOT, **environment)


def in_elsewhere(folder: Path, *arguments: str, **environment: str) -> str:
    return run(
        ["ansible-playbook", *arguments],
        cwd=folder,
        ANSIBLE_COLLECTIONS_PATH=str(folder / "collections"),
        **environment,
    )


def test_tarball_holds_only_what_git_knows(tarball: Path) -> None:
    known = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    with tarfile.open(tarball) as archive:
        packed = {member.name for member in archive if not member.isdir()} - {"MANIFEST.json", "FILES.json"}
    assert not packed - set(known.stdout.splitlines())
    assert not [name for name in packed if any(word in name for word in SECRETS)]


def test_tarball_holds_everything_that_runs(tarball: Path) -> None:
    known = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *WANTED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    with tarfile.open(tarball) as archive:
        packed = set(archive.getnames())
    assert not {name for name in known.stdout.splitlines() if (ROOT / name).exists()} - packed


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_both_list_the_same_tasks(elsewhere: Path, name: str) -> None:
    def tasks(text: str) -> list[str]:
        return [line.rstrip() for line in text.splitlines() if not line.startswith("playbook: ")]

    ours = tasks(in_checkout(f"playbooks/{name}.yml", "-i", str(INVENTORY), "--list-tasks"))
    theirs = tasks(in_elsewhere(elsewhere, f"llmfleet.serving.{name}", "-i", str(INVENTORY), "--list-tasks"))
    assert len(ours) > 3
    assert ours == theirs


def dumped(path: Path) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = json.loads(path.read_text())
    return plays


def test_both_see_the_same_variables(elsewhere: Path, tmp_path: Path) -> None:
    """Every play starts, no task runs, and a callback writes what roles and group_vars bring to each host."""
    options = ["-i", str(INVENTORY), "--tags", "nothing", "--skip-tags", "always"]
    environment = {
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "dump_variables",
    }
    seen = {}
    for name, call in {
        "site.yml": lambda **env: in_checkout("site.yml", *options, **env),
        "playbooks/site.yml": lambda **env: in_checkout("playbooks/site.yml", *options, **env),
        "llmfleet.serving.site": lambda **env: in_elsewhere(elsewhere, "llmfleet.serving.site", *options, **env),
    }.items():
        output = tmp_path / "variables.json"
        call(DUMP_VARIABLES_TO=str(output), **environment)
        seen[name] = dumped(output)
    plays = seen["site.yml"]
    shipped = {name for path in (ROOT / "group_vars").rglob("*.yml") for name in yaml.safe_load(path.read_text())}
    defaults = set(role_defaults("fleet_defaults"))
    for play in plays:
        for host, variables in play["hosts"].items():
            assert not shipped - set(variables), f"{play['play']}, {host}: group_vars are not loaded"
            if play["play"] not in WITHOUT_ROLE:
                assert not defaults - set(variables), f"{play['play']}, {host}: fleet_defaults is not loaded"
    assert seen["playbooks/site.yml"] == plays
    assert seen["llmfleet.serving.site"] == plays


def test_the_installed_collection_knows_its_version(elsewhere: Path) -> None:
    stated = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    message = "msg={{ lookup('llmfleet.serving.collection_version') }}"
    said = run(
        ["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", message],
        cwd=elsewhere,
        ANSIBLE_COLLECTIONS_PATH=str(elsewhere / "collections"),
    )
    assert stated in said


def test_a_playbook_of_ones_own_may_import_the_collection(elsewhere: Path, tmp_path: Path) -> None:
    """Users keep a repository with their inventory and a playbook that imports ours."""
    (tmp_path / "mine.yml").write_text("- name: Ours\n  import_playbook: llmfleet.serving.site\n")
    output = tmp_path / "variables.json"
    run(
        ["ansible-playbook", "mine.yml", "-i", str(INVENTORY), "--tags", "nothing", "--skip-tags", "always"],
        cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=str(elsewhere / "collections"),
        ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).parent / "callback_plugins"),
        ANSIBLE_CALLBACKS_ENABLED="dump_variables",
        DUMP_VARIABLES_TO=str(output),
    )
    assert all("llm_catalog" in variables for play in dumped(output) for variables in play["hosts"].values())
