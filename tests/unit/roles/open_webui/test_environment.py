# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI reads its environment and nothing else: what the role makes of its parameters."""

from __future__ import annotations

import json
import re
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
    "service_config_root": "/etc/llmfleet",
    "open_webui_url": "https://chat.example:8444",
    "open_webui_api_base_url": "http://127.0.0.1:4000/v1",
    "open_webui_names_persons": False,
    "open_webui_default_models": "chat",
    "open_webui_embedding_model": "",
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
        "open_webui_embedding_model": "embed",
        "open_webui_session_hours": 8,
        "open_webui_signup": True,
        "open_webui_new_user_role": "user",
        "open_webui_plugins": True,
        "open_webui_file_max_size": 50,
        "open_webui_file_max_count": 3,
        "open_webui_user_permissions": {"chat_stt": True, "chat_file_upload": False, "features_memories": False},
    },
    "provider": {
        "open_webui_password_login": False,
        "open_webui_oidc_issuer": "https://id.example.com/realms/main/",
        "open_webui_oidc_client_id": "chat",
        "open_webui_oidc_client_secret": "canary-client-secret",
        "open_webui_oidc_users": ["cn=chat, users"],
        "open_webui_oidc_admins": ["admins"],
        "open_webui_ca_file": "/etc/ssl/ca.pem",
    },
    "unknown": {"open_webui_user_permissions": {"chat_speech": True, "chat_stt": True}},
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
    for name, made in read.items():
        made["problem"] = (folder / f"{name}.problem").read_text()
        made["secrets"] = (folder / f"{name}.secrets").read_text()
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
    assert (made["JWT_EXPIRES_IN"], made["ENABLE_SIGNUP"], made["DEFAULT_USER_ROLE"]) == ("8h", "True", "user")
    assert (made["RAG_FILE_MAX_SIZE"], made["RAG_FILE_MAX_COUNT"], made["ENABLE_PLUGINS"]) == ("50", "3", "True")
    assert made["ENABLE_NOTES"] == "false"
    assert made["GLOBAL_LOG_LEVEL"] == "DEBUG", "what the user sets wins"


def test_permissions_of_the_inventory_win(environments: dict[str, dict[str, str]]) -> None:
    plain, full = environments["plain"], environments["full"]
    off = [name for name, value in plain.items() if name.startswith("USER_PERMISSIONS_") and value == "False"]
    assert sorted(name.removeprefix("USER_PERMISSIONS_") for name in off) == [
        "CHAT_CALL",
        "CHAT_STT",
        "CHAT_TTS",
        "CHAT_WEB_UPLOAD",
        "FEATURES_IMAGE_GENERATION",
        "FEATURES_MEMORIES",
        "FEATURES_WEB_SEARCH",
    ]
    assert full["USER_PERMISSIONS_CHAT_STT"] == "True"
    assert full["USER_PERMISSIONS_CHAT_FILE_UPLOAD"] == "False"
    assert full["USER_PERMISSIONS_FEATURES_MEMORIES"] == "False", "an embedding model does not win over the inventory"
    assert full["USER_PERMISSIONS_CHAT_TTS"] == "False"
    # A browser asks nobody for a place or a voice that no user may give.
    assert (plain["PERMISSIONS_POLICY"], full["PERMISSIONS_POLICY"]) == (
        "geolocation=(),microphone=()",
        "geolocation=()",
    )


def test_a_permission_that_does_not_exist_is_refused(environments: dict[str, dict[str, str]]) -> None:
    problems = {name: made["problem"] for name, made in environments.items() if made["problem"]}
    assert set(problems) == {"unknown"}
    assert problems["unknown"].startswith(
        "unknown: open_webui_user_permissions has chat_speech: Open WebUI has no such permission"
    )


def test_embeddings_are_the_gateways_or_nobodys(environments: dict[str, dict[str, str]]) -> None:
    plain, full = environments["plain"], environments["full"]
    assert (plain["RAG_OPENAI_API_BASE_URL"], plain["ENABLE_MEMORIES"]) == ("http://127.0.0.1:9", "False")
    assert (full["RAG_OPENAI_API_BASE_URL"], full["ENABLE_MEMORIES"]) == ("http://127.0.0.1:4000/v1", "True")
    assert full["RAG_EMBEDDING_MODEL"] == "embed"
    bypassed = [made["BYPASS_EMBEDDING_AND_RETRIEVAL"] for made in (plain, full)]
    assert bypassed == ["True", "False"], "documents are searched where there is a model for it"
    hidden = [json.loads(made["UI_VISIBILITY"]) for made in (plain, full)]
    assert ["chat.attach_knowledge" in names for names in hidden] == [True, False]


def test_environment_by_default_is_closed(environments: dict[str, dict[str, str]]) -> None:
    made = environments["plain"]
    assert made["ENABLE_SIGNUP"] == "False"
    assert made["DEFAULT_USER_ROLE"] == "pending"
    assert made["JWT_EXPIRES_IN"] == "24h"
    assert made["ENABLE_PLUGINS"] == "False"
    assert made["OFFLINE_MODE"] == "true"
    assert made["ENABLE_PERSISTENT_CONFIG"] == "false"
    assert json.loads(made["DEFAULT_PROMPT_SUGGESTIONS"]) is None
    assert json.loads(made["DEFAULT_MODEL_METADATA"]) == {"capabilities": {"builtin_tools": False}}
    assert "\n" not in made["CONTENT_SECURITY_POLICY"]
    sources = " ".join(made["CONTENT_SECURITY_POLICY"].replace(";", " ").split())
    assert "http" not in sources
    assert "*" not in sources
    assert not [name for name, value in made.items() if "canary" in value], "secrets are not part of the environment"


def test_a_provider_is_off_until_the_inventory_names_one(environments: dict[str, dict[str, str]]) -> None:
    plain, made = environments["plain"], environments["provider"]
    words = re.compile(r"OAUTH|OPENID|OIDC|PASSWORD_|LOGIN|SSL_CERT_FILE$")
    assert {name for name in plain if words.search(name)} == {"AIOHTTP_CLIENT_SSL_CERT_FILE"}
    secrets = set(plain["secrets"].split())
    assert secrets == {"WEBUI_SECRET_KEY", "WEBUI_ADMIN_PASSWORD", "OPENAI_API_KEYS", "RAG_OPENAI_API_KEY"}
    assert set(made["secrets"].split()) - secrets == {"OAUTH_CLIENT_SECRET"}


def test_a_provider_decides_who_gets_in(environments: dict[str, dict[str, str]]) -> None:
    made = environments["provider"]
    assert made["OPENID_PROVIDER_URL"] == "https://id.example.com/realms/main/.well-known/openid-configuration"
    assert made["OPENID_REDIRECT_URI"] == "https://chat.example:8444/oauth/oidc/callback"
    assert json.loads(made["LLMFLEET_LOGIN"]) == {"claim": "groups", "users": ["cn=chat, users"], "admins": ["admins"]}
    assert [made[f"ENABLE_{name}"] for name in ("PASSWORD_AUTH", "LOGIN_FORM", "OAUTH_ID_TOKEN_COOKIE")] == [
        "false"
    ] * 3
    assert (made["OAUTH_PICTURE_CLAIM"], made["OAUTH_MERGE_ACCOUNTS_BY_EMAIL"]) == ("", "False")
    assert (made["OAUTH_CODE_CHALLENGE_METHOD"], made["OAUTH_SCOPES"]) == ("S256", "openid email profile")
    assert made["SSL_CERT_FILE"] == "/etc/ssl/ca.pem"
    assert not [name for name, value in made.items() if "canary" in value]


@pytest.mark.parametrize("name", URLS)
def test_origin_is_what_browsers_send(environments: dict[str, dict[str, str]], name: str) -> None:
    _url, origin, secure = URLS[name]
    assert environments[name]["CORS_ALLOW_ORIGIN"] == origin
    assert environments[name]["WEBUI_SESSION_COOKIE_SECURE"].lower() == secure
