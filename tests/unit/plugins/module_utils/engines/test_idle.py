# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in an engine, as its metrics tell them, and when it counts as idle."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import idle, registry

NAMES = registry.interface_of({"engine": "vllm"})["busy_metrics"]
# As vLLM writes it, with two engines of data parallelism.
METRICS = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b"} 2.0
vllm:num_requests_running{engine="1",model_name="a } b"} 1.0 1700000000000
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="chat"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:num_requests_waiting{engine="1",model_name="chat"} 4.0
python_info 1.0
"""


def test_requests_are_summed_over_the_cores_of_an_engine() -> None:
    assert idle.requests(METRICS, NAMES) == {"running": 3, "waiting": 4}


@pytest.mark.parametrize("text", ["", "vllm:num_requests_running 0", "<html>vllm:num_requests_waiting</html>"])
def test_metrics_without_these_tell_nothing(text: str) -> None:
    assert idle.requests(text, NAMES) is None


def test_values_that_are_no_numbers_are_none() -> None:
    text = "vllm:num_requests_running NaN\nvllm:num_requests_waiting x\nvllm:num_requests_waiting 2"
    assert idle.requests(text, NAMES) == {"running": 0, "waiting": 2}


def test_an_engine_that_names_no_metrics_tells_nothing() -> None:
    assert registry.interface_of({"engine": "echo"})["busy_metrics"] == {}
    assert idle.requests(METRICS, {}) is None


NONE, ONE, QUEUED = {"running": 0, "waiting": 0}, {"running": 1, "waiting": 0}, {"running": 0, "waiting": 1}


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([], idle.BUSY),
        ([NONE], idle.BUSY),
        ([NONE, NONE], idle.IDLE),
        ([ONE, NONE, NONE], idle.IDLE),
        ([NONE, ONE, NONE], idle.BUSY),
        ([NONE, QUEUED], idle.BUSY),
        ([None, NONE, NONE], idle.IDLE),
        ([None, None], idle.BUSY),
        ([ONE, None, None], idle.BUSY),
        ([ONE, None, None, None], idle.SILENT),
        ([NONE, None, NONE], idle.BUSY),
    ],
)
def test_two_readings_in_a_row_without_requests_are_needed(readings: Any, expected: str) -> None:
    assert idle.verdict(readings) == expected


def test_what_is_left_is_told() -> None:
    assert idle.left("chat-0", [NONE, ONE]) == {"name": "chat-0", "running": 1, "waiting": 0}
    assert idle.left("chat-0", [ONE, None]) == {"name": "chat-0", "running": None, "waiting": None}
