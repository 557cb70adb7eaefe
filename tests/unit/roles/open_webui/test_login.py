# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which role a person of an identity provider gets; tests/open_webui has the page and a provider themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "open_webui" / "files"
login = load_file(FILES / "llmfleet_login.py")
GROUPS = login.Groups("groups", ["chat users", "staff"], ["chat-admins"])


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["staff"]}, "user"),
        ({"groups": ("x", "chat users")}, "user"),
        ({"groups": "chat-admins"}, "admin"),
        ({"groups": ["staff", "chat-admins"]}, "admin"),
        ({"groups": ["Staff"]}, ""),
        ({"groups": "staff,chat-admins"}, ""),
        ({"groups": []}, ""),
        ({"groups": [["staff"], 1, None]}, ""),
        ({"groups": {"staff": True}}, ""),
        ({"roles": ["staff"]}, ""),
        ({}, ""),
    ],
)
def test_groups_make_roles(claims: dict[str, Any], role: str) -> None:
    assert login.role_of(claims, GROUPS) == role


@pytest.mark.parametrize(
    "claims",
    [{"realm_access": {"roles": ["staff"]}}, {"realm_access.roles": ["staff"]}],
    ids=["inside of another claim", "with a dot in its name"],
)
def test_a_claim_may_have_a_dot(claims: dict[str, Any]) -> None:
    assert login.role_of(claims, GROUPS._replace(claim="realm_access.roles")) == "user"


class Accounts:
    """Stands for Open WebUI's accounts."""

    def __init__(self, number: int) -> None:
        self.count = number
        self.suspended: list[str] = []

    async def number(self) -> int:
        return self.count

    async def suspend(self, user: Any) -> None:
        self.suspended.append(user.id)

    def decide(self, user: Any, claims: dict[str, Any], token: dict[str, Any] | None = None) -> str:
        """The role, or a word for a refusal."""
        accounts = login.Accounts(self.number, self.suspend, PermissionError)
        decided = login.role_by_groups(GROUPS, accounts)
        try:
            return str(asyncio.run(decided(None, user, claims, token_claims=token)))
        except PermissionError:
            return "refused"


USER = SimpleNamespace(id="1", role="admin")


def test_the_only_account_is_an_administrator_by_its_group_alone() -> None:
    assert Accounts(1).decide(USER, {"groups": ["staff"]}) == "user"
    assert Accounts(1).decide(USER, {"groups": ["chat-admins"]}) == "admin"


def test_nobody_becomes_the_first_account_by_a_log_in() -> None:
    # Open WebUI makes the first account an administrator after it was asked for the role.
    assert Accounts(0).decide(None, {"groups": ["staff"]}) == "refused"
    assert Accounts(1).decide(None, {"groups": ["staff"]}) == "user"


def test_an_account_without_a_group_is_suspended() -> None:
    accounts = Accounts(3)
    assert accounts.decide(USER, {}) == "refused"
    assert accounts.decide(None, {}) == "refused"
    assert accounts.suspended == ["1"]


def test_a_token_may_name_the_groups() -> None:
    assert Accounts(3).decide(USER, {}, {"groups": ["staff"]}) == "user"
