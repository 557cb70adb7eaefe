# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of an error of a server behind; tests/gate has those of a running gate."""

from __future__ import annotations

import json
from typing import Any

import gate_failures as failures
import pytest
from patience import Watch

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
OWN: dict[str, Any] = {"error": {"message": "Too long.", "type": "BadRequestError", "param": None, "code": 400}}
ANTHROPICS: dict[str, Any] = {"type": "error", "error": {"type": "api_error", "message": "Too long."}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no address", "no address"),
        ("see https://docs.vllm.ai/en/latest/a.html", "see https://docs.vllm.ai/en/latest/a.html"),
        ("at http://gpu1:8000/v1/chat, twice", "at (address) twice"),
        ("at http://gpu1.lan/v1", "at (address)"),
        ("at https://gpu1.lan:8443/v1", "at (address)"),
        ("at https://gpu1/v1.", "at (address)"),
        ("at https://me:word@cache.example.com/", "at (address)"),
        ("at https://[fd00::1]:8443/v1", "at (address)"),
        ("'redis://:word@cache/0'", "'(address)'"),
        ("grpc://gpu1", "(address)"),
        ("127.0.0.1:4300: refused", "(address): refused"),
        ("10.0.0.7 is gone", "(address) is gone"),
        ("[fd00::1]:8000", "(address)"),
        ("localhost:8000", "(address)"),
        ("host gpu1.lan:8000 ssl:default", "host (address) ssl:default"),
        ("('10.0.0.7', 8000)", "((address))"),
        ("('::1', 8000, 0, 0)", "((address))"),
        ("line\nhttp://gpu1", "line\n(address)"),
        ("a[1]: [0.5, 1.25.3] at 12:30:05, 'a:b'", "a[1]: [0.5, 1.25.3] at 12:30:05, 'a:b'"),
        ("localhosts", "localhosts"),
    ],
)
def test_addresses_of_servers_are_not_for_clients(text: str, shown: str) -> None:
    assert failures.masked(text) == shown
    given = json.dumps({"error": {"message": text, "type": "x"}}).encode()
    assert json.loads(failures.reworded(CHAT, 500, given) or b"") == {"error": {"message": shown, "type": "x"}}


def test_a_long_text_takes_no_time() -> None:
    watch = Watch()
    for piece in ("a", "1", "1.", "a:", "[", "[:", "://", "a@", "'1'", "host ", "a://", "https://a"):
        failures.masked(piece * ((1 << 18) // len(piece)))
    assert watch.seconds() < 3


@pytest.mark.parametrize(
    ("path", "given", "same"),
    [
        (CHAT, OWN, True),
        (CHAT, ANTHROPICS, True),
        (MESSAGES, ANTHROPICS, True),
        (MESSAGES, OWN, False),
        (MESSAGES, {"type": "error", "error": {"message": "Too long."}}, False),
        (CHAT, {"error": "Too long."}, False),
        (CHAT, {"object": "error", "message": "Too long."}, False),
        (CHAT, {"detail": [{"loc": "here", "msg": "Too long."}]}, False),
        (CHAT, [OWN], False),
        (CHAT, "Too long.", False),
    ],
)
def test_only_an_error_in_the_apis_shape_stays_as_it_is(path: str, given: object, same: bool) -> None:
    data = json.dumps(given).encode()
    told = failures.reworded(path, 400, data)
    assert (told == data) is same
    assert told is not None
    value = json.loads(told)
    assert failures.has_shape(path, value)
    assert value["error"]["message"] == "Too long."


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"5", b'""', b'{"detail":[]}', b'{"error":{"message":""}}', b"{", b"<html>"]
)
def test_an_error_without_words_is_none(data: bytes) -> None:
    assert failures.reworded(CHAT, 500, data) is None


def test_a_field_that_the_error_names_is_its_param() -> None:
    given = {"detail": [{"loc": ["body"], "msg": "a"}, {"loc": ["query", "model", 0], "msg": "b"}]}
    told = json.loads(failures.reworded(CHAT, 422, json.dumps(given).encode()) or b"")
    assert (told["error"]["message"], told["error"]["param"]) == ("a; model.0: b", None)
    told = json.loads(failures.reworded(CHAT, 400, b'{"message":"a","param":"n"}') or b"")
    assert told["error"]["param"] == "n"


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (b'data: {"choices":[{"text":"http://a:1 \\"error\\": {"}]}', None),
        (b'data: {"response":{"error":null,"text":"http://a:1"}}', None),
        (b'data: {"error":{"message":"down"}}', None),
        (b'data: {"error":{"message":"http://a:1"', None),
        (b'data: {"error":{"message":"at http://a:1"}}', b'data: {"error":{"message":"at (address)"}}'),
        (
            b'event: error\ndata: {"type":"error","error":{"message":"10.0.0.7:1"}}',
            b'event: error\ndata: {"type":"error","error":{"message":"(address)"}}',
        ),
    ],
)
def test_an_event_is_changed_only_if_it_is_an_error_with_an_address(event: bytes, sent: bytes | None) -> None:
    assert failures.event(event) == (sent or event)


def test_an_event_with_a_traceback_is_replaced() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"message":"Traceback (most recent call last)"}}'
    sent = failures.event(event)
    assert sent.startswith(b'event: error\ndata: {"type":"error"')
    assert b"Traceback" not in sent


def test_nesting_without_an_end() -> None:
    deep = b'{"error":{"message":"a","x":' + b"[" * 500 + b"]" * 500 + b"}}"
    assert failures.reworded(CHAT, 500, deep) is not None
