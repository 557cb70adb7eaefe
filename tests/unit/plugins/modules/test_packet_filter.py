# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules as the module loads them, with an nft that keeps what it is given. tests/egress has a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.modules import packet_filter
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import egress
from module_runner import run_module

# Chains are files in the folder; a file "broken" has the answer to every command.
NFT = """#!/bin/sh
cd {folder}
if [ -e broken ]; then cat broken >&2; exit 1; fi
case "$*" in
  "list tables") ;;
  "list table inet llmfleet_egress") [ -e table ] && for chain in chains/*; do echo "  chain ${{chain#*/}} {{"; done ;;
  "delete chain inet llmfleet_egress "*) rm "chains/$5" ;;
  "list chain inet llmfleet_egress "*) cat "chains/$5" ;;
  "delete table inet llmfleet_egress") rm -r table chains/* ;;
  "-c -f "*) if grep -s "broken rule" "$3"; then exit 1; fi ;;
  "-f "*) touch table; echo "$2" >>loads; name=$(basename "$2" .nft); cp "$2" "chains/$name" ;;
  *) echo "what is $*" >&2; exit 2 ;;
esac
"""
Run = Callable[..., "dict[str, Any]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "chains").mkdir()
    program = tmp_path / "nft"
    program.write_text(NFT.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda *_a, **_k: str(program) if program.exists() else None)

    def call(
        *, check: bool = False, state: str = "present", exclusive: str = "", **networks: list[str]
    ) -> dict[str, Any]:
        rules = []
        for user, given in networks.items():
            allowed = egress.networks(user, given) or []
            path = tmp_path / f"{user}.nft"
            path.write_text(egress.ruleset(user, allowed))
            rules.append({"name": user, "path": str(path), "digest": egress.digest(user, allowed)})
        given = {"rules": rules, "state": state, "_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path)}
        given |= {"exclusive": exclusive, "folder": str(tmp_path)}
        return run_module(packet_filter.main, given, monkeypatch, capsys)

    return call


def loads(folder: Path) -> int:
    return len((folder / "loads").read_text().splitlines()) if (folder / "loads").exists() else 0


def test_rules_are_loaded_once_and_again_when_they_change(run: Run, tmp_path: Path) -> None:
    would = run(check=True, web=["10.0.0.1"], api=[])
    assert (would["changed"], would["loaded"], loads(tmp_path)) == (True, ["web", "api"], 0)
    assert run(web=["10.0.0.1"], api=[])["loaded"] == ["web", "api"]
    again = run(web=["10.0.0.1"], api=[])
    assert (again["changed"], again["problem"], loads(tmp_path)) == (False, "", 2)
    assert run(web=["10.0.0.1", "10.0.0.2"], api=[])["loaded"] == ["web"]


def test_rules_that_somebody_flushed_are_loaded_again(run: Run, tmp_path: Path) -> None:
    run(web=[])
    (tmp_path / "chains" / "web").unlink()
    assert run(web=[])["loaded"] == ["web"]


def test_a_user_without_a_filter_has_no_chain(run: Run, tmp_path: Path) -> None:
    assert run(web=["any"])["changed"] is False
    run(web=[])
    assert run(web=["any"])["loaded"] == ["web"]
    assert "type filter" not in (tmp_path / "chains" / "web").read_text()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed: x", "cache init"),
        ("netlink: Error: cache initialization failed: Operation not permitted", "Operation not permitted"),
        ("", "it says nothing"),
    ],
)
def test_a_machine_without_nftables_is_told_and_nothing_fails(
    run: Run, tmp_path: Path, answer: str, words: str
) -> None:
    (tmp_path / "broken").write_text(answer)
    result = run(web=[])
    assert (result["changed"], result["loaded"]) == (False, [])
    assert words in result["problem"]


def test_rules_that_nftables_refuses_are_not_loaded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(web=[])
    monkeypatch.setattr(egress, "ruleset", lambda *_a: "broken rule")
    result = run(web=["10.0.0.1"])
    assert (result["changed"], result["loaded"], loads(tmp_path)) == (False, [], 1)
    assert result["problem"] == f"nft refuses {tmp_path}/web.nft (broken rule)"


def test_a_host_without_the_program_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nft").unlink()
    assert run(web=[])["problem"] == "nft cannot be used (nft is not installed)"
    assert run(state="absent")["changed"] is False
    would = run(check=True, web=[])
    assert (would["loaded"], would["problem"]) == (["web"], "")


def test_rules_of_services_that_are_gone_go_with_their_files(run: Run, tmp_path: Path) -> None:
    run(vllm=[], **{"vllm-a": [], "vllm-b": [], "vllmx": []}, web=[])
    # Nothing of it is loaded since the host started.
    (tmp_path / "vllm-c.nft").touch()
    gone = ["vllm", "vllm-b", "vllm-c"]
    would = run(check=True, exclusive="vllm-", **{"vllm-a": []})
    assert (would["changed"], would["deleted"], (tmp_path / "vllm-b.nft").exists()) == (True, gone, True)
    assert run(exclusive="vllm-", **{"vllm-a": []})["deleted"] == gone
    left = ["vllm-a", "vllmx", "web"]
    assert sorted(path.name for path in (tmp_path / "chains").iterdir()) == left
    assert sorted(path.stem for path in tmp_path.glob("*.nft")) == left
    assert run(exclusive="vllm-", **{"vllm-a": []})["changed"] is False


def test_removal_deletes_the_table_once(run: Run) -> None:
    run(web=[])
    assert run(state="absent", check=True)["changed"] is True
    assert run(state="absent")["changed"] is True
    assert run(state="absent")["changed"] is False
