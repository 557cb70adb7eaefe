# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module makes a service manager do, with one that keeps its services in memory and notes every wish."""

from __future__ import annotations

import http.server
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import ownership
from ansible_collections.llmfleet.serving.plugins.module_utils.host.ownership import Owner
from ansible_collections.llmfleet.serving.plugins.module_utils.service import readiness
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.modules import service_state
from local_server import serving, use_tls, write_certificate
from module_runner import run_module

Run = Callable[..., "dict[str, Any]"]


class Manager:
    """Stands in for systemd and supervisor; definitions are files in a folder of the test."""

    folder: Path
    running: set[str]
    wishes: list[str]
    unread: bool = False

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

    def stale(self, names: list[str]) -> bool:
        return self.unread

    def prepare(self, names: list[str]) -> None:
        Manager.unread = False
        for name in names:
            Path(*self.definition_files(name)).read_text()
        self.wishes.append(f"prepare {' '.join(names)}")

    def act(self, name: str, action: str, reload_signal: str) -> None:
        self.wishes.append(f"{action} {name}")
        self.running.add(name)

    def disable(self, names: list[str]) -> None:
        self.wishes += [f"stop {name}" for name in names]
        self.running.difference_update(names)

    def stop(self, names: list[str]) -> None:
        self.disable(names)

    def forget(self, names: list[str]) -> None:
        self.wishes.append(f"forget {' '.join(names)}")


def unit(name: str) -> str:
    return f"[Unit]\nDescription={name}\n{logic.MARK}\n"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Manager]:
    """Two engines and a gateway run."""
    Manager.folder, Manager.running, Manager.wishes = tmp_path, {"vllm-a", "vllm-b", "litellm"}, []
    Manager.unread = False
    for name in Manager.running:
        (tmp_path / f"{name}.unit").write_text(unit(name))
        (tmp_path / "etc" / name).mkdir(parents=True)
        (tmp_path / "etc" / name / "secrets.env").write_text("KEY=sk-unit\n")
    monkeypatch.setattr(service_state, "Systemd", Manager)
    # What a test puts in its place ends with the test.
    monkeypatch.setattr(Manager, "definition_files", Manager.definition_files)
    return Manager


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(
        *names: str,
        check: bool = False,
        exclusive: str = "vllm-",
        state: str = "started",
        more: dict[str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        for name in names:
            (tmp_path / f"{name}.unit").write_text(unit(name))
        args = {
            "manager": "systemd",
            "services": [
                {"name": name, "command": "/bin/true", "ready": {"deadline": 5}, **(more or {}).get(name, {})}
                for name in names
            ],
            "exclusive": exclusive,
            "state": state,
            "config_root": str(tmp_path / "etc"),
            "state_root": str(tmp_path),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path),
            **options,
        }
        return run_module(service_state.main, args, monkeypatch, capsys)

    return call


def configured(manager: type[Manager]) -> set[str]:
    return {path.name for path in (manager.folder / "etc").iterdir()}


def test_what_is_wanted_no_more_makes_room_before_anything_starts(manager: type[Manager], run: Run) -> None:
    result = run("vllm-a", "vllm-c")
    assert result["actions"] == {"vllm-a": "restart", "vllm-b": "remove", "vllm-c": "start"}
    assert manager.wishes == ["stop vllm-b", "forget vllm-b", "prepare vllm-a vllm-c", "restart vllm-a", "start vllm-c"]
    assert not (manager.folder / "vllm-b.unit").exists()
    assert (manager.folder / "litellm.unit").exists()
    assert configured(manager) == {"vllm-a", "litellm"}
    manager.wishes.clear()
    assert run("vllm-a", "vllm-c")["changed"] is False
    assert manager.wishes == []


def test_a_changed_filter_is_read_and_restarts_nothing(manager: type[Manager], run: Run) -> None:
    run("vllm-a", "vllm-b")
    manager.wishes.clear()
    Manager.unread = True
    result = run("vllm-a", "vllm-b", check=True)
    assert (result["changed"], manager.wishes) == (True, [])
    result = run("vllm-a", "vllm-b")
    assert result["actions"] == {"vllm-a": "none", "vllm-b": "none"}
    assert manager.wishes == ["prepare vllm-a vllm-b"]
    assert "read changed settings" in result["diff"]["after"]
    assert run("vllm-a", "vllm-b")["changed"] is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_is_handed_over_when_its_service_restarts_and_not_before(
    manager: type[Manager], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = {"llm-vllm-a": Owner(54321, 54321), "llm-vllm-b": Owner(54322, 54322)}
    monkeypatch.setattr(ownership, "of_account", accounts.get)
    states = [manager.folder / "lib" / name for name in ("vllm-a", "vllm-b")]
    for folder in states:
        (folder / "cache").mkdir(parents=True)
        for path in (folder, folder / "cache"):
            os.chown(path, 54300, 54300)
    owned = {f"vllm-{name}": {"user": f"llm-vllm-{name}", "state_dir": str(states["ab".index(name)])} for name in "ab"}
    result = run("vllm-a", "vllm-b", check=True, more=owned)
    assert (result["changed"], result["handed_over"]) == (True, [str(folder) for folder in states])
    assert f"{states[0]}: handed over" in result["diff"]["after"]
    seen = []

    def act(self: Manager, name: str, action: str, signal: str) -> None:
        seen.append([ownership.of_path(str(folder / "cache")) for folder in states])

    with monkeypatch.context() as patch:
        patch.setattr(Manager, "act", act)
        assert run("vllm-a", "vllm-b", more=owned)["handed_over"] == [str(folder) for folder in states]
    assert seen == [[accounts["llm-vllm-a"], Owner(54300, 54300)], list(accounts.values())]
    assert [ownership.of_path(str(folder)) for folder in states] == list(accounts.values())
    assert run("vllm-a", "vllm-b", more=owned)["changed"] is False
    # Somebody else's hand is put right without a restart.
    os.chown(states[0], 54300, 54300)
    assert run("vllm-a", "vllm-b", more=owned)["actions"] == {"vllm-a": "none", "vllm-b": "none"}
    assert ownership.of_path(str(states[0])) == accounts["llm-vllm-a"]


def test_a_user_that_the_host_lacks_is_named(manager: type[Manager], run: Run) -> None:
    result = run("vllm-a", more={"vllm-a": {"user": "llm-nobody-yet", "state_dir": str(manager.folder)}})
    assert result["failed"]
    assert 'services[vllm-a].user is "llm-nobody-yet": the host has no such user and group' in result["msg"]
    assert "restart vllm-a" not in manager.wishes


def test_removal_takes_the_directory_of_settings_unless_somebody_uses_it(
    manager: type[Manager], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [manager.folder / f"{name}.d" for name in ("vllm-a", "vllm-b")]
    for folder in folders:
        folder.mkdir()
        (folder / "ours.conf").write_text("[Service]\n")
    (folders[1] / "own.conf").write_text("[Service]\n")
    files = [str(path) for folder in folders for path in (folder / "ours.conf", folder)]
    monkeypatch.setattr(Manager, "leftovers", lambda *_: files)
    run(state="absent")
    assert not folders[0].exists()
    assert [path.name for path in folders[1].iterdir()] == ["own.conf"]


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


def test_the_next_is_taken_down_when_the_last_is_ready_again(manager: type[Manager], run: Run) -> None:
    down: list[int] = []

    def act(self: Manager, name: str, action: str, _signal: str) -> None:
        self.wishes.append(f"{action} {name}")
        self.running.discard(name)
        down.append(len({"vllm-a", "vllm-b"} - self.running))

    def states(self: Manager, names: list[str]) -> dict[str, str]:
        found = {name: logic.RUNNING if name in self.running else logic.STARTING for name in names}
        # It is up when it is looked at again.
        self.running.update(names)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manager, "act", act)
        patch.setattr(Manager, "states", states)
        assert run("vllm-a", "vllm-b")["actions"] == {"vllm-a": "restart", "vllm-b": "restart"}
    assert manager.wishes[-2:] == ["restart vllm-a", "restart vllm-b"]
    assert down == [1, 1]


def test_one_that_does_not_come_back_is_the_only_one_taken_down(manager: type[Manager], run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manager, "act", lambda self, name, action, _signal: self.running.discard(name))
        patch.setattr(Manager, "log_tail", lambda *_: "", raising=False)
        patch.setattr(Manager, "log_command", lambda *_: "journalctl", raising=False)
        patch.setattr(service_state.service_wait, "SETTLES", 0.1)
        result = run("vllm-a", "vllm-b")
    assert "llm-vllm-a on" in result["msg"]
    assert "its manager gave up" in result["msg"]
    assert manager.running == {"vllm-b", "litellm"}


@pytest.mark.parametrize("state", ["absent", "stopped"])
def test_units_of_others_stay(manager: type[Manager], run: Run, state: str) -> None:
    (manager.folder / "other.unit").write_text("[Unit]\nDescription=X-LLMFleet=1 is not in this line alone\n")
    (manager.folder / "masked.unit").symlink_to("/does/not/exist")
    manager.running |= {"other", "masked"}
    run(state=state)
    assert manager.running == {"other", "masked"}
    assert (manager.folder / "other.unit").exists()
    assert (manager.folder / "masked.unit").is_symlink()
    assert (manager.folder / "litellm.unit").exists() is (state == "stopped")


def test_an_engine_of_others_is_none_of_ours_that_went(manager: type[Manager], run: Run) -> None:
    (manager.folder / "vllm-other.unit").write_text("[Service]\nExecStart=/opt/other/vllm\n")
    manager.running.add("vllm-other")
    assert "vllm-other" not in run("vllm-a")["actions"]
    assert manager.running == {"vllm-a", "vllm-other", "litellm"}


@pytest.mark.parametrize("line", ["EnvironmentFile={}/secrets.env", "ExecStart={}/run", "command={}/run"])
def test_units_of_an_earlier_version_go_too(manager: type[Manager], run: Run, line: str) -> None:
    (manager.folder / "vllm-b.unit").write_text(line.format(manager.folder / "etc" / "vllm-b"))
    (manager.folder / "litellm.unit").write_text(line.format(manager.folder / "etc" / "another"))
    run(state="absent")
    assert manager.running == {"litellm"}


class Door(http.server.BaseHTTPRequestHandler):
    """Answers 503 twice, then 200, to whoever brings the header."""

    busy = 2

    def do_GET(self) -> None:
        Door.busy -= 1
        self.send_response(503 if Door.busy >= 0 or self.headers["X-Probe"] != "1" else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server on loopback, and the certificate that it is trusted by."""
    file = write_certificate(tmp_path / "tls.pem", "loopback")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    use_tls(server, file)
    Door.busy = 2
    with serving(server) as address:
        yield f"https://{address}/health", file


def test_busy_then_ready_behind_tls(door: tuple[str, Path]) -> None:
    url, ca = door
    ready: dict[str, Any] = {"url": url, "ca": str(ca), "headers": {"X-Probe": 1}, "status": [200], "body": ""}
    assert [readiness.answers(ready) for _ in range(3)] == [f"{url} answers 503"] * 2 + [""]
    assert "certificate" in readiness.answers({**ready, "ca": None}).lower()
    assert readiness.answers({**ready, "headers": {}, "status": [503]}) == ""


def test_nobody_at_the_door() -> None:
    ready: dict[str, Any] = {"url": "http://127.0.0.1:1/", "ca": None, "headers": {}, "status": [200], "body": ""}
    assert "does not answer (" in readiness.answers(ready)


def test_another_order_of_starts_restarts_nothing(manager: type[Manager], run: Run, tmp_path: Path) -> None:
    manager.definition_files = lambda _self, name: [f"{tmp_path}/{name}.service"]  # type: ignore[method-assign]
    definition = tmp_path / "vllm-a.service"

    def actions(text: str) -> dict[str, str]:
        definition.write_text(text)
        return dict(run("vllm-a", exclusive="")["actions"])

    assert actions("[Unit]\nAfter=network.target\n[Service]\nUser=a\n") == {"vllm-a": "restart"}
    assert actions("[Unit]\nAfter=network.target llm-vllm-b.service\n[Service]\nUser=a\n") == {"vllm-a": "none"}
    assert actions("[Unit]\nAfter=network.target\n[Service]\nUser=b\n") == {"vllm-a": "restart"}


def test_what_an_earlier_version_recorded_is_recorded_anew(manager: type[Manager], run: Run, tmp_path: Path) -> None:
    manager.definition_files = lambda _self, name: [f"{tmp_path}/{name}.service"]  # type: ignore[method-assign]
    definition, marker = tmp_path / "vllm-a.service", tmp_path / ".started" / "vllm-a"
    definition.write_text("[Unit]\nAfter=network.target\n[Service]\nUser=a\n")
    run("vllm-a", exclusive="")
    recorded = json.loads(marker.read_text())
    assert recorded["restart"] != recorded["whole"]
    marker.write_text(json.dumps({"restart": recorded["whole"], "reload": recorded["reload"]}))
    before = marker.read_text()
    assert run("vllm-a", exclusive="", check=True)["actions"] == {"vllm-a": "none"}
    assert marker.read_text() == before
    assert not run("vllm-a", exclusive="")["changed"]
    assert json.loads(marker.read_text()) == recorded
    definition.write_text("[Unit]\nAfter=network.target other.service\n[Service]\nUser=a\n")
    assert run("vllm-a", exclusive="")["actions"] == {"vllm-a": "none"}


class Loaded(http.server.BaseHTTPRequestHandler):
    """Answers with the configuration that it was loaded from."""

    configuration = "one"
    reads = True
    """Whether it takes a new configuration at the second request after a reload, as new workers do; else never."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"configuration {Loaded.configuration}".encode())
        Loaded.configuration = "two" if Loaded.reads else Loaded.configuration

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("reads", [True, False])
def test_a_reload_is_done_when_the_new_configuration_answers(
    manager: type[Manager], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    Loaded.configuration, Loaded.reads = "one", reads
    monkeypatch.setattr(Manager, "log_tail", lambda *_: "[emerg] unknown directive", raising=False)
    monkeypatch.setattr(Manager, "log_command", lambda *_: "journalctl", raising=False)
    file = tmp_path / "app.conf"
    file.write_text("one")
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loaded)) as address:
        url = f"http://{address}/"
        own = {"reload_files": [str(file)], "reload_signal": "HUP"}
        kept = {"url": url, "body": "", "deadline": 1}
        run("app", exclusive="", more={"app": {**own, "ready": kept}})
        Loaded.configuration = "one"
        file.write_text("two")
        more = {"app": {**own, "ready": {**kept, "body": "two"}}}
        result = run("app", exclusive="", more=more)
        again = run("app", exclusive="", more=more)
    if reads:
        assert result["actions"] == {"app": "reload"}
        assert not again["changed"]
        return
    assert f"{url} answers 200 without 'two'" in result["msg"]
    assert f"ready means: {url} answers with 'two' within 1 s" in result["msg"]
    assert "[emerg] unknown directive" in result["msg"]
    assert again["msg"] == result["msg"], "what was not in force is not taken for done by the next run"
    assert manager.wishes.count("reload app") == 2


def test_what_may_only_be_reloaded_restarts_with_the_next_run(manager: type[Manager], run: Run, tmp_path: Path) -> None:
    file = tmp_path / "app.conf"
    file.write_text("one")
    more = {"app": {"reload_files": [str(file)], "reload_signal": "HUP"}}
    run("app", exclusive="", more=more)
    manager.definition_files = lambda _self, name: [f"{tmp_path}/{name}.service"]  # type: ignore[method-assign]
    (tmp_path / "app.service").write_text("[Service]\nUser=other\n")
    assert not run("app", exclusive="", more=more, reload_only=True)["changed"]
    file.write_text("two")
    assert run("app", exclusive="", more=more, reload_only=True)["actions"] == {"app": "reload"}
    assert not run("app", exclusive="", more=more, reload_only=True)["changed"]
    assert run("app", exclusive="", more=more)["actions"] == {"app": "restart"}
    manager.running.clear()
    assert run("app", exclusive="", more=more, reload_only=True)["actions"] == {"app": "start"}
