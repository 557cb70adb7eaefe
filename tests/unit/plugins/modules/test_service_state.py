# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module makes a service manager do, with one that keeps its services in memory and notes every wish."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.modules import service_state
from module_runner import run_module

Run = Callable[..., "dict[str, Any]"]


class Manager:
    """Stands in for systemd and supervisor; definitions are files in a folder of the test."""

    folder: Path
    running: set[str]
    wishes: list[str]

    def __init__(self, **_options: Any) -> None:
        pass

    def states(self, names: list[str]) -> dict[str, str]:
        return {name: logic.RUNNING if name in self.running else logic.UNKNOWN for name in names}

    def incarnation(self, name: str) -> str:
        return name

    def definition_files(self, name: str) -> list[str]:
        return [f"{self.folder}/{name}.unit"]

    def pattern(self) -> str:
        return self.definition_files("*")[0]

    def leftovers(self, names: list[str]) -> list[str]:
        return [path for name in names for path in self.definition_files(name)]

    def prepare(self, names: list[str]) -> None:
        for name in names:
            Path(*self.definition_files(name)).read_text()
        self.wishes.append(f"prepare {' '.join(names)}")

    def act(self, name: str, action: str, reload_signal: str) -> None:
        self.wishes.append(f"{action} {name}")
        self.running.add(name)

    def stop(self, names: list[str]) -> None:
        self.wishes += [f"stop {name}" for name in names]
        self.running.difference_update(names)

    def forget(self) -> None:
        self.wishes.append("forget")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Manager]:
    """Two engines and a gateway run."""
    Manager.folder, Manager.running, Manager.wishes = tmp_path, {"vllm-a", "vllm-b", "litellm"}, []
    for name in Manager.running:
        (tmp_path / f"{name}.unit").write_text(name)
        (tmp_path / "etc" / name).mkdir(parents=True)
        (tmp_path / "etc" / name / "secrets.env").write_text("KEY=sk-unit\n")
    monkeypatch.setattr(service_state, "Systemd", Manager)
    return Manager


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*names: str, check: bool = False, exclusive: str = "vllm-") -> dict[str, Any]:
        for name in names:
            (tmp_path / f"{name}.unit").write_text(name)
        args = {
            "manager": "systemd",
            "services": [{"name": name, "command": "/bin/true", "ready": {"deadline": 5}} for name in names],
            "exclusive": exclusive,
            "config_root": str(tmp_path / "etc"),
            "state_root": str(tmp_path),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path),
        }
        return run_module(service_state.main, args, monkeypatch, capsys)

    return call


def configured(manager: type[Manager]) -> set[str]:
    return {path.name for path in (manager.folder / "etc").iterdir()}


def test_what_is_wanted_no_more_makes_room_before_anything_starts(manager: type[Manager], run: Run) -> None:
    result = run("vllm-a", "vllm-c")
    assert result["actions"] == {"vllm-a": "restart", "vllm-b": "remove", "vllm-c": "start"}
    assert manager.wishes == ["stop vllm-b", "forget", "prepare vllm-a vllm-c", "restart vllm-a", "start vllm-c"]
    assert not (manager.folder / "vllm-b.unit").exists()
    assert (manager.folder / "litellm.unit").exists()
    assert configured(manager) == {"vllm-a", "litellm"}
    manager.wishes.clear()
    assert run("vllm-a", "vllm-c")["changed"] is False
    assert manager.wishes == []


def test_check_mode_says_it_and_changes_nothing(manager: type[Manager], run: Run) -> None:
    result = run("vllm-a", check=True)
    assert result["actions"]["vllm-b"] == "remove"
    assert result["changed"] is True
    assert "llm-vllm-b: remove" in result["diff"]["after"]
    assert manager.wishes == []
    assert (manager.folder / "vllm-b.unit").exists()
    assert configured(manager) == {"vllm-a", "vllm-b", "litellm"}


def test_secrets_that_a_run_cut_short_left_behind_go_with_the_next(manager: type[Manager], run: Run) -> None:
    (manager.folder / "vllm-b.unit").unlink()
    manager.running.discard("vllm-b")
    assert run("vllm-a")["actions"] == {"vllm-a": "restart", "vllm-b": "remove"}
    assert manager.wishes == ["prepare vllm-a", "restart vllm-a"]
    assert configured(manager) == {"vllm-a", "litellm"}
    assert run("vllm-a")["changed"] is False


def test_a_host_with_nothing_left_to_serve(manager: type[Manager], run: Run) -> None:
    assert run()["actions"] == {"vllm-a": "remove", "vllm-b": "remove"}
    assert manager.running == {"litellm"}
    assert configured(manager) == {"litellm"}


def test_without_a_beginning_nobody_else_is_touched(manager: type[Manager], run: Run) -> None:
    assert set(run("vllm-a", exclusive="")["actions"]) == {"vllm-a"}
    assert manager.running == {"vllm-a", "vllm-b", "litellm"}
    assert configured(manager) == {"vllm-a", "vllm-b", "litellm"}
