# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of servers behind reach clients in the shape of their API, with their status, without addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from gate_process import CHAT, COMPLETIONS, Gate, events, said

Start = Callable[..., Gate]
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
FAILED, REFUSES = "The model's server failed.", "The model's server refuses the request."
MISSING = "The model's server does not know this path."
# What a client is told, by the stub's failure. The status is in its name.
TOLD = {
    "detail-404": ("Not Found", None, "not_found"),
    "detail-list-422": ("messages.0.content: Field required", "messages.0.content", "invalid_request"),
    "detail-lists-422": (
        "; ".join([*(f"messages.{number}.content: Field required" for number in range(5)), "and 2 more"]),
        None,
        "invalid_request",
    ),
    "detail-object-400": ("The image is broken.", None, "invalid_request"),
    "error-text-400": ("No such adapter.", None, "invalid_request"),
    "error-old-400": ("Too long.", None, "invalid_request"),
    "problem-409": ("Busy.", None, "invalid_request"),
    "text-json-500": ("It broke.", None, "server_error"),
    "untyped-404": ("Not Found", None, "not_found"),
    "address-detail-500": (
        "Cannot connect to host (address) ssl:default [Connect call failed ((address))] at (address)",
        None,
        "server_error",
    ),
    "html-404": (MISSING, None, "not_found"),
    "html-413": ("The request is too large for the model's server.", None, "request_too_large"),
    "html-502": (FAILED, None, "server_error"),
    "html-503": ("The model cannot be reached.", None, "service_unavailable"),
    "html-504": ("The model did not answer in time.", None, "timeout"),
    "text-500": (FAILED, None, "server_error"),
    "html-as-json-500": (FAILED, None, "server_error"),
    "nothing-400": (REFUSES, None, "invalid_request"),
    "nothing-500": (FAILED, None, "server_error"),
    "object-500": (FAILED, None, "server_error"),
    "list-500": (FAILED, None, "server_error"),
    "null-500": (FAILED, None, "server_error"),
    "truncated-400": (REFUSES, None, "invalid_request"),
    "cut-500": (FAILED, None, "server_error"),
    "bytes-500": (FAILED, None, "server_error"),
    "huge-400": (REFUSES, None, "invalid_request"),
    "huge-html-502": (FAILED, None, "server_error"),
    "deep-500": (FAILED, None, "server_error"),
}
INNER = re.compile(rb"10\.0\.0\.7|8000|gpu1|nginx|<html|secret-text")


def asked(gate: Gate, path: str, words: str, stream: bool) -> Any:
    body: dict[str, Any] = {"model": "chat", "stream": stream}
    if path == COMPLETIONS:
        body["prompt"] = words
    elif path == RESPONSES:
        body["input"] = words
    else:
        body |= {"messages": said(words)["messages"], "max_tokens": 5}
    return gate.post(path, body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, MESSAGES, RESPONSES])
def test_every_failure_is_in_the_shape_of_the_api_and_keeps_its_status(gate: Gate, path: str, stream: bool) -> None:
    for name, (message, param, code) in TOLD.items():
        answer = asked(gate, path, f"fail={name}", stream)
        status = int(name.rpartition("-")[2])
        assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), (name, answer)
        error = answer.json()["error"]
        assert error["message"] == message, name
        if path == MESSAGES:
            assert (answer.json()["type"], {*error}) == ("error", {"type", "message"}), name
        else:
            assert (error["param"], error["code"], {*answer.json()}) == (param, code, {"error"}), name
        assert error["type"].endswith(("_error", "_too_large")), name
        assert not INNER.search(answer.body), name
        assert ("retry-after" in answer.headers) == (status == 503), name
    assert gate.chat("hi").status == 200
    assert {entry["status"] for entry in gate.log()[-5:]} <= {*range(200, 600)}


def test_an_error_in_the_apis_shape_stays_as_it_is(gate: Gate) -> None:
    for status in (400, 404, 408, 422, 429, 500, 503):
        answer = gate.chat(f"fail={status}")
        given = {"error": {"message": f"stub fails with {status}", "type": "stub", "code": status}}
        assert (answer.status, answer.json()) == (status, given)
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        assert gate.chat(f"fail={status}", stream=True).json() == given
        answer = gate.post(MESSAGES, said(f"fail={status}", max_tokens=5))
        assert (answer.status, answer.json()["type"]) == (status, "error")
        assert answer.json()["error"]["message"] == f"stub fails with {status}"


def test_addresses_are_taken_from_an_error_and_the_rest_stays(gate: Gate) -> None:
    answer = gate.chat("fail=address-500")
    assert (answer.status, answer.json()["error"]["type"]) == (500, "x")
    assert answer.json()["error"]["message"].startswith("Cannot connect to host (address) ssl:default")
    assert not INNER.search(answer.body)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("fail=401", 502, "bad_gateway"),
        ("fail=403", 502, "bad_gateway"),
        ("fail=html", 502, "server_error"),
        ("fail=traceback", 500, "server_error"),
        ("fail=paths", 500, "server_error"),
        ("fail=long-error", 500, "server_error"),
        ("fail=moved", 502, "bad_gateway"),
        ("fail=empty", 502, "bad_gateway"),
        ("fail=short", 502, "bad_gateway"),
        ("fail=cut", 502, "bad_gateway"),
        ("fail=hang", 504, "timeout"),
    ],
)
def test_a_broken_server_behind_is_an_error_in_the_apis_shape(gate: Gate, words: str, status: int, code: str) -> None:
    answer = gate.chat(words)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code), answer
    answer = gate.post(MESSAGES, said(words.replace("cut", "short"), max_tokens=5))
    assert (answer.status, answer.json()["type"], answer.json()["error"]["type"]) == (status, "error", "api_error")
    assert "location" not in answer.headers
    assert gate.chat("hi").status == 200


def test_an_error_without_an_end_keeps_its_status(start: Start) -> None:
    gate = start(request_timeout=20)
    answer = gate.chat("fail=stall-500")
    assert (answer.status, answer.json()["error"]["message"]) == (500, FAILED)


def test_an_error_in_a_stream_tells_nothing_of_the_inside(gate: Gate) -> None:
    for name, message in (("events-error", "(address) is gone secret-text"), ("events-traceback", FAILED)):
        answer = gate.chat(f"fail={name}", stream=True)
        (event,) = events(answer.body)
        assert (answer.status, event["error"]["message"]) == (200, message)
    assert json.loads(gate.chat("tokens=3").body)["usage"]
