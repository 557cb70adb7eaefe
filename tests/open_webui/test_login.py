# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""People log in to the real Open WebUI through a real identity provider, and their groups say what they may do."""

from __future__ import annotations

import subprocess
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from page_run import ROOT, used

CANAILLE = ROOT / ".venv" / "canaille" / "bin" / "python"
NO_PERMISSION = "You do not have permission"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    assert CANAILLE.exists(), f"{CANAILLE} is not there: make .venv/canaille/.complete"
    folder = tmp_path_factory.mktemp("login")
    certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*certificate.split(), *names], cwd=folder, check=True, capture_output=True)
    changes = {
        "open_webui_password_login": False,
        "open_webui_oidc_issuer": "https://localhost:8443",
        "open_webui_oidc_client_id": "chat-page",
        "open_webui_oidc_scopes": ["openid", "email", "profile", "groups"],
        "open_webui_oidc_name": "Our provider",
        "open_webui_oidc_users": ["chat-users"],
        "open_webui_oidc_admins": ["chat-admins"],
        "open_webui_ca_file": str(folder / "cert.pem"),
        # At this level it says the most; what belongs to a log-in stays out of it all the same.
        "open_webui_log_level": "DEBUG",
    }
    return used(folder, changes, str(CANAILLE), user="login_inside.py")


def told(url: str) -> str:
    """What the page tells a person whom it sends back to its log-in."""
    return parse_qs(urlsplit(url).query).get("error", [""])[0]


def test_the_page_offers_the_provider_and_no_passwords(report: Any) -> None:
    assert report["config"]["oauth"]["providers"] == {"oidc": "Our provider"}
    assert report["config"]["features"]["enable_login_form"] is False
    assert report["password"] == 403


def test_the_group_says_what_somebody_is(report: Any) -> None:
    picture = "/user.png"
    assert report["first"] == {
        "ann": _person("user", "Ann", picture),
        "eve": _person("admin", "Eve", picture),
    }
    assert report["pictures"] == 0, "the page has fetched a picture"
    assert "token" in report["cookies"]
    assert "oauth_id_token" not in report["cookies"]


def _person(role: str, name: str, picture: str) -> dict[str, Any]:
    return {
        "status": 200,
        "role": role,
        "email": f"{name.lower()}@mail.example",
        "name": name,
        "profile_image_url": picture,
    }


@pytest.mark.parametrize("name", ["bob", "dan"], ids=["without a group", "of another group"])
def test_who_is_in_no_group_is_refused_and_gets_no_account(report: Any, name: str) -> None:
    refused = report["refused"][name]
    assert told(refused["url"]).startswith(NO_PERMISSION)
    assert refused["token"] == ""
    assert report["accounts"] == ["admin@localhost", "ann@mail.example", "eve@mail.example"]


def test_who_leaves_the_group_loses_the_role_and_all_sessions_at_the_next_log_in(report: Any) -> None:
    away = report["away"]
    assert told(away["url"]).startswith(NO_PERMISSION)
    assert (away["before"], away["after"], away["token"], away["role"]) == (200, 401, "", "pending")


def test_roles_follow_the_groups(report: Any) -> None:
    assert (report["moved"]["status"], report["moved"]["role"]) == (200, "user")
    assert (report["back"]["status"], report["back"]["role"]) == (200, "user")


def test_who_signs_out_does_so_at_the_provider_too(report: Any) -> None:
    assert report["out"].startswith("https://localhost:8443/oauth/end_session?id_token_hint=")


def test_the_provider_is_asked_for_a_code_that_only_the_page_can_use(report: Any) -> None:
    asked = report["wrong"]["asked"]
    assert asked["redirect_uri"] == "http://127.0.0.1:3000/oauth/oidc/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["nonce"]
    assert told(report["wrong"]["url"])


def test_the_log_has_no_secret_and_no_token(report: Any) -> None:
    assert report["secrets"] > 8, "the provider has issued nothing: this test proves nothing here"
    assert report["logged"] > 100, "nothing was logged: this test proves nothing here"
    assert report["leaks"] == []
