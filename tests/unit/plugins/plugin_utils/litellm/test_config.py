# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.litellm import config

SETTINGS: dict[str, Any] = {
    "request_timeout": "620",
    "num_retries": "1",
    "metrics": ["litellm_spend_metric"],
    "metrics_exclude_labels": ["client_ip"],
    "redis": False,
    "own": {},
}
PLAIN = {"name": "chat", "api_base": "http://127.0.0.1:4100/chat/v1"}


def made(*deployments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return config.config([{**PLAIN, **deployment} for deployment in deployments], {**SETTINGS, **changes})


@pytest.mark.parametrize(
    ("given", "params", "info"),
    [
        ({}, {}, {}),
        ({"mode": "embedding"}, {}, {"mode": "embedding"}),
        ({"rpm": 60, "tpm": None, "max_parallel_requests": 4}, {"rpm": 60, "max_parallel_requests": 4}, {}),
        ({"request_defaults": {"temperature": 0, "top_p": None}}, {"temperature": 0}, {}),
        ({"request_defaults": None}, {}, {}),
        ({"max_input_tokens": 8192, "max_output_tokens": None}, {}, {"max_input_tokens": 8192}),
        ({"input_cost_per_token": "0.5", "output_cost_per_token": None}, {}, {"input_cost_per_token": 0.5}),
    ],
)
def test_a_deployment(given: dict[str, Any], params: dict[str, Any], info: dict[str, Any]) -> None:
    assert config.model_list([{**PLAIN, **given}]) == [
        {
            "model_name": "chat",
            "litellm_params": {
                "model": "hosted_vllm/chat",
                "api_base": PLAIN["api_base"],
                "api_key": "os.environ/LITELLM_UPSTREAM_API_KEY",
                **params,
            },
            "model_info": {
                "id": "chat",
                "mode": "chat",
                "input_cost_per_token": 0.0,
                "output_cost_per_token": 0.0,
                **info,
            },
        }
    ]


def test_further_names_are_aliases() -> None:
    deployments = [{**PLAIN, "aliases": ["a", "b"]}, {**PLAIN, "name": "embed", "aliases": None}]
    assert config.aliases(deployments) == {"a": "chat", "b": "chat"}


@pytest.mark.parametrize(
    ("deployment", "enforced"), [({}, False), ({"rpm": None}, False), ({"rpm": 5}, True), ({"tpm": 5}, True)]
)
def test_limits_by_the_minute_need_a_check(deployment: dict[str, Any], enforced: bool) -> None:
    assert ("optional_pre_call_checks" in made(deployment)["router_settings"]) is enforced


def test_the_header_of_a_conversation_goes_to_our_own_engines_alone() -> None:
    found = made({}, {"name": "guide"}, own={"model_list": [{"model_name": "far"}]})
    settings = found["litellm_settings"]["model_group_settings"]
    assert settings == {"forward_client_headers_to_llm_api": ["chat", "guide"]}
    assert "forward_client_headers_to_llm_api" not in found["general_settings"]
    assert "model_group_settings" not in config.config([], SETTINGS)["litellm_settings"]


def test_numbers_are_numbers() -> None:
    whole = made({})
    assert (whole["router_settings"]["timeout"], whole["router_settings"]["num_retries"]) == (620, 1)
    assert whole["litellm_settings"]["request_timeout"] == 620


@pytest.mark.parametrize(
    ("changes", "section", "name"),
    [
        ({"metrics": ["a"]}, "litellm_settings", "prometheus_metrics_config"),
        ({"redis": True}, "general_settings", "coordination_redis"),
    ],
)
def test_what_is_there_only_when_asked_for(changes: dict[str, Any], section: str, name: str) -> None:
    assert name in made({}, **changes)[section]
    assert name not in made({}, metrics=[], redis=False)[section]


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ({"a": {"b": 2}}, {"a": {"b": 2, "c": [1]}, "d": 1}),
        ({"a": {"c": []}}, {"a": {"b": 1, "c": []}, "d": 1}),
        ({"a": None, "e": {"f": 1}}, {"a": None, "d": 1, "e": {"f": 1}}),
        ({}, {"a": {"b": 1, "c": [1]}, "d": 1}),
    ],
)
def test_settings_of_the_user_win_key_by_key(over: dict[str, Any], result: dict[str, Any]) -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert config.merged(base, over) == result
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}


def test_no_secret_has_a_value_here() -> None:
    text = str(made({}, redis=True))
    for name in ("MASTER_KEY", "UPSTREAM_API_KEY", "REDIS_URL"):
        assert f"os.environ/LITELLM_{name}" in text
