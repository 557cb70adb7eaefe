# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI reads its environment and nothing else: what the role makes of its parameters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import played

HERE = Path(__file__).resolve().parent
ROLE = HERE.parents[3] / "roles" / "open_webui"
PARAMETERS = {
    "service_state_root": "/var/lib/llmfleet",
    "open_webui_url": "https://chat.example:8444",
    "open_webui_api_base_url": "http://127.0.0.1:4000/v1",
    "open_webui_default_models": "chat",
    "open_webui_admin_email": "admin@localhost",
    "open_webui_admin_name": "Administrator",
    "open_webui_admin_password": "canary-password",
    "open_webui_secret_key": "canary-secret-key",
    "open_webui_api_key": "canary-api-key",
}


URLS = {
    "path": ("https://chat.example/", "https://chat.example", "true"),
    "own-port": ("https://chat.example:8443/", "https://chat.example:8443", "true"),
    "https-port": ("https://chat.example:443", "https://chat.example", "true"),
    "http-port": ("http://chat.example:80", "http://chat.example", "false"),
    "other-port": ("http://10.0.0.1:443", "http://10.0.0.1:443", "false"),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {
        "open_webui_prompt_suggestions": ['What is "nginx" for?'],
        "open_webui_request_defaults": {"temperature": 0.2, "max_tokens": 64},
        "open_webui_builtin_tools": True,
        "open_webui_environment": {"ENABLE_NOTES": "false", "GLOBAL_LOG_LEVEL": "DEBUG"},
    },
    **{name: {"open_webui_url": url} for name, (url, _origin, _secure) in URLS.items()},
}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The environment of every variant; a host each, so that Ansible starts once."""
    folder = tmp_path_factory.mktemp("environments")
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    hosts = {
        name: {**defaults, **PARAMETERS, **changes, "result_file": str(folder / name)}
        for name, changes in VARIANTS.items()
    }
    inventory = folder / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": {"ansible_python_interpreter": sys.executable}}}))
    played("-i", inventory, HERE / "environment.yml")
    read = {name: json.loads((folder / name).read_text()) for name in VARIANTS}
    return {name: {key: str(value) for key, value in made.items()} for name, made in read.items()}


def test_environment_says_what_the_parameters_say(environments: dict[str, dict[str, str]]) -> None:
    made = environments["full"]
    assert made["WEBUI_URL"] == "https://chat.example:8444"
    assert made["CORS_ALLOW_ORIGIN"] == "https://chat.example:8444"
    assert made["WEBUI_AUTH_COOKIE_SECURE"].lower() == "true"
    assert json.loads(made["DEFAULT_PROMPT_SUGGESTIONS"]) == [
        {"content": 'What is "nginx" for?', "title": ['What is "nginx" for?', ""]}
    ]
    assert json.loads(made["DEFAULT_MODEL_PARAMS"]) == {"temperature": 0.2, "max_tokens": 64}
    assert json.loads(made["DEFAULT_MODEL_METADATA"]) == {"capabilities": {"builtin_tools": True}}
    assert made["ENABLE_NOTES"] == "false"
    assert made["GLOBAL_LOG_LEVEL"] == "DEBUG", "what the user sets wins"


def test_environment_by_default_is_closed(environments: dict[str, dict[str, str]]) -> None:
    made = environments["plain"]
    assert made["ENABLE_SIGNUP"] == "false"
    assert made["OFFLINE_MODE"] == "true"
    assert made["ENABLE_PERSISTENT_CONFIG"] == "false"
    assert json.loads(made["DEFAULT_PROMPT_SUGGESTIONS"]) is None
    assert json.loads(made["DEFAULT_MODEL_METADATA"]) == {"capabilities": {"builtin_tools": False}}
    assert "\n" not in made["CONTENT_SECURITY_POLICY"]
    sources = " ".join(made["CONTENT_SECURITY_POLICY"].replace(";", " ").split())
    assert "http" not in sources
    assert "*" not in sources
    assert not [name for name, value in made.items() if "canary" in value], "secrets are not part of the environment"


@pytest.mark.parametrize("name", URLS)
def test_origin_is_what_browsers_send(environments: dict[str, dict[str, str]], name: str) -> None:
    _url, origin, secure = URLS[name]
    assert environments[name]["CORS_ALLOW_ORIGIN"] == origin
    assert environments[name]["WEBUI_SESSION_COOKIE_SECURE"].lower() == secure
