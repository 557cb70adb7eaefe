# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service whose main process is killed under supervisor comes back, and nothing of the killed one keeps its port.

Under systemd the whole unit ends with its main process; molecule/default/tests/test_zz_recovery.py proves that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import openai
import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host.processes import socket_inodes
from ansible_collections.llmfleet.serving.plugins.module_utils.host.sockets import parse_sockets
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state

SUPERVISORCTL = "/opt/llmfleet/tools/bin/supervisorctl"
CONFIGURATION = "/etc/llmfleet/supervisord.conf"
BACK_WITHIN_SECONDS = 120


class Process(NamedTuple):
    """A process; its start tells it from a later one of the same number."""

    pid: int
    start: str


def status() -> str:
    command = [SUPERVISORCTL, "-c", CONFIGURATION, "status"]
    # It exits with 3 where a program does not run.
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout


def main_pid(program: str) -> int:
    """The process that supervisor started; 0 while there is none that stays up."""
    return int(service_state.parse_supervisor_pids(status()).get(program, 0))


def in_group(group: int) -> set[Process]:
    """The processes of a group that are alive."""
    members = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # state, parent, group, ...; the 20th is when it started.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX" and int(fields[2]) == group:
            members.add(Process(int(path.parent.name), fields[19]))
    return members


def holders(ports: set[int]) -> dict[int, set[int]]:
    """The processes that hold a listening socket of a port, by port."""
    sockets = [socket for table in ("tcp", "tcp6") for socket in parse_sockets(Path("/proc/net", table).read_text())]
    ports_of = {socket.inode: socket.port for socket in sockets if not ports or socket.port in ports}
    found: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        for inode in socket_inodes(int(path.name)) & set(ports_of):
            found.setdefault(ports_of[inode], set()).add(int(path.name))
    return found


def wait_for(what: str, condition: Callable[[], bool], end: float) -> None:
    while not condition():
        assert time.monotonic() < end, f"not within {BACK_WITHIN_SECONDS} s of the kill: {what}\n{status()}"
        time.sleep(0.5)


@pytest.fixture(scope="module", autouse=True)
def _kept_by_supervisor() -> None:
    if not Path(CONFIGURATION).exists():
        pytest.skip(f"supervisor does not keep the services of this machine: there is no {CONFIGURATION}")
    if os.geteuid() != 0:
        pytest.skip("only root may kill services and see who holds their ports")


@pytest.mark.supervisor
@pytest.mark.parametrize("service", ["nginx", "nginx-south", "gate", "litellm", "vllm"])
def test_a_killed_main_process_comes_back_and_leaves_no_orphan(
    service: str, client: openai.OpenAI, model: str, is_served: Callable[[], None]
) -> None:
    # Of a model's replicas the first stands for all.
    program = f"llm-vllm-{model}-0" if service == "vllm" else f"llm-{service}"
    is_served()
    killed = main_pid(program)
    assert killed, f"{program} does not run:\n{status()}"
    members = in_group(killed)
    pids = {process.pid for process in members}
    # Those above are given by the kernel anew each time: vLLM's processes talk to one another there.
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = {port for port, found in holders(set()).items() if found & pids and port < first_given}
    assert ports, f"{program} (pid {killed}) listens nowhere"

    os.kill(killed, signal.SIGKILL)
    end = time.monotonic() + BACK_WITHIN_SECONDS

    def answers() -> bool:
        """What an orphan of the killed process answers does not count, so its successor has to be there first."""
        try:
            reply = client.with_options(timeout=20).chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=8
            )
        except openai.OpenAIError:
            return False
        return bool(reply.choices[0].message.content)

    wait_for(f"{program} runs again", lambda: main_pid(program) not in (0, killed), end)
    wait_for(f"{program} listens again on {sorted(ports)}", lambda: set(holders(ports)) == ports, end)
    wait_for("a completion through the door", answers, end)
    is_served()

    successor = {process.pid for process in in_group(main_pid(program))}
    orphans = in_group(killed) & members
    assert not orphans, f"left of the killed {program}: {orphans}"
    foreign = {port: left for port, found in holders(ports).items() if (left := found - successor)}
    assert not foreign, f"ports of {program} that others hold: {foreign}"
