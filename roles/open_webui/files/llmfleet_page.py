# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application that uvicorn runs: Open WebUI behind a filter, with a sign-out that ends sessions."""

from __future__ import annotations

from typing import Any

from llmfleet_filter import Filter
from open_webui.main import app
from open_webui.models.config import Config
from open_webui.routers import auths
from open_webui.utils.access_control import has_permission
from open_webui.utils.auth import decode_token, is_valid_token, revoke_user_tokens
from starlette.middleware import Middleware

__all__ = ["app"]


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


# A release without this name would silently keep sessions, so it must not start.
if not hasattr(auths, "invalidate_token"):
    raise ImportError("open_webui.routers.auths has no invalidate_token: this release ends sessions in another way")
auths.invalidate_token = end_sessions
app.user_middleware.append(Middleware(Filter, may_list=may_list))
