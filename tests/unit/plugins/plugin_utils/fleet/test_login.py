# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with how people log in is said before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.filter.access import FilterModule
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import login

SECRET = "canary-of-a-secret"
GOOD = {
    "open_webui_oidc_issuer": "https://id.example.com:8443/realms/main",
    "open_webui_oidc_client_id": "chat",
    "open_webui_oidc_client_secret": SECRET,
    "open_webui_oidc_users": ["staff"],
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"open_webui_password_login": True, "open_webui_oidc_issuer": "", "open_webui_oidc_users": []},
        GOOD,
        {**GOOD, "open_webui_password_login": False, "open_webui_oidc_scopes": ["openid", "groups"]},
        {**GOOD, "open_webui_oidc_users": [], "open_webui_oidc_admins": ["admins"]},
        {**GOOD, "open_webui_oidc_issuer": "http://localhost:5000"},
        {**GOOD, "open_webui_oidc_issuer": "http://[::1]:5000/"},
        # Values of a vault that cannot be read here.
        {"open_webui_oidc_issuer": login.UNKNOWN},
        {**GOOD, "open_webui_oidc_scopes": login.UNKNOWN, "open_webui_oidc_users": login.UNKNOWN},
    ],
)
def test_what_works_is_not_refused(values: dict[str, Any]) -> None:
    assert login.problems(values) == []


@pytest.mark.parametrize(
    ("changes", "variable", "text"),
    [
        ({"open_webui_oidc_issuer": "id.example.com"}, "issuer", "not a valid URL"),
        ({"open_webui_oidc_issuer": "https://id.example.com:x"}, "issuer", "not a valid URL"),
        ({"open_webui_oidc_issuer": "https://id .example.com"}, "issuer", "not a valid URL"),
        ({"open_webui_oidc_issuer": "https:///realms"}, "issuer", "not a valid URL"),
        ({"open_webui_oidc_issuer": "http://10.0.0.5"}, "issuer", "plain text"),
        ({"open_webui_oidc_issuer": "http://localhost.example.com"}, "issuer", "plain text"),
        ({"open_webui_oidc_issuer": f"https://me:{SECRET}@id.example.com"}, "issuer", "in logs"),
        ({"open_webui_oidc_issuer": "https://id.example.com/?a=b"}, "issuer", "query"),
        ({"open_webui_oidc_issuer": f"https://id.example.com{login.DISCOVERY}"}, "issuer", "description"),
        ({"open_webui_oidc_client_id": ""}, "client_id", "who asks"),
        ({"open_webui_oidc_client_secret": ""}, "client_secret", "who asks"),
        ({"open_webui_oidc_users": []}, "users", "nobody"),
        ({"open_webui_oidc_scopes": ["email"]}, "scopes", "openid"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], variable: str, text: str) -> None:
    found = login.problems({**GOOD, **changes}, "web1")
    assert [(problem.variable, problem.host) for problem in found] == [(f"open_webui_oidc_{variable}", "web1")]
    assert text in found[0].problem
    assert found[0].remedy
    assert SECRET not in str(found)


def test_a_client_without_a_provider_is_refused() -> None:
    found = login.problems({**GOOD, "open_webui_oidc_issuer": ""})
    assert [problem.variable.removeprefix(login.PREFIX) for problem in found] == ["client_id", "client_secret", "users"]
    assert SECRET not in str(found)


@pytest.mark.parametrize("word", ["no", "false", False])
def test_without_passwords_somebody_else_has_to_know_people(word: Any) -> None:
    problems = FilterModule().filters()["login_problems"]
    found = problems({"open_webui_password_login": word}, "web1")
    assert [(problem["variable"], problem["problem"]) for problem in found] == [
        ("open_webui_password_login", "nobody could log in")
    ]
    assert problems({**GOOD, "open_webui_password_login": word}) == []
