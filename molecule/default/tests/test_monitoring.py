# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus sees every target, and its recording rules yield figures once there was traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from bench_hosts import Door, in_host, listener, wait_for


@pytest.fixture
def query(host: Any) -> Callable[[str], Any]:
    name = str(host.backend.name)
    prometheus = listener(name, 9090)

    def ask(path: str) -> Any:
        # Prometheus may be starting still: an answer that is not there yet is asked for again.
        text = in_host(name, "curl", "-sS", "--max-time", "10", f"http://{prometheus}/api/v1/{path}", codes=None)
        return json.loads(text)["data"] if text else {}

    return ask


def test_every_target_is_up(query: Callable[[str], Any]) -> None:
    def all_up() -> bool:
        targets = query("targets").get("activeTargets", [])
        return bool(targets) and all(target["health"] == "up" for target in targets)

    wait_for(all_up, 90, "every target up")
    jobs = {target["labels"]["job"] for target in query("targets")["activeTargets"]}
    assert {"vllm", "gate", "node"} <= jobs


def test_recording_rules_have_values(host: Any, query: Callable[[str], Any], door: Callable[[str], Door]) -> None:
    for _request in range(3):
        door(str(host.backend.name)).chat(stream=True)
    rules = [rule for group in query("rules")["groups"] for rule in group["rules"] if rule["type"] == "recording"]
    assert rules
    empty: list[str] = []

    def all_have_values() -> bool:
        empty[:] = [rule["name"] for rule in rules if not query(f"query?query={rule['name']}").get("result")]
        return not empty

    try:
        wait_for(all_have_values, 120, "values of recording rules")
    except pytest.fail.Exception:
        assert empty == []
