# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has counted, from its metrics."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import counters, registry

NAMES = registry.interface_of({"engine": "vllm"})["traffic_metrics"]
# As vLLM 0.32 writes it, with two engines of data parallelism.
METRICS = r"""
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="a } \"b\""} 7.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="chat"} 1.0
vllm:request_success_total{engine="1",finished_reason="error",model_name="chat"} 2.0
vllm:request_success_created{engine="0",finished_reason="stop",model_name="chat"} 1.7e+09
vllm:num_preemptions_total{engine="0",model_name="chat"} 3.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 8.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 4.0
http_requests_total{handler="/v1/models",method="GET",status="5xx"} 9.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25"} 2.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 3.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="0.25"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="odd"} 1.0
vllm:time_to_first_token_seconds_count{engine="0"} 3.0
vllm:time_to_first_token_seconds_count{engine="1"} 1.0
vllm:time_to_first_token_seconds_sum{engine="0"} 1.5
vllm:time_to_first_token_seconds_sum{engine="1"} 0.05
process_start_time_seconds 1.7e+09
"""


def test_counters_are_summed_over_the_cores_of_an_engine() -> None:
    found = counters.read(METRICS, NAMES)
    assert found == {
        "started": 1.7e9,
        "requests": 10,
        "errors": 2,
        "aborts": 1,
        "failed_answers": 4,
        "preemptions": 3,
        "first_token": {"count": 4, "total": 1.55, "buckets": [[0.1, 2], [0.25, 3]]},
        "token": None,
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [("", NAMES), ("<html>", NAMES), (METRICS, {}), (METRICS, {"token": "vllm:time_to_first_token_seconds"})],
)
def test_an_engine_that_counts_no_requests_tells_nothing(text: str, names: dict[str, str]) -> None:
    assert counters.read(text, names) is None


def test_a_metric_that_an_engine_lacks_is_nothing() -> None:
    found = counters.read("echo_requests_total 3\nother NaN\nother x", {"requests": "echo_requests_total"})
    assert found is not None
    assert (found["requests"], found["errors"], found["first_token"], found["started"]) == (3, 0, None, None)


def test_every_engine_names_metrics_that_are_known() -> None:
    assert set(NAMES) == set(counters.KEYS)
    assert registry.interface_of({"engine": "echo"})["traffic_metrics"] == {}
