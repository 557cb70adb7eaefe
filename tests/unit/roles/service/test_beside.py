# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services that really run: from their scripts, prepared by commands, and ready by a TCP port or by a command."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import jinja2
import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import stamps
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as logic
from ansible_collections.llmfleet.serving.plugins.modules import service_state
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec
from module_runner import run_module
from stand_ins import SETPRIV

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "service" / "templates"
# An apostrophe, a dollar and a space: what quotes get wrong.
TOKEN = "it's $HOME of-all"
# Takes connections half a second after its start.
SERVER = """
import socket, sys, time
time.sleep(0.5)
held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(120)
"""
ROOT = os.geteuid() == 0
USER = "daemon" if ROOT else os.environ.get("USER", str(os.getuid()))
Run = Callable[..., "dict[str, Any]"]


class Processes:
    """A manager that starts scripts and keeps their processes, and does no more."""

    config: Path
    running: dict[str, subprocess.Popen[bytes]]

    def __init__(self, **_options: Any) -> None:
        pass

    def states(self, names: list[str]) -> dict[str, str]:
        alive = {name for name, process in self.running.items() if process.poll() is None}
        return {name: logic.RUNNING if name in alive else logic.UNKNOWN for name in names}

    def incarnation(self, name: str) -> str:
        return str(self.running[name].pid)

    def definition_files(self, name: str) -> list[str]:
        return [f"{self.config}/{name}/run"]

    def stale(self, names: list[str]) -> bool:
        return False

    def prepare(self, names: list[str]) -> None:
        pass

    def act(self, name: str, action: str, reload_signal: str) -> None:
        self.kill(name)
        self.running[name] = subprocess.Popen(self.definition_files(name), start_new_session=True)

    def kill(self, name: str) -> None:
        if name in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running[name].pid, signal.SIGKILL)
            self.running.pop(name).wait()

    def log_tail(self, name: str, lines: int) -> str:
        return ""

    def log_command(self, name: str) -> str:
        return "true"


def render(source: str, folder: Path, spec: dict[str, Any]) -> str:
    """A script as the role writes it, for a service below a folder."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, loader=jinja2.FileSystemLoader(TEMPLATES)
    )
    environment.filters["quote"] = shlex.quote
    environment.filters["regex_replace"] = lambda value, old, new="": re.sub(old, new, value)
    text = environment.get_template(source).render(
        item={"spec": spec},
        service_config_root=f"{folder}/etc",
        service_run_root=f"{folder}/run",
        ansible_managed="test",
    )
    text = text.partition("\n")[2]
    if not ROOT:
        text = text.replace(f"-o {USER} -g {USER} ", "").replace("set -eu\n", f"set -eu\nPATH={folder}:$PATH\n", 1)
    return text


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Processes]]:
    Processes.config, Processes.running = tmp_path / "etc", {}
    monkeypatch.setattr(service_state, "Systemd", Processes)
    (tmp_path / "setpriv").write_text(SETPRIV)
    (tmp_path / "setpriv").chmod(0o755)
    yield Processes
    for name in list(Processes.running):
        Processes().kill(name)


@pytest.fixture
def run(
    tmp_path: Path, manager: type[Processes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Writes the files of a service as the role does, and calls the module that the role calls."""

    def call(check: bool = False, **spec: Any) -> dict[str, Any]:
        raw = {"name": "x", "user": USER, "secrets": {"TOKEN": TOKEN}, "environment": {"COLOUR": "two words"}, **spec}
        (full,) = service_spec.normalise([raw], str(tmp_path / "etc"), str(tmp_path / "var"))
        for folder in (full["config_dir"], full["state_dir"]):
            Path(folder).mkdir(parents=True, exist_ok=True)
        if ROOT:
            shutil.chown(full["state_dir"], USER, USER)
        secrets = next(one for one in service_spec.secret_files([full]) if one["dest"].endswith("secrets.env"))
        Path(secrets["dest"]).write_text(secrets["content"])
        for one in service_spec.files([full], "supervisor", "llm-", str(tmp_path / "etc")):
            if one["src"].endswith(".sh.j2"):
                Path(one["dest"]).write_text(render(one["src"], tmp_path, full))
                Path(one["dest"]).chmod(0o700)
        args = {
            "manager": "systemd",
            "services": service_spec.manager_services([full]),
            "config_root": str(tmp_path / "etc"),
            "state_root": str(tmp_path / "var"),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path),
        }
        return run_module(service_state.main, args, monkeypatch, capsys)

    return call


def state(folder: Path, name: str) -> str:
    return (folder / "var" / "x" / name).read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


SLEEP = shell("exec sleep 120")


def test_ready_by_a_tcp_port(run: Run) -> None:
    port = free_port()
    command = ["/usr/bin/python3", "-c", SERVER, str(port)]
    result = run(command=command, ready={"tcp": {"port": port}, "deadline": 60})
    assert result["actions"] == {"x": "start"}
    assert result["ready_seconds"]["x"] >= 0.5
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert run(command=command, ready={"tcp": {"port": port}, "deadline": 60})["changed"] is False


def test_a_port_that_nobody_opens_is_named(run: Run) -> None:
    port = free_port()
    result = run(command=SLEEP, ready={"tcp": {"port": port}, "deadline": 1})
    assert f"port {port} of 127.0.0.1 takes no connection (Connection refused)" in result["msg"]
    assert f"ready means: port {port} of 127.0.0.1 takes connections within 1 s" in result["msg"]


def test_ready_by_a_command_in_the_environment_of_the_service(run: Run, tmp_path: Path) -> None:
    command = shell("sleep 0.5; touch up; exec sleep 120")
    ready = {"command": shell(f'test -e up && test "$TOKEN" = {shlex.quote(TOKEN)} && id -un > who'), "deadline": 60}
    result = run(command=command, ready=ready)
    assert not result.get("failed"), result["msg"]
    assert result["ready_seconds"]["x"] >= 0.5
    assert state(tmp_path, "who").strip() == USER


def test_a_command_that_never_succeeds_is_named_and_keeps_no_secret(run: Run) -> None:
    ready = {"command": shell('echo "no $TOKEN"; exit 4'), "deadline": 1}
    result = run(command=SLEEP, ready=ready)
    assert "ends with 4 (no ***" in result["msg"]
    assert TOKEN not in result["msg"]


def test_a_service_is_prepared_once(run: Run, manager: type[Processes], tmp_path: Path) -> None:
    prepare = [
        shell('id -un > who; printf %s "$TOKEN" > token; printf %s "$COLOUR" > colour; echo first >> order'),
        shell("test ! -e started; echo second >> order"),
    ]
    command = shell("touch started; exec sleep 120")
    assert run(check=True, command=command, prepare=prepare)["prepared"]["x"] == [" ".join(one) for one in prepare]
    assert not (tmp_path / "var" / "x" / "order").exists()

    result = run(command=command, prepare=prepare)
    assert len(result["prepared"]["x"]) == 2
    assert "llm-x: prepare with /bin/sh" in result["diff"]["after"]
    assert state(tmp_path, "who").strip() == USER
    assert (state(tmp_path, "token"), state(tmp_path, "colour")) == (TOKEN, "two words")
    assert state(tmp_path, "order").split() == ["first", "second"]

    again = run(command=command, prepare=prepare)
    assert (again["changed"], again["prepared"]) == (False, {})
    manager().kill("x")
    assert run(command=command, prepare=prepare)["actions"] == {"x": "start"}
    assert state(tmp_path, "order").split() == ["first", "second"]

    # A further one runs alone.
    more = run(command=command, prepare=[*prepare, shell("echo third >> order")])
    assert (more["changed"], more["actions"]) == (True, {"x": "none"})
    assert state(tmp_path, "order").split() == ["first", "second", "third"]


def test_a_failed_preparation_leaves_the_service_as_it_was(run: Run, manager: type[Processes], tmp_path: Path) -> None:
    run(command=SLEEP)
    pid = manager().incarnation("x")
    failing = shell('echo "cannot migrate with $TOKEN" >&2; exit 3')
    result = run(command=[*SLEEP, "changed"], prepare=[failing, shell("touch never")])
    assert result["failed"]
    assert "llm-x on " in result["msg"]
    assert f"'{' '.join(failing)}' prepares it, and it ended with 3" in result["msg"]
    assert "    cannot migrate with ***" in result["msg"]
    assert TOKEN not in result["msg"]
    assert manager().incarnation("x") == pid
    assert not (tmp_path / "var" / "x" / "never").exists()
    # It is tried again, and the restart that waited for it follows.
    mended = run(command=[*SLEEP, "changed"], prepare=[shell("touch mended")])
    assert mended["actions"] == {"x": "restart"}
    assert manager().incarnation("x") != pid


def test_a_preparation_that_hangs_is_stopped(run: Run) -> None:
    result = run(command=SLEEP, prepare=[{"command": shell("exec sleep 60"), "timeout": 1}])
    assert "it did not end in time" in result["msg"]


def test_no_link_of_the_service_is_followed(tmp_path: Path) -> None:
    """The service owns its state: what root writes there must not land elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "state").symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"."):
        stamps.stamp(str(tmp_path / "state" / ".prepared-1"))
    (elsewhere / ".prepared-2").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"."):
        stamps.stamp(str(elsewhere / ".prepared-2"))
    assert not (tmp_path / "target").exists()
    stamps.stamp(str(elsewhere / ".prepared-3"))
    assert stamps.is_stamped(str(elsewhere / ".prepared-3"))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_program_loads_its_rules_and_starts_where_there_are_none(
    tmp_path: Path, manager: type[Processes], allowed: bool
) -> None:
    raw = {"name": "x", "user": USER, "command": shell("touch up"), "egress": []}
    (full,) = service_spec.normalise([raw], str(tmp_path / "etc"), str(tmp_path / "var"))
    for folder in (full["config_dir"], full["state_dir"]):
        Path(folder).mkdir(parents=True)
    if ROOT:
        shutil.chown(full["state_dir"], USER, USER)
    Path(full["config_dir"], "secrets.env").write_text("")
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexit {0 if allowed else 1}\n')
    nft.chmod(0o755)
    script = Path(full["config_dir"], "run")
    text = render("run.sh.j2", tmp_path, full)
    # Rules of outgoing and of incoming traffic.
    assert text.count("/usr/sbin/nft") == 2
    script.write_text(text.replace("/usr/sbin/nft", str(nft)))
    script.chmod(0o700)
    made = subprocess.run([str(script)], capture_output=True, text=True, check=True, start_new_session=True)
    assert (tmp_path / "asked").read_text() == f"-f {tmp_path}/etc/egress/{USER}.nft\n"
    assert ("not filtered" in made.stderr) is not allowed
    assert Path(full["state_dir"], "up").exists()
