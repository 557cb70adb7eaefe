# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import egress, engine_contacts, plain_text

PUBLIC = "203.0.113.5"
NETWORKS = ["10.0.0.0/8"]
MOONCAKE = {"master_server_address": f"{PUBLIC}:50051", "metadata_server": "P2PHANDSHAKE", "protocol": "tcp"}
MULTI = {"connectors": [{"kv_connector_extra_config": {"proxy_ip": PUBLIC, "proxy_port": "30001"}}]}


def urls(args: Any = None, env: Any = None, models: Any = None, defaults: Any = None, catalog: Any = None) -> Any:
    given = ({"engine": args or {}}, {"engine": env or {}}, models or [], defaults or {}, catalog or {})
    return engine_contacts.by_variable(*(json.dumps(value) for value in given))


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ({}, ""),
        ({"otlp-traces-endpoint": f"http://{PUBLIC}:4318/v1/traces"}, f"http://{PUBLIC}:4318/v1/traces"),
        ({"otlp-traces-endpoint": f"{PUBLIC}:4317"}, f"tcp://{PUBLIC}:4317"),
        ({"otlp_traces_endpoint": "collector:4317"}, "tcp://collector:4317"),
        ({"otlp-traces-endpoint": f"grpc://{PUBLIC}:4317"}, f"grpc://{PUBLIC}:4317"),
        ({"data-parallel-address": "10.0.0.5", "master-addr": "2001:db8::5"}, "tcp://10.0.0.5 tcp://[2001:db8::5]"),
        ({"kv-transfer-config": {"kv_ip": PUBLIC, "kv_port": 14579}}, f"tcp://{PUBLIC}"),
        ({"kv-transfer-config": json.dumps({"kv_ip": PUBLIC})}, f"tcp://{PUBLIC}"),
        ({"kv-transfer-config.kv_connector_extra_config.proxy_ip": PUBLIC}, f"tcp://{PUBLIC}"),
        ({"kv-transfer-config": {"kv_connector_extra_config": MULTI}}, f"tcp://{PUBLIC}"),
        ({"kv-transfer-config": {"kv_connector_extra_config": MOONCAKE}}, f"tcp://{PUBLIC}:50051"),
        (
            {"kv-transfer-config": {"kv_connector_extra_config": {"lmcache.mp.host": f"tcp://{PUBLIC}"}}},
            f"tcp://{PUBLIC}",
        ),
        (
            {"kv-transfer-config": {"kv_connector_extra_config": {"remote_url": f"lm://{PUBLIC}:65432"}}},
            f"lm://{PUBLIC}:65432",
        ),
        ({"ec-transfer-config": {"ec_ip": PUBLIC}}, f"tcp://{PUBLIC}"),
        ({"kv-events-config": {"enable_kv_cache_events": True}}, "tcp://*"),
        (
            {"kv-events-config": {"enable_kv_cache_events": "True", "endpoint": "tcp://10.0.0.1:5557"}},
            "tcp://10.0.0.1:5557",
        ),
        (
            {"kv-events-config": {"endpoint": "tcp://*:5557", "replay_endpoint": "tcp://0.0.0.0:5558"}},
            "tcp://*:5557 tcp://*:5558",
        ),
        ({"kv-events-config": {"enable_kv_cache_events": False}}, ""),
        # None of these is a server.
        ({"allowed-origins": ["http://203.0.113.5"], "chat-template": "see http://203.0.113.5"}, ""),
        ({"served-model-name": "http://x", "max-num-seqs": 8, "kv-transfer-config": {"kv_port": 14579}}, ""),
        ({"kv-transfer-config": {"kv_connector": "NixlConnector", "engine_id": "10.0.0.5"}}, ""),
        ({"compilation-config": "{broken", "kv-events-config": "[]"}, ""),
    ],
)
def test_what_flags_name(args: dict[str, Any], found: str) -> None:
    assert urls(args).get("engine_args", "") == found


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{PUBLIC}:4318"}, f"http://{PUBLIC}:4318"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{PUBLIC}:4317"}, f"tcp://{PUBLIC}:4317"),
        ({"HF_ENDPOINT": f"http://{PUBLIC}"}, f"http://{PUBLIC}"),
        ({"HF_ENDPOINT": "hub.example.com"}, "tcp://hub.example.com"),
        ({"S3_ENDPOINT_URL": f"http://{PUBLIC}:9000"}, f"http://{PUBLIC}:9000"),
        ({"VLLM_USAGE_STATS_SERVER": "https://stats.example"}, "https://stats.example"),
        ({"VLLM_HOST_IP": PUBLIC, "VLLM_DP_MASTER_IP": "10.0.0.5"}, f"tcp://{PUBLIC} tcp://10.0.0.5"),
        ({"VLLM_RAY_DP_PLACEMENT_NODE_IPS": f"10.0.0.5,{PUBLIC}"}, f"tcp://10.0.0.5 tcp://{PUBLIC}"),
        ({"VLLM_NIXL_SIDE_CHANNEL_HOST": PUBLIC}, f"tcp://{PUBLIC}"),
        ({"VLLM_NIXL_SIDE_CHANNEL_HOST": "0.0.0.0"}, "tcp://*"),
        ({"VLLM_P2P_SIDE_CHANNEL_HOST": "::"}, "tcp://*"),
        ({"MOONCAKE_REQUESTER_LOCAL_HOSTNAME": "gpu1"}, "tcp://gpu1"),
        ({"MOONCAKE_MASTER": f"{PUBLIC}:50051"}, f"tcp://{PUBLIC}:50051"),
        ({"LMCACHE_REMOTE_URL": f"redis://me:word@{PUBLIC}:6379"}, f"redis://me:word@{PUBLIC}:6379"),
        ({"LMCACHE_CONTROLLER_URL": f"{PUBLIC}:9000"}, f"tcp://{PUBLIC}:9000"),
        ({"LMCACHE_EXTRA_CONFIG": json.dumps({"remote_url": f"lm://{PUBLIC}:1"})}, f"lm://{PUBLIC}:1"),
        ({"NCCL_COMM_ID": f"{PUBLIC}:4000", "MASTER_ADDR": PUBLIC}, f"tcp://{PUBLIC}:4000 tcp://{PUBLIC}"),
        ({"http_proxy": f"http://{PUBLIC}:3128"}, f"http://{PUBLIC}:3128"),
        ({"HTTPS_PROXY": f"http://{PUBLIC}:3128"}, f"tunnel://{PUBLIC}:3128"),
        ({"HTTPS_PROXY": f"http://me:word@{PUBLIC}:3128"}, f"http://me:word@{PUBLIC}:3128"),
        # None of these is a server.
        ({"NO_PROXY": f"http://{PUBLIC}", "HOSTNAME": "gpu1", "PATH": "/usr/bin:/bin"}, ""),
        ({"NCCL_SOCKET_IFNAME": "lo", "VLLM_PORT": "8000", "CUDA_VISIBLE_DEVICES": "0,1", "COUNT": 5}, ""),
    ],
)
def test_what_environments_name(env: dict[str, Any], found: str) -> None:
    assert urls(env=env).get("engine_env", "") == found


def test_models_defaults_and_catalogue_are_named_as_messages_name_them() -> None:
    own = {"env": {"HF_ENDPOINT": "http://a"}, "args": {"otlp-traces-endpoint": "http://b"}}
    found = urls(
        models=[{"name": "chat", **own}, {"env": {"HF_ENDPOINT": "http://c"}}, "none", {"name": "x", "env": None}],
        defaults=own,
        catalog={"org/model": {"env": {"HF_ENDPOINT": "http://d"}}, "broken": 5},
    )
    assert found == {
        "llm_model_defaults.args": "http://b",
        "llm_model_defaults.env": "http://a",
        "llm_models[chat].args": "http://b",
        "llm_models[chat].env": "http://a",
        "llm_models[1].env": "http://c",
        "llm_catalog_extra[org/model].env": "http://d",
    }


def test_what_is_not_known_yet_names_nothing() -> None:
    assert engine_contacts.by_variable("", "", "", "", "") == {}
    assert engine_contacts.by_variable("{}", '{"engine": null}', '"text"', "[]", "5") == {}


@pytest.mark.parametrize(
    ("text", "own", "refused"),
    [
        (f"http://{PUBLIC}:4318", [], True),
        (f"tcp://{PUBLIC}", [], True),
        (f"lm://{PUBLIC}:1", [], True),
        (f"grpc://{PUBLIC}:1", [], True),
        ("tcp://[2001:db8::5]:1", [], True),
        ("tcp://collector:4317", [], True),
        (f"tunnel://{PUBLIC}:3128", [], False),
        (f"https://{PUBLIC}", [], False),
        ("http://10.0.0.5 tcp://127.0.0.1:1 tcp://localhost", [], False),
        ("tcp://*:5557", ["10.0.0.1"], False),
        ("tcp://*:5557", ["10.0.0.1", PUBLIC], True),
        ("tcp://*:5557", ["10.0.0.1", "2001:db8::5"], True),
    ],
)
def test_plain_text_outside_private_networks_is_refused(text: str, own: list[str], refused: bool) -> None:
    found = plain_text.problems({}, NETWORKS, "gpu1", own, {"llm_models[chat].env": text})
    assert [one.variable for one in found] == ["llm_models[chat].env"] * refused
    assert not any("listens" in one.problem for one in found) or "*" in text


def test_the_filter_knows_the_addresses_and_refuses_names() -> None:
    values = {"a": f"tunnel://{PUBLIC}:3128 tcp://10.9.9.9", "b": "tcp://collector:4317 tcp://*:5557 tcp://localhost"}
    assert egress.networks(values, ["a", "b"], {}, []) == [PUBLIC, "10.9.9.9"]
    found = egress.problems(values, {"vllm": ["a", "b"]}, [], "10.0.0.1", "gpu1")
    assert [(one.variable, "collector" in one.problem) for one in found] == [("b", True)]
