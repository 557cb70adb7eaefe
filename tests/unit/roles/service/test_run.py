# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What supervisor starts: a service whose main process was killed leaves nothing behind that keeps its port."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from stand_ins import SETPRIV

ROLE = Path(__file__).resolve().parents[4] / "roles" / "service"
# Listens, and has a child that holds the same socket, as workers do. It tries for a while: who was killed a moment ago
# may not be gone yet.
SERVICE = """
import os, socket, sys, time
end = time.monotonic() + 10
while True:
    try:
        held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
main = os.getpid()
child = os.fork()
if child:
    print(main, child, flush=True)
time.sleep(120)
"""


class Service(NamedTuple):
    """One start of the script: supervisor's child, and the child of that."""

    process: subprocess.Popen[str]
    main: int
    child: int


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and that nobody asked for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script as the role renders it, for a service that listens."""
    folder = tmp_path_factory.mktemp("run")
    for name in ("config", "state", "run"):
        (folder / name).mkdir()
    (folder / "config" / "secrets.env").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    root = os.geteuid() == 0
    spec = {
        "egress": None,
        "name": "x",
        "user": "daemon" if root else os.environ.get("USER", str(os.getuid())),
        "state_dir": str(folder / "state"),
        "config_dir": str(folder / "config"),
        "limits": {"nofile": 256},
        "environment": {},
        "gpus": [],
        "capabilities": [],
        "command": ["/usr/bin/python3", "-c", SERVICE, str(port)],
    }
    variables = {"item": {"spec": spec}, "service_run_root": str(folder / "run"), "ansible_managed": "test"}
    variables["service_config_root"] = str(folder / "config")
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": variables,
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": str(ROLE / "templates" / "run.sh.j2"),
                    "dest": str(folder / "run.sh"),
                    "mode": "0700",
                }
            }
        ],
    }
    (folder / "play.json").write_text(json.dumps([play]))
    beside = Path(sys.executable).with_name("ansible-playbook")
    playbook = str(beside if beside.exists() else shutil.which("ansible-playbook"))
    argv = [playbook, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    made = subprocess.run([*argv, str(folder / "play.json")], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    if not root:
        (folder / "setpriv").write_text(SETPRIV)
        (folder / "setpriv").chmod(0o755)
        text = (folder / "run.sh").read_text().replace(f"-o {spec['user']} -g {spec['user']} ", "")
        (folder / "run.sh").write_text(text.replace("set -eu\n", f"set -eu\nPATH={folder}:$PATH\n", 1))
    return folder / "run.sh"


@pytest.fixture
def start(script: Path) -> Iterator[Callable[[], Service]]:
    """Starts the script as supervisor does: first of a process group of its own."""
    started: list[Service] = []

    def begin() -> Service:
        process = subprocess.Popen([str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout
        line = process.stdout.readline()
        assert line, f"the service ended with {process.wait()}"
        main, child = map(int, line.split())
        started.append(Service(process, main, child))
        return started[-1]

    yield begin
    for service in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.main, signal.SIGKILL)
        service.process.wait()


def test_the_main_process_is_the_one_that_the_manager_started(start: Callable[[], Service]) -> None:
    service = start()
    assert service.main == service.process.pid == os.getpgid(service.child)


def test_a_child_of_a_killed_main_process_goes_with_the_next_start(start: Callable[[], Service]) -> None:
    first = start()
    os.kill(first.main, signal.SIGKILL)
    first.process.wait()
    # Nothing but the script takes it away, and as long as it is there nobody else gets the port.
    time.sleep(0.5)
    assert alive(first.child)
    second = start()
    assert gone(first.child), "the child of the killed process is still there"
    assert alive(second.main)
    assert alive(second.child)


def test_a_start_after_a_proper_end_kills_nobody(start: Callable[[], Service]) -> None:
    first = start()
    os.killpg(first.main, signal.SIGTERM)
    first.process.wait()
    assert gone(first.child)
    second = start()
    assert alive(second.child)
