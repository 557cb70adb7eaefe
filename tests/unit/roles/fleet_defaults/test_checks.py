# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the gateways' variables is known before anything is touched, where no role's defaults are."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
CANARY = "sk-canary-0123456789"
PROVIDER = {
    "open_webui_oidc_client_id": "chat",
    "open_webui_oidc_client_secret": "{{ of_a_vault }}",
    "open_webui_oidc_users": ["staff"],
}
# Gateways that run the chat page, too.
PAGES = ("issuer", "provider", "identity", "passwords")
# Name of a gateway: its variables, and the variables that are refused.
GATEWAYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "good": ({"nginx_http_port": 80, "litellm_master_key": CANARY}, []),
    "limits": (
        {"nginx_rate_per_key": "a;b", "nginx_access_log_days": 0},
        ["nginx_access_log_days", "nginx_rate_per_key"],
    ),
    "ports": ({"nginx_http_port": 443}, ["nginx_http_port"]),
    "names": (
        {"llm_api_server_name": "a b", "llm_chat_server_name": "https://c"},
        ["llm_api_server_name", "llm_chat_server_name"],
    ),
    "same": ({"llm_api_server_name": "a.test", "llm_chat_server_name": "a.test"}, ["llm_chat_server_name"]),
    "certificate": ({"nginx_tls_key": CANARY}, ["nginx_tls_certificate", "nginx_tls_key"]),
    "paths": ({"nginx_api_paths": {"/v1;": ["GET"]}}, ["nginx_api_paths"]),
    "egress": (
        {
            "litellm_redis_url": f"rediss://me:{CANARY}@cache.example.com:6379/0",
            "litellm_environment": {"LANGFUSE_HOST": "https://10.0.0.9", "HOME": "/"},
        },
        ["litellm_redis_url"],
    ),
    "networks": ({"litellm_redis_url": "rediss://cache", "llm_egress_networks": ["10.0.0.0/8"]}, []),
    "open": ({"litellm_redis_url": "rediss://cache", "litellm_egress": ["any"]}, []),
    # One mistake is one problem, also where several checks find it.
    "address": ({"llm_address": "gw.example.com"}, ["llm_address"]),
    "listen": (
        {"nginx_south_listen": "gw.example.com", "gate_listen": "gate.example.com"},
        ["gate_listen", "nginx_south_listen"],
    ),
    "cache": ({"litellm_redis_url": "redis://cache.example.com"}, ["litellm_redis_url"]),
    "unfiltered": (
        {"llm_address": "gw.example.com", "llm_private_networks": ["any"], "llm_egress_networks": ["10.0.0.0/8"]},
        [],
    ),
    "filtered": ({"llm_address": "gw.example.com", "llm_private_networks": ["any"]}, ["llm_address"]),
    "hops": (
        {
            "gate_engines_url": "http://203.0.113.5:4100",
            "gate_translator_url": "http://127.0.0.1:4000",
            "nginx_chat": {"server_name": "c.test", "port": 8444, "upstream": ["10.0.0.9:3000", "[2001:db8::9]:3000"]},
            "litellm_environment": {
                "REDIS_URL": f"redis://me:{CANARY}@203.0.113.5",
                "HTTPS_PROXY": "http://203.0.113.5",
            },
            "litellm_config": {"litellm_settings": {"cache_params": {"url": "Redis://[2001:db8::5]:6379"}}},
        },
        ["gate_engines_url", "nginx_chat", "litellm_config", "litellm_environment"],
    ),
    # A Redis and a database in parts.
    "parts": (
        {
            "litellm_config": {"router_settings": {"redis_host": "os.environ/CACHE", "redis_port": 6379}},
            "litellm_environment": {"CACHE": "203.0.113.5", "DATABASE_HOST": "203.0.113.6", "REDIS_HOST": "10.0.0.5"},
        },
        ["litellm_config", "litellm_environment"],
    ),
    "encrypted": (
        {"litellm_config": {"litellm_settings": {"cache_params": {"host": "203.0.113.5", "ssl": True}}}},
        [],
    ),
    # Engines are not on this host.
    "engines": ({"vllm_env": {"HF_ENDPOINT": "http://203.0.113.5"}}, []),
    "host": ({"litellm_environment": {"REDIS_HOST": "cache", "REDIS_SSL": "true"}}, ["litellm_environment"]),
    # Engines, the gate and metrics are all at this address; the doors are not, and have TLS.
    "public": ({"llm_address": "203.0.113.7", "nginx_listen": "203.0.113.7"}, ["llm_address"]),
    "named": ({"llm_address": "203.0.113.7", "llm_private_networks": ["203.0.113.0/28"]}, []),
    "everywhere": ({"gate_listen": "0.0.0.0", "nginx_http_port": 80}, ["gate_listen"]),
    "redis": (
        {"litellm_redis_url": f"redis://me:{CANARY}@203.0.113.9:6379/0", "nginx_south_listen": "::1"},
        ["litellm_redis_url"],
    ),
    "page": ({"open_webui_api_base_url": "http://203.0.113.9/v1"}, []),
    "issuer": (
        {**PROVIDER, "open_webui_oidc_issuer": "http://203.0.113.9", "open_webui_oidc_users": []},
        ["open_webui_oidc_issuer", "open_webui_oidc_users"],
    ),
    # A name is let out only if the inventory says so.
    "provider": ({**PROVIDER, "open_webui_oidc_issuer": "https://id.example.com"}, ["open_webui_oidc_issuer"]),
    "identity": ({**PROVIDER, "open_webui_oidc_issuer": "https://203.0.113.9"}, []),
    "passwords": ({"open_webui_password_login": False}, ["open_webui_password_login"]),
    "master": ({"litellm_master_key": "canary"}, ["litellm_master_key"]),
    "vault": ({"nginx_tls_certificate": "{{ of_a_vault }}", "nginx_tls_key": "{{ of_a_vault }}"}, []),
    "aliases": ({"nginx_api_aliases": ["127.0.0.1"]}, []),
    "part": ({"nginx_api": {"aliases": ["127.0.0.1"]}}, ["nginx_api"]),
    "doors": (
        {"nginx_chat": {"server_name": "c.test", "port": 0, "upstream": []}, "nginx_chat_aliases": ["a b"]},
        ["nginx_chat_aliases[0]", "llm_chat_port", "nginx_chat.upstream"],
    ),
}
# As YAML writes them.
KEYS = "[{alias: contractor, expires: 2027-01-31}, {alias: other, expires: 2027-01-31T18:00:00Z}]"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("checks")
    hosts = {name: changes for name, (changes, _refused) in GATEWAYS.items()}
    everywhere = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "llm_models": [{"name": "chat", "source": "demo:"}],
        "llm_address": "10.0.0.1",
        "litellm_keys": yaml.safe_load(KEYS),
    }
    children = {"llm_gateway": {"hosts": hosts}, "llm_webui": {"hosts": dict.fromkeys(("unread", *PAGES))}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": everywhere, "children": children}}))
    listeners = "[] | llmfleet.serving.listeners(llm_other_listeners)"
    found = "llm_problems + llm_login_problems + llm_egress_problems + llm_plain_text_problems + llm_nginx_problems"
    wanted = f"{{{{ {{'found': {found}, 'listeners': {listeners}}} }}}}"
    addresses = {"all_ipv4_addresses": ["10.0.0.1", "203.0.113.7"], "cacheable": True}
    play = {
        "hosts": "llm_gateway",
        "gather_facts": False,
        "vars_files": [str(path) for path in sorted((ROOT / "group_vars" / "all").glob("*.yml"))],
        "roles": ["llmfleet.serving.fleet_defaults"],
        "tasks": [
            {"ansible.builtin.set_fact": addresses},
            {"write_here": {"content": wanted, "dest": f"{folder}/{{{{ inventory_hostname }}}}"}},
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    played("-i", folder / "hosts.yml", folder / "play.yml")
    return {name: json.loads((folder / name).read_text()) for name in GATEWAYS}


@pytest.mark.parametrize("name", GATEWAYS)
def test_what_is_refused(outcome: dict[str, Any], name: str) -> None:
    found = outcome[name]["found"]
    assert [problem["variable"] for problem in found] == GATEWAYS[name][1]
    assert {problem["host"] for problem in found} <= {name, ""}
    assert "canary" not in json.dumps(found)


@pytest.mark.parametrize(("name", "there"), [("good", True), ("limits", False)])
def test_the_port_of_plain_http_is_among_those_that_must_be_free(
    outcome: dict[str, Any], name: str, there: bool
) -> None:
    names = {listener["name"]: listener["port"] for listener in outcome[name]["listeners"]}
    assert ("nginx_http_port" in names) is there
    assert "llm_api_port" in names


def test_every_lock_that_a_user_may_give_is_checked() -> None:
    checks = yaml.safe_load((ROOT / "roles/fleet_defaults/defaults/main/checks.yml").read_text())
    pattern = re.search(r"'(\^.*_requirements\$)'", checks["llm_lock_variables"])
    assert pattern
    roles = {path.parents[1].name for path in (ROOT / "roles").glob("*/defaults/main.yml")}
    given = {f"{role}_requirements" for role in roles if f"{role}_requirements:" in defaults(role)}
    assert given
    assert {name for name in given if re.fullmatch(pattern[1], name)} == given


def defaults(role: str) -> str:
    return (ROOT / "roles" / role / "defaults" / "main.yml").read_text()
