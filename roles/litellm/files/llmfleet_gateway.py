# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LiteLLM's hooks: who is asking (`authenticate`), and what a worker does once when it starts (`start`).

The gate in front has checked key, body and limits of every client, and comes with a key that nobody else has. The
master key opens everything, on loopback.
"""

from __future__ import annotations

import gc
import hmac
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

import llmfleet_log
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

if TYPE_CHECKING:
    from fastapi import Request

# Packages that LiteLLM looks for again in every request when they are not there.
OPTIONAL_PACKAGES = ("litellm_enterprise",)


def of_environment(name: str) -> bytes:
    """A key of the environment; an empty one would let everybody in."""
    if not os.environ[name]:
        raise ValueError(f"{name} is empty")
    return os.environ[name].encode()


MASTER_KEY = of_environment("LITELLM_MASTER_KEY")
GATE_KEY = of_environment("LLMFLEET_GATE_KEY")


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """LiteLLM calls this for each request, by these names, with what the caller sent as its key."""
    secret = (api_key or "").encode("utf-8", "surrogatepass")
    if hmac.compare_digest(secret, GATE_KEY):
        return UserAPIKeyAuth(api_key="gate", key_alias="gate", user_role=LitellmUserRoles.INTERNAL_USER)
    if hmac.compare_digest(secret, MASTER_KEY):
        return UserAPIKeyAuth(api_key="master", key_alias="master", user_role=LitellmUserRoles.PROXY_ADMIN)
    raise ProxyException(
        message="The API key is missing or not known here.", type="invalid_request_error", param=None, code=401
    )


def start() -> None:
    """Keep what clients send out of the log, and spare every request what does not depend on it."""
    llmfleet_log.install()
    for name in OPTIONAL_PACKAGES:
        if importlib.util.find_spec(name) is None:
            # Python's own way of saying "not installed" without searching the disk for it.
            sys.modules[name] = None  # type: ignore[assignment]
    # What is imported by now lives as long as the worker; else the collector walks its million objects again and again.
    gc.collect()
    gc.freeze()
