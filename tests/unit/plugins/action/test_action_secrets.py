# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing import vault as ansible_vault
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.llmfleet.serving.plugins.action import fleet_secrets as action

OURS = "11111111-1111-4111-8111-111111111111"
THEIRS = "22222222-2222-4222-8222-222222222222"
NAMES = {"master_key": {"kind": "key"}, "admin_password": {}}
CANARY = "canary0canary0canary0"
VAULT_SECRETS = [("default", VaultSecret(b"vault password"))]

Call = Callable[..., "dict[str, Any]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".llm_secrets.yml"


@pytest.fixture
def call(path: Path) -> Call:
    def run(check_mode: bool = False, vault: Any = None, **args: Any) -> dict[str, Any]:
        loader = DataLoader()
        if vault:
            loader.set_vault_secrets(vault)
        task = SimpleNamespace(
            action="llmfleet.serving.fleet_secrets",
            args={"path": str(path), "names": NAMES, **args},
            async_val=0,
            check_mode=check_mode,
            diff=False,
            environment=[],
        )
        plugin = action.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
        return plugin.run(task_vars={})

    return run


def put(path: Path, values: dict[str, str], mode: int = 0o600, identity: str = OURS) -> None:
    path.write_text(yaml.safe_dump({"id": identity, "secrets": values}))
    path.chmod(mode)


def test_the_first_run_writes_and_the_second_reads(path: Path, call: Call) -> None:
    first = call()
    assert first["changed"]
    assert first["_ansible_no_log"]
    assert first["created"] == ["master_key", "admin_password"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {"id": first["id"], "secrets": first["secrets"]}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    second = call(fleet_ids=[first["id"]])
    assert not second["changed"]
    assert second["created"] == []
    assert second["secrets"] == first["secrets"]


def test_check_mode_writes_nothing(path: Path, call: Call) -> None:
    result = call(check_mode=True)
    assert result["changed"]
    assert result["secrets"]["master_key"].startswith("sk-")
    assert not path.exists()


def test_rotation_replaces_the_file_whole(path: Path, call: Call) -> None:
    put(path, {"master_key": CANARY, "admin_password": "stays-as-it-is"})
    result = call(rotate="master_key")
    assert result["changed"]
    assert result["created"] == ["master_key"]
    kept = yaml.safe_load(path.read_text())["secrets"]
    assert kept == {"master_key": result["secrets"]["master_key"], "admin_password": "stays-as-it-is"}
    assert CANARY not in path.read_text()


def test_values_of_keys_that_are_gone_are_removed_and_named(path: Path, call: Call) -> None:
    put(path, {"master_key": "sk-m", "admin_password": "a", "litellm_key_a": CANARY, "litellm_key_b": "sk-b"})
    for check_mode, changed, pruned in ((True, True, True), (False, True, True), (False, False, False)):
        result = call(check_mode, prune="litellm_key_", keep=["litellm_key_b"])
        assert (result["changed"], result["created"], result["unused"]) == (changed, [], [])
        assert result["pruned"] == (["litellm_key_a"] if pruned else [])
        assert (CANARY in path.read_text()) == check_mode
    assert set(yaml.safe_load(path.read_text())["secrets"]) == {"master_key", "admin_password", "litellm_key_b"}


def test_an_encrypted_file_is_not_pruned(path: Path, call: Call) -> None:
    vaulted(path, {"master_key": "sk-m", "admin_password": "x", "litellm_key_a": CANARY})
    before = path.read_bytes()
    result = call(vault=VAULT_SECRETS, prune="litellm_key_")
    assert (result["changed"], result["pruned"], result["unused"]) == (False, [], ["litellm_key_a"])
    assert path.read_bytes() == before


def test_a_link_stays_a_link(path: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path.symlink_to(tmp_path / "real" / "secrets.yml")
    call()
    assert path.is_symlink()
    assert (tmp_path / "real" / "secrets.yml").is_file()


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read(path: Path, call: Call, mode: int) -> None:
    put(path, {"master_key": CANARY}, mode)
    with pytest.raises(AnsibleActionFail, match=f"Run chmod 600 {re.escape(str(path))}") as failure:
        call()
    assert CANARY not in str(failure.value)


def test_a_fleet_with_other_secrets(path: Path, call: Call) -> None:
    with pytest.raises(AnsibleActionFail, match="llm_secrets_adopt=true"):
        call(fleet_ids=[THEIRS])
    assert not path.exists()
    assert call(fleet_ids=[THEIRS], adopt=True)["changed"]


def vaulted(path: Path, values: dict[str, str]) -> None:
    text = yaml.safe_dump({"id": OURS, "secrets": values})
    path.write_bytes(VaultLib(VAULT_SECRETS).encrypt(text))
    # An encrypted file may be readable: it is meant to be committed.
    path.chmod(0o644)


def test_an_encrypted_file_is_read(path: Path, call: Call) -> None:
    vaulted(path, {"master_key": CANARY, "admin_password": "x"})
    result = call(vault=VAULT_SECRETS)
    assert not result["changed"]
    assert result["secrets"] == {"master_key": CANARY, "admin_password": "x"}


def test_an_encrypted_file_that_lacks_a_name(path: Path, call: Call) -> None:
    vaulted(path, {"master_key": CANARY})
    before = path.read_bytes()
    with pytest.raises(AnsibleActionFail, match=r"secrets\.admin_password\. Add them: ansible-vault edit ") as failure:
        call(vault=VAULT_SECRETS)
    assert CANARY not in str(failure.value)
    assert path.read_bytes() == before


def test_an_encrypted_file_without_its_password(path: Path, call: Call) -> None:
    vaulted(path, {"master_key": CANARY})
    with pytest.raises(AnsibleActionFail, match="--ask-vault-pass"):
        call()


def test_a_single_encrypted_value_is_not_written_in_the_clear(
    path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such a value is decrypted with the passwords of the run, not of the loader.
    context = ansible_vault.VaultSecretsContext
    monkeypatch.setattr(context, "_current", context(VAULT_SECRETS))
    cipher = VaultLib(VAULT_SECRETS).encrypt(CANARY).decode().replace("\n", "\n      ")
    path.write_text(f"id: {OURS}\nsecrets:\n  master_key: !vault |\n      {cipher}\n")
    path.chmod(0o600)
    with pytest.raises(AnsibleActionFail, match="ansible-vault edit"):
        call(vault=VAULT_SECRETS)
    result = call(vault=VAULT_SECRETS, names={"master_key": {}})
    assert result["secrets"] == {"master_key": CANARY}
    monkeypatch.setattr(context, "_current", context([]))
    with pytest.raises(AnsibleActionFail, match="cannot be decrypted"):
        call()


@pytest.mark.parametrize("text", [f"secrets: [{CANARY}", f"{CANARY}", f"secrets: [{CANARY}]"])
def test_a_broken_file_is_not_quoted(path: Path, call: Call, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(AnsibleActionFail, match=re.escape(str(path))) as failure:
        call()
    assert CANARY not in str(failure.value)


def test_a_folder_in_the_place_of_the_file(path: Path, call: Call) -> None:
    path.mkdir()
    with pytest.raises(AnsibleActionFail, match="cannot be read: Is a directory"):
        call()


def test_a_folder_that_does_not_exist(path: Path, call: Call) -> None:
    with pytest.raises(AnsibleActionFail, match="Create it, or change path"):
        call(path=str(path / "none" / "file.yml"))


def test_a_disk_that_is_full(path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnsibleActionFail, match="cannot be written: No space left on device"):
        call()
    assert list(path.parent.iterdir()) == []


def test_parallel_runs_agree(call: Call) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _run: call(), range(8)))
    assert len({result["secrets"]["master_key"] for result in results}) == 1
    assert [result["changed"] for result in results].count(True) == 1


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Read the secrets
      llmfleet.serving.fleet_secrets:
        path: "{{ inventory_dir }}/.llm_secrets.yml"
        names:
          master_key: {kind: key}
          theirs: {given: "{{ theirs }}"}
        fleet_ids: "{{ fleet_ids | default([]) }}"
        rotate: "{{ llm_rotate | default([]) }}"
      run_once: true
      register: llm_secrets
    - name: Assert that every host has them
      ansible.builtin.assert:
        that:
          - llm_secrets.secrets.master_key is match('sk-')
          - llm_secrets.secrets.theirs == theirs
          - llm_secrets.secrets | length == 2
      no_log: true
"""


def test_a_playbook_shows_the_remedy_and_no_secret(tmp_path: Path) -> None:
    collections = Path(action.__file__).absolute().parents[5]
    cipher = VaultLib(VAULT_SECRETS).encrypt(CANARY).decode().replace("\n", "\n  ")
    (tmp_path / "hosts.ini").write_text("[all]\none ansible_connection=local\ntwo ansible_connection=local\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(f"theirs: !vault |\n  {cipher}\n")
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "password").write_text("vault password")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
    }

    def play(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.ini", "play.yml", "-vvv", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    first, second, rotated = play("--diff"), play(), play("-e", "llm_rotate=master_key")
    refused = play("-e", f'{{"fleet_ids": ["{THEIRS}"]}}')
    for run, code, changed in ((first, 0, 1), (second, 0, 0), (rotated, 0, 1)):
        assert run.returncode == code, run.stdout + run.stderr
        assert f"changed={changed}" in run.stdout
    assert refused.returncode == 2
    assert "llm_secrets_adopt=true" in refused.stdout + refused.stderr
    kept = yaml.safe_load((tmp_path / ".llm_secrets.yml").read_text())["secrets"]
    assert list(kept) == ["master_key"]
    shown = "".join(run.stdout + run.stderr for run in (first, second, rotated, refused))
    assert CANARY not in shown
    assert "sk-" not in shown.replace("'sk-'", "")
    assert kept["master_key"] not in shown
