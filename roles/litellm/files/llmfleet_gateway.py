# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LiteLLM's hooks of this gateway: who is asking (`authenticate`), when to come back after a refusal (`retry_after`),
and what a worker does once when it starts (`start`).

The hook decides whether a key is good and where it may go, and says what its limits are. LiteLLM enforces those itself:
models through `custom_auth_run_common_checks`, requests, tokens and parallel requests through its rate limiter.
"""

from __future__ import annotations

import gc
import hmac
import importlib.util
import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from litellm.exceptions import RateLimitType
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth
from llmfleet_door import RETRY_AFTER
from llmfleet_keyring import Key, Keyring

if TYPE_CHECKING:
    from fastapi import Request

KEYRING = Keyring(os.environ["LLMFLEET_KEYS_FILE"])
MASTER_KEY = os.environ["LITELLM_MASTER_KEY"].encode()
# An empty path would be the beginning of every path.
PATHS = {"inference": tuple(filter(None, os.environ["LLMFLEET_KEY_PATHS"].split(","))), "metrics": ("/metrics",)}
# Packages that LiteLLM looks for again in every request when they are not there.
OPTIONAL_PACKAGES = ("litellm_enterprise",)

if not MASTER_KEY:
    raise ValueError("LITELLM_MASTER_KEY is empty")


class Refusal(ProxyException):
    """LiteLLM's error, with OpenAI's code in the body where LiteLLM repeats the status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message=message, type="invalid_request_error", param=None, code=status, openai_code=code)

    def to_dict(self) -> dict[str, object]:
        return {**super().to_dict(), "code": self.openai_code}


def may_go(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(prefix + "/") for prefix in allowed)


def identity(key: Key) -> UserAPIKeyAuth:
    """A key in LiteLLM's terms. Its alias stands in for its value, so that limits and metrics survive a rotation."""
    return UserAPIKeyAuth(
        api_key=key.alias,
        key_alias=key.alias,
        models=list(key.models),
        rpm_limit=key.rpm,
        tpm_limit=key.tpm,
        max_parallel_requests=key.max_parallel_requests,
        # LiteLLM keeps /metrics for its admin, unless a key names it.
        allowed_routes=["/metrics"] if key.scope == "metrics" else [],
        user_role=LitellmUserRoles.INTERNAL_USER,
    )


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """LiteLLM calls this for each request with what the client sent as its key, whichever header it came in."""
    secret = (api_key or "").encode("utf-8", "surrogatepass")
    if hmac.compare_digest(secret, MASTER_KEY):
        return UserAPIKeyAuth(api_key="master", key_alias="master", user_role=LitellmUserRoles.PROXY_ADMIN)
    key = KEYRING.find(api_key) if secret else None
    if key is None:
        raise Refusal(401, "invalid_api_key", "The API key is missing or not known here.")
    if key.blocked:
        raise Refusal(401, "blocked_api_key", f"The API key {key.alias} is blocked.")
    if key.expired(datetime.now(timezone.utc)):
        raise Refusal(401, "expired_api_key", f"The API key {key.alias} has expired.")
    if not may_go(request.url.path, PATHS[key.scope]):
        raise Refusal(403, "path_not_allowed", f"The API key {key.alias} may not use {request.url.path}.")
    return identity(key)


class RetryAfter(CustomLogger):
    """Tells every client over a limit when to come back, where LiteLLM says nothing or a minute for all."""

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, object],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,
    ) -> None:
        if getattr(original_exception, "status_code", None) != 429:
            return
        headers = dict(getattr(original_exception, "headers", None) or {})
        if getattr(original_exception, "rate_limit_type", None) == RateLimitType.CONCURRENT_REQUESTS:
            # A slot is free as soon as any answer ends.
            headers["retry-after"] = "1"
        else:
            # Limits of models count by the minute of the clock.
            headers.setdefault("retry-after", str(60 - datetime.now(timezone.utc).second))
        original_exception.headers = headers  # type: ignore[attr-defined]
        hint = RETRY_AFTER.get()
        if hint is not None:
            hint.update(headers)


retry_after = RetryAfter()


def start() -> None:
    """Spare every request what does not depend on it."""
    for name in OPTIONAL_PACKAGES:
        if importlib.util.find_spec(name) is None:
            # Python's own way of saying "not installed" without searching the disk for it.
            sys.modules[name] = None  # type: ignore[assignment]
    # What is imported by now lives as long as the worker; else the collector walks its million objects again and again.
    gc.collect()
    gc.freeze()
