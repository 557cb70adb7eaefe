# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application that uvicorn runs: Open WebUI behind a filter, with a sign-out that ends sessions and a quiet log."""

from __future__ import annotations

import json
import os
from typing import Any

import llmfleet_page_log
from fastapi import HTTPException
from llmfleet_filter import ADMINISTRATOR, Filter, no_room
from llmfleet_login import WAITING, Accounts, Groups, role_by_groups
from open_webui.constants import ERROR_MESSAGES
from open_webui.internal.db import get_async_db
from open_webui.main import app as page
from open_webui.models.config import Config
from open_webui.models.files import File
from open_webui.models.users import Users
from open_webui.routers import auths, files
from open_webui.utils.access_control import has_permission
from open_webui.utils.auth import decode_token, is_valid_token, revoke_user_tokens
from open_webui.utils.oauth import OAuthManager
from sqlalchemy import select
from starlette.middleware import Middleware

__all__ = ["app"]
USER_FILES_MAX_SIZE = int(os.environ["LLMFLEET_USER_FILES_MAX_SIZE"])
# Claim and groups of an identity provider, if people log in there.
LOGIN = json.loads(os.environ.get("LLMFLEET_LOGIN") or "null")
# A release without these names would silently keep sessions, take any number of files or let anybody in, so it must not
# start.
REPLACED = ((auths, "invalidate_token"), (files, "upload_file_handler"), (OAuthManager, "get_user_role"))
for module, name in REPLACED:
    if not hasattr(module, name):
        raise ImportError(f"{module.__name__} has no {name}: this release works in another way")
take_file = files.upload_file_handler


async def end_sessions(request: Any, token: str) -> None:
    """End all sessions of the account that signs out.

    Open WebUI can end a single session only with Redis. That all of an account have ended, as after a change of its
    password, it keeps in its database.
    """
    claims = decode_token(token)
    if claims and await is_valid_token(claims, request.app.state.redis):
        await revoke_user_tokens(request, claims["id"])


async def may_list(user: Any) -> bool:
    return bool(await has_permission(user.id, "access_grants.allow_users", await Config.get("user.permissions")))


async def take_file_if_there_is_room(request: Any, file: Any, user: Any, **others: Any) -> Any:
    if user.role != ADMINISTRATOR:
        async with get_async_db() as db:
            rows = (await db.execute(select(File.meta).where(File.user_id == user.id))).scalars()
            used = sum(int((meta or {}).get("size") or 0) for meta in rows)
        refusal = no_room(used, file.size or 0, USER_FILES_MAX_SIZE)
        if refusal:
            raise HTTPException(413, refusal)
    return await take_file(request, file=file, user=user, **others)


async def suspend(user: Any) -> None:
    """End the sessions of an account whose person may no longer log in, and its role."""
    await Users.update_user_role_by_id(user.id, WAITING)
    await revoke_user_tokens(None, user.id)


def refusal() -> Exception:
    return HTTPException(403, ERROR_MESSAGES.ACCESS_PROHIBITED)


auths.invalidate_token = end_sessions
files.upload_file_handler = take_file_if_there_is_room
if LOGIN:
    accounts = Accounts(Users.get_num_users, suspend, refusal)
    OAuthManager.get_user_role = role_by_groups(Groups(**LOGIN), accounts)
page.user_middleware.append(Middleware(Filter, may_list=may_list))
llmfleet_page_log.install()
app = llmfleet_page_log.Serving(page)
