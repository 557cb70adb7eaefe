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
ENGINES = {service for service, (image, _port, _path) in SERVICES.items() if image == "vllm"}
OTHERS = set(SERVICES) - ENGINES


def starts() -> dict[str, str]:
    """When each container that runs was started."""
    running = {name: entry["State"] for name, entry in containers().items() if entry["State"]["Running"]}
    return {name: state["StartedAt"] for name, state in running.items()}


def kill(services: set[str]) -> None:
    found = containers()
    in_host(HOST, "kill", "-KILL", *(str(main_process(found[service])) for service in sorted(services)))


def restart(services: set[str]) -> None:
    docker("restart", *(f"llm-{service}" for service in sorted(services)))


def answers(service: str) -> bool:
    _image, port, path = SERVICES[service]
    return local_status(HOST, port, path) == "200"


def wait_until_back(services: set[str], before: dict[str, str]) -> str:
    """Wait until each service runs in a container that was started anew, and is well; return how long each took."""
    started, back = time.monotonic(), dict[str, float]()

    def all_back() -> bool:
        now = starts()
        for service in services - {*back}:
            if now.get(service, before[service]) != before[service] and answers(service):
                back[service] = time.monotonic() - started
        return services == {*back}

    try:
        wait_for(all_back, BACK_WITHIN_SECONDS, "every service back")
    except pytest.fail.Exception:
        assert services - {*back} == set()
    return ", ".join(f"{service} {seconds:.0f} s" for service, seconds in back.items())


@pytest.fixture
def answering(door: Callable[[str], Door]) -> Callable[[], None]:
    def check() -> None:
        for model in ("chat", "guide"):
            assert door(HOST).chat(model=model).status == 200, model
        assert in_host(HOST, "systemctl", "--failed", "--no-legend", "--plain") == ""
        assert set(starts()) == set(containers()) == set(SERVICES)

    return check


def test_killed_and_restarted_containers_come_back(answering: Callable[[], None], measured: dict[str, str]) -> None:
    """Engines take long to load: one is killed and one restarted, and meanwhile the others have both."""
    before = starts()
    kill(OTHERS | {"vllm-chat-0"})
    restart({"vllm-guide-0"})
    measured["back after SIGKILL"] = wait_until_back(OTHERS, before)
    anew = starts()
    restart(OTHERS)
    measured["back after docker restart"] = wait_until_back(OTHERS, anew)
    measured["engines, one killed and one restarted, after that"] = wait_until_back(ENGINES, before)
    answering()


def test_everything_comes_back_with_the_engine(answering: Callable[[], None], measured: dict[str, str]) -> None:
    before = starts()
    in_host(HOST, "systemctl", "restart", "docker.service")
    measured["back after systemctl restart docker"] = wait_until_back(set(SERVICES), before)
    answering()
