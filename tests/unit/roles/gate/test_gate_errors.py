# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client is told, in the shape of its API."""

from __future__ import annotations

import json

import gate_errors as errors
import pytest

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (403, "permission_error", "permission_error"),
        (404, "not_found_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
    ],
)
def test_an_error_has_the_shape_of_its_api(status: int, openai: str, anthropic: str) -> None:
    given = json.loads(errors.content(CHAT, status, "m", "c", "p"))
    assert given == {"error": {"message": "m", "type": openai, "param": "p", "code": "c"}}
    for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
        given = json.loads(errors.content(path, status, "m", "c", "p"))
        assert given == {"type": "error", "error": {"type": anthropic, "message": "m"}}


def test_paths_of_anthropic() -> None:
    assert [errors.is_anthropic(path) for path in (MESSAGES, f"{MESSAGES}/x", f"{MESSAGES}x", CHAT, "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_the_last_event_of_a_stream() -> None:
    assert errors.event(CHAT, "m").startswith(b'data: {"error":')
    assert errors.event(MESSAGES, "m").startswith(b'event: error\ndata: {"type":"error"')
    assert errors.event(MESSAGES, "m").endswith(b"\n\n")
    name, _, data = errors.event("/v1/responses", "m").decode().partition("\ndata: ")
    told = json.loads(data)
    assert (name, told["type"], told["message"], told["error"]["code"]) == ("event: error", "error", "m", "bad_gateway")


def test_what_is_no_text_becomes_some() -> None:
    broken = b"a\xff\xfe".decode("utf-8", "surrogateescape")
    error = json.loads(errors.content(CHAT, 404, broken, "c", broken))["error"]
    assert (error["message"], error["param"]) == ("a??", "a??")


def test_the_place_of_an_error_has_no_values() -> None:
    secret = "a prompt"
    with pytest.raises(ValueError, match=secret) as caught:
        raise ValueError(secret)
    assert errors.place(caught.value).startswith("test_the_place_of_an_error_has_no_values:")
    assert secret not in errors.place(caught.value)
