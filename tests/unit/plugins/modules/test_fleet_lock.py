# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The lock of a host: who gets it, what those who do not are told, and how it changes hands."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.llmfleet.serving.plugins.action import fleet_lock as action
from ansible_collections.llmfleet.serving.plugins.module_utils.service import run_lock
from ansible_collections.llmfleet.serving.plugins.modules import fleet_lock
from module_runner import documented_options, run_apart, run_module

NOW = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.timezone.utc)
ANN = {"id": "aa", "playbook": "site.yml", "user": "ann", "control_host": "ops1", "place": "p", "pid": 7}
BOB = {"id": "bb", "playbook": "rollout.yml", "user": "bob", "control_host": "ops2", "place": "p", "pid": 8}


def lock(run: dict[str, Any], seconds: int = 0, **more: Any) -> dict[str, Any]:
    renewed = (NOW - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**run_lock.taken(run, "step 2, replace chat-0", renewed), **more}


@pytest.mark.parametrize(
    ("found", "ended", "take_over", "outcome"),
    [
        (None, False, "", run_lock.FREE),
        (lock(BOB), False, "", run_lock.MINE),
        (lock(ANN), False, "", run_lock.HELD),
        (lock(ANN), True, "", run_lock.TAKEN_OVER),
        (lock(ANN, 599), False, "aa", run_lock.HELD),
        (lock(ANN, 600), False, "aa", run_lock.TAKEN_OVER),
        (lock(ANN, 9000), False, "", run_lock.HELD),
        (lock(ANN, 9000), False, "cc", run_lock.HELD),
        ({"id": "unknown"}, False, "", run_lock.HELD),
        ({"id": "unknown"}, False, "unknown", run_lock.TAKEN_OVER),
    ],
)
def test_who_gets_it(found: dict[str, Any] | None, ended: bool, take_over: str, outcome: str) -> None:
    assert run_lock.judge(found, BOB, ended, take_over, NOW).outcome == outcome


def test_one_who_is_refused_is_told_everything() -> None:
    text = run_lock.judge(lock(ANN, 30), BOB, False, "cc", NOW).text
    for part in (
        "site.yml of ann on ops1 (run aa, pid 7, since 2026-05-01T11:59:30Z)",
        "at: step 2, replace chat-0",
        "-e llm_take_over=aa",
        "accepted in 10 minutes",
        "heard of 30 s ago",
        "names cc",
    ):
        assert part in text, text
    assert "accepted in" not in run_lock.judge(lock(ANN, 700), BOB, False, "", NOW).text


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(who: dict[str, Any], **args: Any) -> dict[str, Any]:
        given = {"run": who, "state_root": f"{tmp_path}/state", "host": "gpu1", "_ansible_remote_tmp": str(tmp_path)}
        return run_module(fleet_lock.main, {**given, **args}, monkeypatch, capsys)

    return run


def test_it_is_taken_renewed_and_released(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "state" / "run.json"
    assert call(ANN, _ansible_check_mode=True)["changed"] is True
    assert not path.exists()
    assert call(ANN)["outcome"] == run_lock.FREE
    assert path.stat().st_mode & 0o777 == 0o600
    assert call(ANN)["changed"] is False
    assert call(ANN, state="renewed", step="step 2")["changed"] is True
    assert json.loads(path.read_text())["step"] == "step 2"
    refused = call(BOB)
    assert refused["msg"].startswith("gpu1: site.yml of ann on ops1")
    assert "at: step 2" in refused["msg"]
    # Nobody gives back or renews what another holds.
    assert call(BOB, state="released")["changed"] is False
    assert "does not hold the lock" in call(BOB, state="renewed")["msg"]
    assert call(ANN, state="released", _ansible_check_mode=True)["changed"] is True
    assert path.exists()
    assert call(ANN, state="released")["changed"] is True
    # A host on which a run did nothing has nothing of it.
    assert not (tmp_path / "state").exists()
    assert call(ANN, state="released")["changed"] is False


def test_what_others_have_beside_the_lock_stays(call: Any, tmp_path: Path) -> None:
    call(ANN)
    (tmp_path / "state" / "vllm-chat-0").mkdir()
    call(ANN, state="released")
    assert [one.name for one in (tmp_path / "state").iterdir()] == ["vllm-chat-0"]
    assert "it is gone" in call(ANN, state="renewed")["msg"]


def test_it_is_taken_over(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "state" / "run.json"
    call(ANN)
    assert call(BOB, ended="cc")["failed"]
    assert call(BOB, ended="aa")["outcome"] == run_lock.TAKEN_OVER
    path.write_text(json.dumps({**json.loads(path.read_text()), "renewed": "2020-01-01T00:00:00Z"}))
    assert call(ANN)["failed"]
    assert call(ANN, take_over="bb")["outcome"] == run_lock.TAKEN_OVER
    path.write_text("{ cut")
    assert "llm_take_over=unknown" in call(ANN)["msg"]
    assert call(ANN, take_over="unknown")["changed"] is True


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    def attempt(number: int) -> bool:
        run = {**ANN, "id": str(number)}
        return not run_apart("fleet_lock", {"run": run, "state_root": str(tmp_path)}).get("failed")

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_process_of_a_run_is_known_while_it_lives() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        here = {"control_host": platform.node(), "place": action.place(), "pid": process.pid}
        identity = action.identity(process.pid)
        assert identity
        assert action.identity(process.pid) == identity
        assert not action.has_ended({**here, "id": identity})
        # The same number is another process now.
        assert action.has_ended({**here, "id": "earlier"})
        assert not action.has_ended({**here, "control_host": "other", "id": "earlier"})
        assert not action.has_ended({**here, "place": "other", "id": "earlier"})
        process.kill()
    assert action.has_ended({**here, "id": identity})
    assert not action.has_ended({"id": "unknown"})


def test_without_proc_the_processes_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action.os.path, "isdir", lambda _path: False)
    monkeypatch.setattr(action, "PS", ("echo",))
    assert action.began(1) == "1"
    monkeypatch.setattr(action, "PS", ("/nonexistent",))
    assert action.began(1) == ""


def test_the_action_says_who_runs_what_and_asks_again_for_a_run_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    holder = {"id": "gone", "control_host": platform.node(), "place": action.place(), "pid": 2**22 + 1}

    def module(_self: Any, name: str, arguments: dict[str, Any], task_vars: Any = None) -> dict[str, Any]:
        asked.append(arguments)
        return (
            {"outcome": "taken over"} if "ended" in arguments else {"failed": True, "outcome": "held", "holder": holder}
        )

    monkeypatch.setattr(action.ActionModule, "_execute_module", module)
    monkeypatch.setattr(action.context, "CLIARGS", {"args": ("playbooks/site.yml",)})
    monkeypatch.setenv("SUDO_USER", "ann")
    task = SimpleNamespace(
        action="fleet_lock", args={"host": "gpu1"}, async_val=0, check_mode=False, diff=False, environment=[]
    )
    plugin = action.ActionModule(task, MagicMock(), MagicMock(), DataLoader(), MagicMock(), MagicMock())
    assert plugin.run(task_vars={})["outcome"] == "taken over"
    assert asked[1]["ended"] == "gone"
    run = asked[0]["run"]
    assert (run["playbook"], run["user"], run["pid"]) == ("site.yml", "ann", os.getppid())
    assert run["id"] == action.identity(os.getppid())
    assert set(run) == set(run_lock.RUN)


def test_who_runs_it_has_a_name_or_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)

    def unknown() -> str:
        raise KeyError("uid")

    monkeypatch.setattr(action.getpass, "getuser", unknown)
    assert action.user() == str(os.getuid())


def test_documented_options_are_those_of_the_module() -> None:
    assert {"state", "step", "take_over", "run", "ended"} <= set(documented_options(fleet_lock))
