# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of the doors.

Each test comes with addresses and keys of its own; the variant believes X-Forwarded-For, as behind a load balancer.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest


@pytest.fixture
def tight(running: Any) -> Any:
    return running("tight")


def client(address: str, key: str = "") -> dict[str, Any]:
    return {"key": key, "headers": {"X-Forwarded-For": address}}


def limited(answer: Any, seconds: str) -> None:
    assert answer.json["error"]["code"] == "rate_limit_exceeded"
    assert answer.header("retry-after") == seconds
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("content-type") == "application/json"


def test_a_key_has_its_rate_wherever_it_comes_from(tight: Any) -> None:
    answers = [tight.api.complete(**client(f"10.1.0.{n}", "sk-one")) for n in range(5)]
    # One a second, and two at once above it.
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    limited(answers[-1], "2")
    assert tight.api.complete(**client("10.1.0.9", "sk-other")).status == 200


def test_both_headers_of_a_key_are_one_key(tight: Any) -> None:
    statuses = []
    for n in range(4):
        header = {"x-api-key": "sk-both"} if n % 2 else {"Authorization": "Bearer sk-both"}
        statuses.append(tight.api.complete(key="", headers={"X-Forwarded-For": f"10.2.0.{n}", **header}).status)
    assert statuses == [200, 200, 200, 429]


def test_another_header_does_not_make_another_key(tight: Any) -> None:
    """LiteLLM would take the key from x-litellm-api-key: rotating either of the two must not help."""
    for n in range(4):
        headers = {"X-Forwarded-For": f"10.3.0.{n}", "x-litellm-api-key": f"sk-rotating-{n}"}
        status = tight.api.complete(key="sk-fixed", headers=headers).status
    assert status == 429


def test_an_address_has_its_rate_whatever_key_it_shows(tight: Any) -> None:
    answers = [tight.api.complete(**client("10.4.0.1", f"sk-rotating-{n}")) for n in range(8)]
    # Five at once above the rate.
    assert [answer.status for answer in answers] == [200] * 6 + [429] * 2
    limited(answers[-1], "2")
    assert tight.api.complete(**client("10.4.0.2", "sk-4")).status == 200


def in_flight(tight: Any, clients: list[dict[str, Any]]) -> list[int]:
    with ThreadPoolExecutor(len(clients)) as pool:
        return sorted(
            answer.status for answer in pool.map(lambda one: tight.api.complete({"sleep": 0.7}, **one), clients)
        )


def test_requests_in_flight_are_limited_by_key(tight: Any) -> None:
    assert in_flight(tight, [client(f"10.5.0.{n}", "sk-5") for n in range(3)]) == [200, 200, 429]


def test_requests_in_flight_are_limited_by_address(tight: Any) -> None:
    assert in_flight(tight, [client("10.6.0.1", f"sk-6{n}") for n in range(5)]) == [200, 200, 200, 429, 429]


def test_requests_in_flight_are_limited_in_all(tight: Any) -> None:
    assert in_flight(tight, [client(f"10.7.0.{n}", f"sk-7{n}") for n in range(6)]) == [200] * 4 + [429] * 2


def stranger(tight: Any, number: int) -> Any:
    """Begin a body that never ends, with a key that nobody has, and read the refusal."""
    connection = tight.api.open()
    connection.connect()
    lines = ("POST /v1/chat/completions HTTP/1.1", "Host: api.test", f"Authorization: Bearer sk-made-up-{number}")
    head = (*lines, f"X-Forwarded-For: 10.10.0.{number}", "Content-Length: 500000", "", "{")
    connection.sock.sendall("\r\n".join(head).encode())
    assert connection.sock.recv(65536).startswith(b"HTTP/1.1 401")
    return connection


def test_bodies_of_strangers_hold_no_place_of_the_door(tight: Any) -> None:
    """The door has four places; each stranger is refused at once, and goes on to send a byte now and then."""
    connections = [stranger(tight, number) for number in range(4)]
    waits = 0
    while waits < 20 and tight.api.complete(**client(f"10.10.1.{waits}", f"sk-10-{waits}")).status != 200:
        waits += 1
        time.sleep(0.3)
        for connection in connections:
            with suppress(OSError):
                connection.sock.sendall(b" ")
    for connection in connections:
        connection.close()
    assert waits < 20


@pytest.mark.parametrize(
    "path", ["/api/v1/auths/signin", "/api/v1/auths/signup", "/api/v1/auths/ldap", "/api/v1/auths/update/password"]
)
def test_guessing_passwords_is_slow(tight: Any, path: str) -> None:
    address = f"10.8.{len(path)}.{ord(path[-1])}"
    answers = [tight.chat.ask(path, {"password": "guess"}, **client(address)) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    limited(answers[-1], "6")
    # Written otherwise it is the same path, and the page goes on for those who are logged in.
    for other in ("//api/v1/auths/", "/api/v1/%61uths/"):
        assert tight.chat.ask(path.replace("/api/v1/auths/", other), {}, **client(address)).status == 429
    assert tight.chat.ask("/", **client(address)).status == 200


def test_only_a_trusted_proxy_is_believed(nginx: Any, tight: Any) -> None:
    headers = {"X-Forwarded-For": "10.9.0.1"}
    for variant, address in ((nginx, "127.0.0.1"), (tight, "10.9.0.1")):
        answer = variant.api.complete(headers=headers)
        assert dict(answer.json["headers"])["X-Forwarded-For"] == address
        assert variant.logged(answer.header("x-request-id"))[0]["client"] == address
