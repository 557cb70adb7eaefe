# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application that uvicorn runs: LiteLLM behind the door that checks what clients send."""

from __future__ import annotations

import os
from collections.abc import Iterable, MutableMapping
from typing import Any

import orjson
from litellm.proxy._types import LitellmUserRoles
from litellm.proxy.proxy_server import app as litellm_app
from llmfleet_door import Door, Message, Tools
from llmfleet_gateway import Refusal, authenticate
from llmfleet_requests import Limits, RequestError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

MOST_FORM_FIELDS = 50


async def is_admin(scope: MutableMapping[str, Any], key: str) -> bool:
    try:
        identity = await authenticate(Request(scope), key)
    except Refusal as refusal:
        raise RequestError(refusal.message, None, str(refusal.openai_code), int(refusal.code)) from None
    return bool(identity.user_role == LitellmUserRoles.PROXY_ADMIN)


async def form(kind: bytes, body: bytes) -> Iterable[tuple[str, object]]:
    """The form's fields, read by the same parser that LiteLLM's endpoints use."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}, receive)
    try:
        parsed = await request.form(max_files=1, max_fields=MOST_FORM_FIELDS)
    except (HTTPException, MultiPartException, ValueError, KeyError):
        raise RequestError("The form cannot be read.", None, "invalid_form") from None
    items = list(parsed.multi_items())
    await parsed.close()
    return items


app = Door(
    litellm_app,
    Tools(is_admin=is_admin, loads=orjson.loads, dumps=orjson.dumps, form=form),
    Limits(
        choices=int(os.environ["LLMFLEET_MAX_CHOICES"]),
        prompts=int(os.environ["LLMFLEET_MAX_PROMPTS"]),
        extra_fields=frozenset(filter(None, os.environ["LLMFLEET_EXTRA_FIELDS"].split(","))),
    ),
)
