# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx.problems import SINGLE, problems

ROLE = Path(__file__).resolve().parents[5] / "roles" / "nginx"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
API = {"server_name": "api.test", "port": 443, "upstream": ["192.0.2.1:4000"]}
CHAT = {"server_name": "chat.test", "port": "443", "upstream": ["web.test:3000", "[2001:db8::1]:3000"]}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----"
KEY = "-----BEGIN EC PRIVATE KEY-----\ncanary\n-----END EC PRIVATE KEY-----"
GOOD: dict[str, Any] = {
    **DEFAULTS,
    "nginx_north": True,
    "nginx_api": API,
    "nginx_chat": CHAT,
    "nginx_listen": "0.0.0.0",
    "nginx_south_upstreams": [
        {
            "name": "Chat.v1_x-2",
            "api_paths": ["/v1/chat/completions"],
            "servers": [{"address": "192.0.2.1:8100", "weight": 1}],
        }
    ],
    "nginx_south_port": 4100,
    "nginx_request_timeout": "630",
}
OLD = {"address": "127.0.0.1:8100"}
NEW = {"address": "127.0.0.1:8101", "new": True}


def variables(**changes: Any) -> list[str]:
    return [problem.variable for problem in problems({**GOOD, **changes}, "gw")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nginx_listen": "[::]"},
        {"nginx_listen": "127.0.0.1"},
        {"nginx_listen": "::", "nginx_south_listen": "::1"},
        {"nginx_north": "false", "nginx_api": {"server_name": "a;b"}},
        {"nginx_trusted_proxies": ["192.0.2.7/28", "2001:db8::/64", "192.0.2.9"]},
        {"nginx_tls_certificate": CERTIFICATE, "nginx_tls_key": KEY},
        {"nginx_tls_certificate_file": "/etc/ssl/a.pem", "nginx_tls_key_file": "/etc/ssl/a.key"},
        {"nginx_http_port": 80},
        {"nginx_http_port": "0"},
        {"nginx_api_max_body_size": "0"},
        {"nginx_chat": {"server_name": ""}},
        {"nginx_chat": {**CHAT, "server_name": "api.test", "port": 8443}},
        {"nginx_north": False, "nginx_api": {"server_name": "a;b"}},
        {"nginx_of_another_role": "a;b"},
        {"nginx_api_cors_origins": ["https://app.example.org", "http://localhost:3000", "https://[2001:db8::1]:8443"]},
        {"nginx_api_aliases": ["127.0.0.1", "::1", "b.test"], "nginx_chat_aliases": []},
    ],
)
def test_what_is_right(changes: dict[str, Any]) -> None:
    assert variables(**changes) == []


def test_nothing_set_is_right() -> None:
    assert problems({}) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nginx_tls_key": KEY}, ["nginx_tls_certificate"]),
        ({"nginx_tls_certificate": CERTIFICATE}, ["nginx_tls_key"]),
        ({"nginx_tls_certificate": KEY, "nginx_tls_key": CERTIFICATE}, ["nginx_tls_certificate", "nginx_tls_key"]),
        ({"nginx_tls_certificate": "/etc/ssl/a.pem", "nginx_tls_key": KEY}, ["nginx_tls_certificate"]),
        ({"nginx_tls_key_file": "/a"}, ["nginx_tls_certificate_file"]),
        ({"nginx_tls_certificate_file": "/a"}, ["nginx_tls_key_file"]),
        (
            {"nginx_tls_certificate_file": "a.pem", "nginx_tls_key_file": "/a b"},
            ["nginx_tls_certificate_file", "nginx_tls_key_file"],
        ),
        (
            {
                "nginx_tls_certificate": CERTIFICATE,
                "nginx_tls_key": KEY,
                "nginx_tls_certificate_file": "/a",
                "nginx_tls_key_file": "/b",
            },
            ["nginx_tls_certificate_file"],
        ),
        ({"nginx_api": {**API, "server_name": "https://api.test/"}}, ["nginx_api.server_name"]),
        ({"nginx_api": {**API, "server_name": 5}}, ["nginx_api.server_name"]),
        ({"nginx_api_aliases": ["a b", "c", 5]}, ["nginx_api_aliases[0]", "nginx_api_aliases[2]"]),
        ({"nginx_api_aliases": "a.test"}, ["nginx_api_aliases"]),
        ({"nginx_chat_aliases": ["https://a.test"]}, ["nginx_chat_aliases[0]"]),
        ({"nginx_api": {**API, "aliases": ["a.test"]}}, ["nginx_api.aliases"]),
        ({"nginx_api": {"aliases": ["127.0.0.1"]}}, ["nginx_api"]),
        ({"nginx_api": {"port": 444}}, ["nginx_api"]),
        ({"nginx_chat": {"port": 444}}, ["nginx_chat"]),
        ({"nginx_api": "api.test"}, ["nginx_api"]),
        ({"nginx_api": {"server_name": "a"}}, ["nginx_api"]),
        ({"nginx_api": {**API, "upstream": "192.0.2.1:4000"}}, ["nginx_api.upstream"]),
        ({"nginx_api": {**API, "port": 0}}, ["nginx_api.port"]),
        ({"nginx_api": {**API, "port": "https"}}, ["nginx_api.port"]),
        ({"nginx_api": {**API, "port": 65536}}, ["nginx_api.port"]),
        ({"nginx_api": {**API, "port": True}}, ["nginx_api.port"]),
        ({"nginx_api": {**API, "upstream": []}}, ["nginx_api.upstream"]),
        ({"nginx_api": {**API, "upstream": ["192.0.2.1"]}}, ["nginx_api.upstream"]),
        ({"nginx_api": {**API, "upstream": ["2001:db8::1:4000"]}}, ["nginx_api.upstream"]),
        ({"nginx_chat": {**CHAT, "server_name": "API.test"}}, ["nginx_chat.server_name"]),
        ({"nginx_chat_aliases": ["API.test"]}, ["nginx_chat.server_name"]),
        ({"nginx_dashboards": {**CHAT, "server_name": "Chat.test"}}, ["nginx_dashboards.server_name"]),
        (
            {"nginx_dashboards": {"server_name": "a b", "port": 0}},
            ["nginx_dashboards.server_name", "nginx_dashboards.port"],
        ),
        ({"nginx_dashboards_queries": 0}, ["nginx_dashboards_queries"]),
        ({"nginx_api_aliases": ["chat.test"]}, ["nginx_chat.server_name"]),
        *(
            ({"nginx_api_cors_origins": [origin]}, ["nginx_api_cors_origins[0]"])
            for origin in (
                "*",
                "null",
                "app.example.org",
                "https://app.example.org/",
                "https://App.example.org",
                "https://app.example.org:443",
                "http://app.example.org:80",
                "https://*.example.org",
                "ftp://app.example.org",
                'https://a";',
                "https://a\n",
                5,
            )
        ),
        ({"nginx_api_cors_origins": "https://app.example.org"}, ["nginx_api_cors_origins"]),
        ({"nginx_http_port": 443}, ["nginx_http_port"]),
        ({"nginx_http_port": "443"}, ["nginx_http_port"]),
        ({"nginx_http_port": 70000}, ["nginx_http_port"]),
        ({"nginx_http_port": -1}, ["nginx_http_port"]),
        ({"nginx_listen": "eth0"}, ["nginx_listen"]),
        ({"nginx_listen": "[::"}, ["nginx_listen"]),
        ({"nginx_south_listen": "::1;"}, ["nginx_south_listen"]),
        ({"nginx_south_upstreams": "chat"}, ["nginx_south_upstreams"]),
        ({"nginx_south_upstreams": ["chat"]}, ["nginx_south_upstreams[0]"]),
        ({"nginx_listen": "[0.0.0.0]"}, ["nginx_listen"]),
        ({"nginx_trusted_proxies": "192.0.2.0/28"}, ["nginx_trusted_proxies"]),
        ({"nginx_trusted_proxies": ["192.0.2.0/33"]}, ["nginx_trusted_proxies[0]"]),
        ({"nginx_trusted_proxies": ["balancer"]}, ["nginx_trusted_proxies[0]"]),
        ({"nginx_south_upstreams": [{"name": "a/b", "servers": []}]}, ["nginx_south_upstreams.name"]),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": []}, {"name": "A", "servers": []}]},
            ["nginx_south_upstreams.name"],
        ),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": [{"address": "b"}]}]},
            ["nginx_south_upstreams[a].servers"],
        ),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": [], "api_paths": ["/v1", '/x" 1;', "/a/../b"]}]},
            ["nginx_south_upstreams[a].api_paths[1]", "nginx_south_upstreams[a].api_paths[2]"],
        ),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": [], "api_paths": []}]},
            ["nginx_south_upstreams[a].api_paths"],
        ),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": [OLD, NEW], "new_percent": n} for n in (0, "9.5")]},
            ["nginx_south_upstreams.name"],
        ),
        *(
            (
                {"nginx_south_upstreams": [{"name": "a", "servers": [OLD, NEW], "new_percent": value}]},
                ["nginx_south_upstreams[a].new_percent"],
            )
            for value in (-1, 100.5, "many", None, [])
        ),
        (
            {"nginx_south_upstreams": [{"name": "a", "servers": [OLD], "new_percent": 5, "balance": "session"}]},
            ["nginx_south_upstreams[a].balance", "nginx_south_upstreams[a].servers"],
        ),
        ({"nginx_api_paths": ["/v1"]}, ["nginx_api_paths"]),
        ({"nginx_api_paths": {"/v1;": ["GET"]}}, ["nginx_api_paths"]),
        ({"nginx_api_paths": {"/v1": ["get"]}}, ["nginx_api_paths[/v1]"]),
        ({"nginx_api_paths": {"/v1": "GET"}}, ["nginx_api_paths[/v1]"]),
        ({"nginx_api_paths": {"/v1": []}}, ["nginx_api_paths[/v1]"]),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert variables(**changes) == expected


@pytest.mark.parametrize("name", sorted(SINGLE))
@pytest.mark.parametrize("value", ["a;b", "1 2", -1, True, 1.5, {"a": 1}])
def test_every_value_that_is_written_into_the_configuration_has_a_form(name: str, value: Any) -> None:
    assert variables(**{name: value})[:1] == [name] or "nginx_tls" in name


def test_every_parameter_of_a_user_is_checked() -> None:
    """A default of the role that holds one value is in the table; the others have checks of their own."""
    own = {"nginx_api_paths", "nginx_tls_certificate", "nginx_tls_key"}
    assert set(DEFAULTS) <= set(SINGLE) | own


def test_a_sentence_says_host_variable_value_and_remedy() -> None:
    (problem,) = problems({**GOOD, "nginx_http_port": 443}, "gw")
    assert problem.sentence() == (
        "gw: nginx_http_port is 443: nginx_api has this port; choose a port that no door uses, or 0."
    )


def test_a_part_of_a_door_names_what_is_missing_and_what_to_set_instead() -> None:
    (problem,) = problems({**GOOD, "nginx_api": {"aliases": ["127.0.0.1"]}}, "gw")
    assert "server_name, port, upstream is missing" in problem.sentence()
    assert "nginx_api_aliases" in problem.sentence()


def test_a_sentence_names_what_the_user_sets() -> None:
    names = {"nginx_api.server_name": "llm_api_server_name"}
    (problem,) = problems({**GOOD, "nginx_api": {**API, "server_name": "a b"}}, "gw", names)
    assert problem.variable == "llm_api_server_name"


def test_no_certificate_and_no_key_is_in_a_message() -> None:
    for changes in ({"nginx_tls_key": "canary"}, {"nginx_tls_certificate": "canary", "nginx_tls_key": "canary"}):
        found = problems({**GOOD, **changes}, "gw")
        assert found
        assert "canary" not in str(found)
