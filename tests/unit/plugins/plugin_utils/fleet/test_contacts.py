# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import contacts, plain_text

NETWORKS = ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("configuration", "environment", "urls"),
    [
        ({}, {}, ""),
        ({"litellm_settings": {"cache_params": {"type": "redis", "host": "203.0.113.5"}}}, {}, "redis://203.0.113.5"),
        ({"cache_params": {"host": "2001:db8::5", "port": 6379}}, {}, "redis://[2001:db8::5]"),
        ({"cache_params": {"host": "203.0.113.5", "ssl": True}}, {}, "rediss://203.0.113.5"),
        ({"cache_params": {"host": "203.0.113.5", "ssl": "False"}}, {}, "redis://203.0.113.5"),
        ({"router_settings": {"redis_host": "cache", "redis_port": 6379}}, {}, "redis://cache"),
        (
            {"cache_params": {"redis_startup_nodes": [{"host": "203.0.113.5"}, {"host": "203.0.113.6"}]}},
            {},
            "redis://203.0.113.5 redis://203.0.113.6",
        ),
        ({"cache_params": {"sentinel_nodes": [["203.0.113.5", 26379]], "ssl": True}}, {}, "rediss://203.0.113.5"),
        ({"cache_params": {"host": "os.environ/CACHE"}}, {"CACHE": "203.0.113.5"}, "redis://203.0.113.5"),
        ({"cache_params": {"host": "os.environ/MISSING"}}, {}, ""),
        (
            {"model_list": [{"litellm_params": {"api_base": "http://203.0.113.5/v1"}}]},
            {},
            "http://203.0.113.5/v1",
        ),
        (
            {"general_settings": {"database_url": "os.environ/DB"}},
            {"DB": "postgresql://me:secret@203.0.113.5/x"},
            "postgresql://me:secret@203.0.113.5/x",
        ),
        ({"host": 5, "redis_startup_nodes": "none", "sentinel_nodes": [[]]}, {}, "redis://none"),
    ],
)
def test_what_a_configuration_names(configuration: dict[str, Any], environment: dict[str, str], urls: str) -> None:
    assert contacts.of_configuration(json.dumps(configuration), json.dumps(environment)) == urls


@pytest.mark.parametrize(
    ("environment", "urls"),
    [
        ({"REDIS_HOST": "203.0.113.5", "REDIS_PORT": "6379"}, "redis://203.0.113.5"),
        ({"REDIS_HOST": "203.0.113.5", "REDIS_SSL": "True"}, "rediss://203.0.113.5"),
        ({"REDIS_CLUSTER_NODES": '[{"host": "203.0.113.5", "port": 7001}]'}, "redis://203.0.113.5"),
        ({"REDIS_SENTINEL_NODES": '[["203.0.113.5", 26379]]'}, "redis://203.0.113.5"),
        ({"REDIS_SENTINEL_HOSTS": "203.0.113.5, 203.0.113.6"}, "redis://203.0.113.5 redis://203.0.113.6"),
        ({"WEBSOCKET_REDIS_URL": "redis://203.0.113.5"}, "redis://203.0.113.5"),
        ({"DATABASE_HOST": "203.0.113.5"}, "postgresql://203.0.113.5"),
        ({"DATABASE_URL": "postgresql+psycopg2://me@203.0.113.5/x"}, "postgresql+psycopg2://me@203.0.113.5/x"),
        ({"LANGFUSE_HOST": "http://203.0.113.5"}, "http://203.0.113.5"),
        ({"OPENAI_API_BASE": "http://203.0.113.5/v1"}, "http://203.0.113.5/v1"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://203.0.113.5:4318"}, "http://203.0.113.5:4318"),
        ({"QDRANT_URI": "http://203.0.113.5"}, "http://203.0.113.5"),
        ({"ELASTICSEARCH_URL": "http://203.0.113.5"}, "http://203.0.113.5"),
        ({"S3_ENDPOINT_URL": "http://203.0.113.5:9000"}, "http://203.0.113.5:9000"),
        ({"CACHE": "valkey://203.0.113.5"}, "valkey://203.0.113.5"),
        # What is plain goes through this proxy as it is; through one for HTTPS goes TLS, and a password in plain text.
        ({"HTTP_PROXY": "http://203.0.113.5"}, "http://203.0.113.5"),
        ({"all_proxy": "203.0.113.5:3128"}, "http://203.0.113.5:3128"),
        ({"HTTPS_PROXY": "http://203.0.113.5"}, "tunnel://203.0.113.5"),
        ({"https_proxy": "http://me:word@203.0.113.5"}, "http://me:word@203.0.113.5"),
        ({"https_proxy": "https://me:word@203.0.113.5", "HTTP_PROXY": ""}, "tunnel://me:word@203.0.113.5"),
        # Neither addresses of the service itself nor pages for browsers are servers that it sends prompts to.
        ({"WEBUI_URL": "http://203.0.113.5", "PROXY_BASE_URL": "http://203.0.113.5"}, ""),
        ({"PROXY_LOGOUT_URL": "http://203.0.113.5", "WEBUI_FAVICON_URL": "http://a", "NO_PROXY": "http://b"}, ""),
        ({"OAUTH_REDIRECT_URI": "http://203.0.113.5", "CORS_ALLOW_ORIGIN": "http://a.example"}, ""),
        ({"REDIS_HOST": "", "COUNT": 5}, ""),
    ],
)
def test_what_an_environment_names(environment: dict[str, Any], urls: str) -> None:
    assert contacts.of_environment(json.dumps(environment)) == urls


def test_what_is_not_known_yet_names_nothing() -> None:
    assert contacts.of_configuration("", "") == contacts.of_environment("") == ""
    assert contacts.of_configuration("[]") == ""


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("postgresql://me:secret@203.0.113.5:5432/x", True),
        ("postgres://203.0.113.5/x?sslmode=prefer", True),
        ("postgresql+psycopg2://203.0.113.5/x", True),
        ("postgresql://203.0.113.5/x?connect_timeout=5&sslmode=verify-full", False),
        ("postgresql://203.0.113.5/x?sslmode=require", False),
        ("postgresql://203.0.113.5/x postgresql://203.0.113.5/y?sslmode=require", True),
        ("postgresql://10.0.0.5/x", False),
        ("postgresql://203.0.113.5/x?sslmode=required", True),
    ],
)
def test_a_database_has_tls_if_its_url_asks_for_it(url: str, refused: bool) -> None:
    found = plain_text.problems({}, NETWORKS, "gw", urls={"litellm_environment": url})
    assert [one.variable for one in found] == ["litellm_environment"] * refused
    assert not any("secret" in one.sentence() for one in found)
