# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through the north door of every gateway: the engines of the fleet answer, strangers do not get in."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bench_hosts import Door


@pytest.fixture
def gateway(host: Any, door: Callable[[str], Door]) -> Door:
    return door(str(host.backend.name))


def test_completion(gateway: Door) -> None:
    answer = gateway.chat()
    assert answer.status == 200, answer.body
    assert answer.json()["choices"][0]["message"]["content"]


def test_stream_ends_with_done(gateway: Door) -> None:
    answer = gateway.chat(stream=True)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.rstrip().endswith("data: [DONE]")


def test_wrong_key_is_401(gateway: Door) -> None:
    answer = replace(gateway, key="sk-" + "wrong" * 5).chat()
    assert answer.status == 401
    assert answer.json()["error"]


def test_metrics_and_docs_stay_inside(gateway: Door) -> None:
    for path in ("/metrics", "/docs", "/openapi.json", "//metrics", "/%6detrics", "/v1/..%2fmetrics"):
        assert gateway.request("GET", path).status == 404, path


def test_tls_is_recent_and_the_name_is_checked(gateway: Door) -> None:
    old = ssl.create_default_context()
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        replace(gateway, context=old).request("GET", "/v1/models")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        replace(gateway, name="unknown.example").request("GET", "/v1/models")
