# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rotates logs where no systemd does, and who may read logs there."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "service" / "templates"
Start = Callable[[str], "subprocess.Popen[bytes]"]


def script(**changes: str) -> str:
    source = (TEMPLATES / "rotate.sh.j2").read_text(encoding="utf-8").partition("\n")[2]
    text = jinja2.Template(source, trim_blocks=True, lstrip_blocks=True).render(
        ansible_managed="managed", __service_prefix="llm-"
    )
    for old, new in changes.items():
        text = text.replace({"folder": "/etc/logrotate.d", "program": "/usr/sbin/logrotate"}[old], new)
    return text


def wait_for(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run the script as supervisor does, with other folders and another program."""
    running = []

    def run(program: str) -> subprocess.Popen[bytes]:
        path = tmp_path / "run"
        path.write_text(script(folder=str(tmp_path / "rules"), program=program))
        running.append(subprocess.Popen(["/bin/sh", str(path)], start_new_session=True))
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "llm-nginx").write_text("")
    (folder / "other").write_text("")
    return folder


@pytest.mark.parametrize("code", [0, 1])
def test_it_rotates_the_collections_logs_and_goes_on_when_that_fails(
    start: Start, rules: Path, tmp_path: Path, code: int
) -> None:
    program = tmp_path / "logrotate"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit {code}\n')
    program.chmod(0o700)
    process = start(str(program))
    assert wait_for((tmp_path / "asked").exists)
    assert (tmp_path / "asked").read_text() == f"{rules}/llm-nginx\n"
    time.sleep(0.2)
    assert process.poll() is None


def test_it_waits_where_there_is_nothing_to_rotate(start: Start, tmp_path: Path) -> None:
    process = start("/bin/false")
    time.sleep(0.5)
    assert process.poll() is None
    assert not (tmp_path / "rules").exists()


def test_nothing_of_it_is_left_when_it_is_stopped(start: Start, rules: Path) -> None:
    process = start("/bin/true")
    group = process.pid

    def members() -> list[str]:
        return subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True, check=False).stdout.split()

    assert wait_for(lambda: len(members()) == 2)
    os.killpg(group, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert wait_for(lambda: members() == [])


def test_supervisor_stops_it_as_a_group() -> None:
    """A shell that is told to end between starting a child and knowing its number would leave the child behind."""
    program = yaml.safe_load((TEMPLATES.parent / "vars" / "main.yml").read_text())["__service_rotation_program"]
    template = jinja2.Template((TEMPLATES / program["src"]).read_text().partition("\n")[2])
    text = template.render(item=program, ansible_managed="managed", __service_prefix="llm-")
    assert "\nstopasgroup=true\nkillasgroup=true\n" in text


@pytest.mark.skipif(not Path("/usr/sbin/logrotate").exists(), reason="there is no logrotate")
def test_a_log_of_yesterday_is_rotated_once(start: Start, rules: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "access.json", tmp_path / "state"
    log.write_text("{}\n")
    rule = rules / "llm-nginx"
    rule.write_text(f"{log} {{\n daily\n rotate 2\n compress\n create 0600\n}}\n")
    rule.chmod(0o644)
    state.write_text(f'logrotate state -- version 2\n"{log}" 2026-1-1-0:0:0\n')
    for _start in range(2):
        start(f"/usr/sbin/logrotate --state {state}")
        assert wait_for((tmp_path / "access.json.1.gz").exists)
        time.sleep(0.5)
    assert gzip.decompress((tmp_path / "access.json.1.gz").read_bytes()) == b"{}\n"
    assert not (tmp_path / "access.json.2.gz").exists()
    assert oct(log.stat().st_mode & 0o777) == "0o600"


def test_logs_are_closed_to_other_users() -> None:
    configuration = (TEMPLATES / "supervisord.conf.j2").read_text()
    assert "\numask=027\n" in configuration


def test_removal_finds_it() -> None:
    """By the mark of its program and by the names of its files, which are those of a service."""
    assert f"; {service_state.MARK}\n" in (TEMPLATES / "program.conf.j2").read_text()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="there is no shellcheck")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text(script())
    subprocess.run(["shellcheck", str(path)], check=True)
