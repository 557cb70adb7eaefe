# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""While two versions of a model serve, each conversation stays with one, and goes over to the new one once at most.

The engine replica-0 is the old version, replica-1 the new one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest
from patience import Watch

COMPLETE = "/v1/chat/completions"
HEADER = "X-LLMFleet-Conversation"
CONVERSATIONS = [f"{number:016x}" for number in range(2000)]


def turn(door: Any, connection: HTTPConnection, conversation: str) -> str:
    """The engine that answers one turn, over a connection that is kept as the gate keeps it."""
    headers = {HEADER: conversation} if conversation else {}
    for last in (False, True):
        try:
            connection.request("POST", f"{door.prefix}{COMPLETE}", b"{}", headers)
            response = connection.getresponse()
            content = json.loads(response.read())
            assert response.status == 200, content
            return str(content["backend"])
        except (ConnectionError, HTTPException):
            # A reload closes connections that are idle, and the gate sends such a request once more.
            connection.close()
            if last:
                raise
    raise AssertionError


def homes(nginx: Any, model: str, conversations: list[str]) -> list[str]:
    """The engines that answer these conversations, over one connection."""
    door = nginx.south(model)
    with contextlib.closing(door.open()) as connection:
        return [turn(door, connection, name) for name in conversations]


@pytest.mark.parametrize(("model", "percent"), [("split-10", 10), ("split-50", 50), ("Split.v1_x", 33.34)])
def test_the_new_version_gets_its_share_of_the_conversations(nginx: Any, model: str, percent: float) -> None:
    share = Counter(homes(nginx, model, CONVERSATIONS))["replica-1"] / len(CONVERSATIONS)
    # Four standard deviations of a fair draw.
    assert abs(share - percent / 100) < 4 * (percent / 100 * (1 - percent / 100) / len(CONVERSATIONS)) ** 0.5


def test_a_conversation_goes_over_once_while_the_share_grows(nginx: Any) -> None:
    some = CONVERSATIONS[:400]
    stages = [homes(nginx, f"split-{percent}", some) for percent in (0, 10, 10, 50, 50, 100)]
    assert stages[1] == stages[2]
    assert stages[3] == stages[4]
    for way in zip(*stages):
        flips = sum(before != after for before, after in zip(way, way[1:]))
        assert (way[0], way[-1], flips) == ("replica-0", "replica-1", 1)
    # Another turn, in another order, over another connection.
    assert homes(nginx, "split-50", [*reversed(some)]) == [*reversed(stages[3])]


def talk(nginx: Any, number: int, until: float) -> list[list[str]]:
    """The versions that a few conversations meet, turn by turn."""
    door = nginx.south("split-10")
    own = CONVERSATIONS[number * 10 : number * 10 + 10]
    met: list[list[str]] = [[] for _ in own]
    with contextlib.closing(door.open()) as connection:
        while time.monotonic() < until:
            for name, versions in zip(own, met):
                versions.append(turn(door, connection, name))
    return met


def test_reloads_with_a_larger_share_cost_no_request_and_turn_no_conversation_back(nginx: Any) -> None:
    config, before = nginx.inner.config, nginx.inner.config.read_text()
    assert before.count("10.0% new-split-10;") == 1
    try:
        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(talk, nginx, number, time.monotonic() + 4) for number in range(8)]
            for percent in ("25", "33.33", "50", "66.67", "90"):
                time.sleep(0.6)
                config.write_text(before.replace("10.0% new-split-10;", f"{percent}% new-split-10;"))
                nginx.inner.reload()
            met = [versions for client in clients for versions in client.result()]
    finally:
        config.write_text(before)
        nginx.inner.reload()
    flips = [sum(one != other for one, other in zip(versions, versions[1:])) for versions in met]
    assert max(flips) == 1
    assert 20 < sum(flips) < 80, "from 10 % to 90 % of 80"


def test_a_request_of_no_conversation_is_drawn_by_lot(nginx: Any) -> None:
    found = Counter(homes(nginx, "split-50", [""] * 400))
    assert min(found.values()) > 120, found


@pytest.mark.parametrize(
    ("model", "lives"),
    [("split-dead-new", "replica-0"), ("split-dead-old", "replica-1"), ("split-drained-new", "replica-0")],
)
def test_the_other_version_answers_when_one_cannot(nginx: Any, model: str, lives: str) -> None:
    watch = Watch()
    assert set(homes(nginx, model, CONVERSATIONS[:200])) == {lives}
    assert watch.seconds() < 10


def test_the_rest_of_a_version_answers_before_the_other_does(nginx: Any) -> None:
    assert homes(nginx, "split-half-new", CONVERSATIONS[:200]) == homes(nginx, "split-50", CONVERSATIONS[:200])


def test_no_request_fails_when_the_new_version_dies_and_it_comes_back(nginx: Any, stubs: Any) -> None:
    some = CONVERSATIONS[:100]
    before = homes(nginx, "split-50", some)
    stubs["replica-1"].kill()
    try:
        assert set(homes(nginx, "split-50", some)) == {"replica-0"}
    finally:
        stubs["replica-1"].start()
    end = time.monotonic() + 10
    while homes(nginx, "split-50", some) != before:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_an_engine_that_refuses_is_asked_no_more_and_the_other_version_is(nginx: Any, stubs: Any) -> None:
    engines = [stubs["replica-0"], stubs["replica-1"]]
    before = [engine.seen()["requests"] for engine in engines]
    answer = nginx.south("split-50").complete({"status": 503}, headers={HEADER: CONVERSATIONS[0]})
    assert answer.status == 503, "both refused"
    assert [engine.seen()["requests"] for engine in engines] == [number + 1 for number in before]


def test_two_dead_versions_are_503(nginx: Any) -> None:
    for name in CONVERSATIONS[:10]:
        answer = nginx.south("split-dead").complete(headers={HEADER: name})
        assert (answer.status, answer.header("retry-after")) == (503, "2")


@pytest.mark.parametrize("path", ["split-50", "_once/split-50", "chat"])
def test_no_engine_and_no_log_gets_the_name_of_a_conversation(nginx: Any, path: str) -> None:
    name = "c0ffee00c0ffee00"
    answer = nginx.south(path).complete(headers={HEADER: name})
    assert HEADER.lower() not in {key.lower() for key, _value in answer.json["headers"]}
    assert name not in json.dumps(answer.json)
    # Logs are written each second.
    time.sleep(1.5)
    assert name not in nginx.written()


def test_litellms_requests_are_split_alike(nginx: Any) -> None:
    some = CONVERSATIONS[:100]
    assert homes(nginx, "_once/split-50", some[:1]) == homes(nginx, "split-50", some[:1])
    door = nginx.south("_once/split-50")
    assert [door.complete(headers={HEADER: name}).json["backend"] for name in some] == homes(nginx, "split-50", some)
