# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Last, because it breaks things: whatever ends a container, it comes back by itself, and the chain answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from bench_hosts import Door, in_host, local_status, wait_for
from engine import HOST, SERVICES, containers, docker, main_process

# Two engines load at once on the processors of a small machine.
BACK_WITHIN_SECONDS = 300


def kill_main_processes() -> None:
    pids = [str(main_process(container)) for container in containers().values()]
    in_host(HOST, "kill", "-KILL", *pids)


def restart_containers() -> None:
    docker("restart", "--time", "10", *[f"llm-{service}" for service in SERVICES])


def restart_daemon() -> None:
    in_host(HOST, "systemctl", "restart", "docker.service")


def kill_daemon() -> None:
    in_host(HOST, "systemctl", "kill", "--signal", "KILL", "--kill-whom", "main", "docker.service")


def starts() -> dict[str, str]:
    """When each container that runs was started."""
    running = {name: entry["State"] for name, entry in containers().items() if entry["State"]["Running"]}
    return {name: state["StartedAt"] for name, state in running.items()}


def answers(service: str) -> bool:
    _image, port, path = SERVICES[service]
    return local_status(HOST, port, path) == "200"


@pytest.mark.parametrize("disturb", [kill_main_processes, restart_containers, restart_daemon, kill_daemon])
def test_everything_comes_back(
    disturb: Callable[[], None], door: Callable[[str], Door], measured: dict[str, str]
) -> None:
    before = starts()
    started, back = time.monotonic(), dict[str, float]()
    disturb()

    def all_back() -> bool:
        now = starts()
        for service in SERVICES:
            if service not in back and now.get(service, before[service]) != before[service] and answers(service):
                back[service] = time.monotonic() - started
        return len(back) == len(SERVICES)

    try:
        wait_for(all_back, BACK_WITHIN_SECONDS, "every service back")
    finally:
        figures = ", ".join(f"{service} {seconds:.0f} s" for service, seconds in back.items())
        measured[f"back after {disturb.__name__}"] = figures
    for model in ("chat", "guide"):
        wait_for(lambda model=model: door(HOST).chat(model=model).status == 200, 60, f"a completion of {model}")
    assert in_host(HOST, "systemctl", "--failed", "--no-legend", "--plain") == ""
    assert set(starts()) == set(containers()) == set(SERVICES)
