# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LiteLLM's config.yaml: the models, and the settings that make LiteLLM a gateway without a database.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

# LiteLLM's provider for the engines.
PROVIDER = "hosted_vllm"
# Limits that LiteLLM enforces for a deployment; limits by the minute need a check of their own.
MINUTE_LIMITS = ("rpm", "tpm")
LIMITS = ("max_parallel_requests", *MINUTE_LIMITS)
LENGTHS = ("max_input_tokens", "max_output_tokens")
# Errors that a client caused are not retried, because they would recur and double the engine's work.
RETRIES = ("BadRequestError", "RateLimitError", "TimeoutError", "InternalServerError")


def model_list(deployments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry of ``model_list`` for each deployment.

    Prices are part of ``model_info``: among the parameters, LiteLLM would register them anew in every request and drop
    its caches each time.

    :param deployments: ``litellm_deployments``.
    """
    models = []
    for item in deployments:
        params = {
            "model": f"{PROVIDER}/{item['name']}",
            "api_base": item["api_base"],
            "api_key": "os.environ/LITELLM_UPSTREAM_API_KEY",
            **{name: item[name] for name in LIMITS if item.get(name)},
            **{name: value for name, value in (item.get("request_defaults") or {}).items() if value is not None},
        }
        info = {
            "id": item["name"],
            "mode": item.get("mode", "chat"),
            "input_cost_per_token": float(item.get("input_cost_per_token") or 0),
            "output_cost_per_token": float(item.get("output_cost_per_token") or 0),
            **{name: item[name] for name in LENGTHS if item.get(name)},
        }
        models.append({"model_name": item["name"], "litellm_params": params, "model_info": info})
    return models


def aliases(deployments: list[dict[str, Any]]) -> dict[str, str]:
    """Return the further names of the models: name to the model's own."""
    return {alias: item["name"] for item in deployments for alias in item.get("aliases") or []}


def merged(base: Any, over: Any) -> Any:
    """Merge two values: dictionaries key by key; otherwise the second wins."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def config(deployments: list[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's whole configuration. Secrets in it are references to the environment.

    :param deployments: ``litellm_deployments``.
    :param settings: ``request_timeout``, ``num_retries``; ``metrics``, everything that LiteLLM knows if it is empty;
        ``metrics_exclude_labels``; ``redis``, whether a Redis counts the limits (answers are not kept in it); ``own``,
        settings of the user, which win.
    """
    timeout = int(settings["request_timeout"])
    router: dict[str, Any] = {
        "routing_strategy": "simple-shuffle",
        "model_group_alias": aliases(deployments),
        "num_retries": int(settings["num_retries"]),
        "timeout": timeout,
        "retry_after": 0,
        "retry_policy": {f"{error}Retries": 0 for error in RETRIES},
        # Cool-downs are off: a model has one deployment, and one user's failing prompt would make it unavailable for
        # all.
        "disable_cooldowns": True,
    }
    if any(item.get(name) for item in deployments for name in MINUTE_LIMITS):
        router["optional_pre_call_checks"] = ["enforce_model_rate_limits"]
    litellm: dict[str, Any] = {
        "drop_params": True,
        "callbacks": ["prometheus"],
        "enable_post_custom_auth_checks": True,
        "disable_hf_tokenizer_download": True,
        "prometheus_exclude_labels": settings["metrics_exclude_labels"],
        "request_timeout": timeout,
    }
    if deployments:
        # The inner proxy keeps conversations by a header of the gate. No provider outside gets it: these are our own.
        own = [item["name"] for item in deployments]
        litellm["model_group_settings"] = {"forward_client_headers_to_llm_api": own}
    if settings["metrics"]:
        litellm["prometheus_metrics_config"] = [{"group": "gateway", "metrics": settings["metrics"]}]
    general: dict[str, Any] = {
        "master_key": "os.environ/LITELLM_MASTER_KEY",
        "custom_auth": "llmfleet_gateway.authenticate",
        # LiteLLM itself keeps the gate's key away from its routes of an administrator.
        "custom_auth_run_common_checks": True,
        # The engine then stops computing an answer whose client has disconnected.
        "cancel_on_disconnect": True,
    }
    if settings["redis"]:
        general["coordination_redis"] = {"url": "os.environ/LITELLM_REDIS_URL"}
    whole = {
        "model_list": model_list(deployments),
        "router_settings": router,
        "litellm_settings": litellm,
        "general_settings": general,
    }
    return dict(merged(whole, settings["own"]))
