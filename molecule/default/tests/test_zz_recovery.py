# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Last, because it kills: services come back by themselves, and a dead replica costs no request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from bench_hosts import Door, in_host, local_status, wait_for

REQUESTS = 60
AT_ONCE = 4
BACK_WITHIN_SECONDS = 240
HEALTH: dict[str, Callable[[Door], bool]] = {
    "nginx": lambda api: api.chat().status == 200,
    "litellm": lambda api: local_status("aio", 4000, "/health/liveliness") == "200",
    "gate": lambda api: api.chat().status == 200,
    "open-webui": lambda api: local_status("aio", 3000, "/health") == "200",
    "prometheus": lambda api: local_status("aio", 9090, "/-/ready") == "200",
    "node-exporter": lambda api: local_status("aio", 9100, "/metrics") == "200",
}


def main_pid(unit: str) -> int:
    return int(in_host("aio", "systemctl", "show", "-P", "MainPID", unit).strip() or 0)


def kill(unit: str) -> int:
    pid = main_pid(unit)
    assert pid > 0
    in_host("aio", "kill", "-KILL", str(pid))
    return pid


def healthy(service: str, api: Door) -> bool:
    try:
        return HEALTH[service](api)
    except OSError:
        return False


def test_killed_replica_costs_no_request(door: Callable[[str], Door], measured: dict[str, str]) -> None:
    api = door("aio")
    killed = threading.Event()
    statuses: Counter[int] = Counter()

    def ask(number: int) -> int:
        if number == REQUESTS // 4 and not killed.is_set():
            killed.set()
            kill("llm-vllm-chat-0.service")
        return api.chat(f"What is nginx for? {number}").status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses.update(pool.map(ask, range(REQUESTS)))
    measured["statuses while one of two replicas was killed"] = str(dict(statuses))
    assert killed.is_set()
    assert statuses == Counter({200: REQUESTS})
    back = wait_for(lambda: local_status("aio", 8100, "/health") == "200", BACK_WITHIN_SECONDS, "vLLM replica 0")
    measured["vllm-chat-0 back after SIGKILL"] = f"{back:.0f} s"


@pytest.mark.parametrize("service", HEALTH)
def test_killed_service_comes_back(service: str, door: Callable[[str], Door], measured: dict[str, str]) -> None:
    unit, api = f"llm-{service}.service", door("aio")
    started = time.monotonic()
    killed = kill(unit)
    wait_for(lambda: main_pid(unit) not in (0, killed), 60, f"{unit} with a new process")
    wait_for(lambda: healthy(service, api), BACK_WITHIN_SECONDS, f"{service} healthy")
    measured[f"{service} back after SIGKILL"] = f"{time.monotonic() - started:.0f} s"
