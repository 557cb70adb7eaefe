# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in through an identity provider, and with which role: the groups of the inventory alone decide.

Open WebUI lets a person in about whom the provider names no group at all, and makes the only account an administrator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

# Roles of Open WebUI; an account without one of the first two can do nothing.
ADMINISTRATOR, USER, WAITING = "admin", "user", "pending"


class Groups(NamedTuple):
    """The claim that names a person's groups, and the groups that make users and administrators."""

    claim: str
    users: Collection[str]
    admins: Collection[str]


class Accounts(NamedTuple):
    """What a decision needs of Open WebUI: the number of accounts, to end an account's sessions and role, a refusal."""

    number: Callable[[], Awaitable[int]]
    suspend: Callable[[Any], Awaitable[None]]
    refusal: Callable[[], Exception]


def named(claims: Mapping[str, Any], claim: str) -> set[str]:
    """The groups in a claim, which may be a list or one text. Dots lead into what a claim has inside of it."""
    value: Any = claims
    for part in claim.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        value = claims.get(claim)
    if isinstance(value, str):
        return {value}
    return {one for one in value if isinstance(one, str)} if isinstance(value, (list, tuple)) else set()


def role_of(claims: Mapping[str, Any], groups: Groups) -> str:
    """The role of a person with these claims; empty for somebody who may not log in."""
    found = named(claims, groups.claim)
    if found.intersection(groups.admins):
        return ADMINISTRATOR
    return USER if found.intersection(groups.users) else ""


def role_by_groups(groups: Groups, accounts: Accounts) -> Callable[..., Awaitable[str]]:
    """Make what takes the place of Open WebUI's `OAuthManager.get_user_role`."""

    async def get_user_role(
        _manager: Any, user: Any, claims: Mapping[str, Any], *, token_claims: Mapping[str, Any] | None = None
    ) -> str:
        role = role_of(claims, groups) or role_of(token_claims or {}, groups)
        if not role and user:
            await accounts.suspend(user)
        # Open WebUI would make the first account an administrator after this.
        if not role or not (user or await accounts.number()):
            raise accounts.refusal()
        return role

    return get_user_role
