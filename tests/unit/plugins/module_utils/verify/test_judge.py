# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import judge as verify_judge
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Hop, Reply

JSON = "application/json; charset=utf-8"


def reply(document: Any, status: int = 200, content_type: str = JSON, error: str = "") -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status, content_type, [(0.01, body)], 0.02, error=error)


def delta(text: str) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


def stream(*events: tuple[float, str], status: int = 200, error: str = "") -> Reply:
    pieces = [(seconds, f"data: {data}\n\n".encode()) for seconds, data in events]
    return Reply(status, "text/event-stream", pieces, 1.0, error=error)


DEAD = Reply(error="connection refused")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (DEAD, "no answer (connection refused)"),
        (Reply(), "no answer (unknown error)"),
        (Reply(204), "status 204"),
        (Reply(502, pieces=[(0, b" Bad\n\n  Gateway ")]), "status 502 with Bad Gateway"),
        (Reply(200, pieces=[(0, b"\n")]), "status 200 with white space"),
        (reply({"error": {"message": "no\nengine"}}, 503), "status 503 with no engine"),
        (reply({"error": {"message": None}}, 503), 'status 503 with {"error": {"message": null}}'),
        (Reply(200, error="nothing within 5 s"), "status 200 (nothing within 5 s)"),
    ],
)
def test_describe(answer: Reply, words: str) -> None:
    assert verify_judge.describe(answer) == words


def test_an_excerpt_is_short() -> None:
    assert len(verify_judge.excerpt(b"x" * 10_000)) == verify_judge.EXCERPT_CHARACTERS + 4


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([(1.0, b"data: a\n\ndata: b\n\n")], [(1.0, "a"), (1.0, "b")]),
        ([(1.0, b"data: a"), (2.0, b"b\n"), (3.0, b"\n")], [(3.0, "ab")]),
        ([(1.0, b"data: a\r"), (2.0, b"\n\r\n")], [(2.0, "a")]),
        ([(1.0, b": ping\n\nevent: x\nid: 1\ndata: a\ndata: b\n\n")], [(1.0, "a\nb")]),
        ([(1.0, b"data: never ended")], []),
        ([], []),
    ],
)
def test_parse_sse(pieces: list[tuple[float, bytes]], events: list[tuple[float, str]]) -> None:
    assert verify_judge.parse_sse(pieces) == events


MODELS = {"object": "list", "data": [{"id": "chat"}, {"id": "embed"}]}


@pytest.mark.parametrize(
    ("answer", "ok", "got"),
    [
        (reply(MODELS), True, "2 models"),
        (reply({"data": [{"id": "embed"}]}), False, "a list without chat"),
        (reply({"data": "nonsense"}), False, 'status 200 with {"data": "nonsense"}'),
        (reply(MODELS, 500), False, "status 500"),
        (reply(b"\xff<html>"), False, "status 200"),
        (DEAD, False, "connection refused"),
    ],
)
def test_models(answer: Reply, ok: bool, got: str) -> None:
    verdict = verify_judge.judge_models(answer, ["chat", "embed"])
    assert verdict.ok is ok
    assert got in verdict.got
    assert "chat, embed" in verdict.expected


@pytest.mark.parametrize(
    ("message", "ok"),
    [
        ({"content": "Hello"}, True),
        ({"content": None, "reasoning_content": "Hm"}, True),
        ({"content": "", "reasoning": "Hm"}, True),
        ({"content": None, "tool_calls": [{"id": "1"}]}, True),
        ({"content": ""}, False),
        ("nonsense", False),
    ],
)
def test_completion(message: Any, ok: bool) -> None:
    verdict = verify_judge.judge_completion(reply({"choices": [{"message": message}]}))
    assert verdict.ok is ok
    assert verdict.figures == ({"seconds": 0.02} if ok else {})


@pytest.mark.parametrize("answer", [DEAD, reply([]), reply({"choices": {}}), reply({"choices": []}, 503)])
def test_no_completion(answer: Reply) -> None:
    assert not verify_judge.judge_completion(answer).ok


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (reply({"data": [{"embedding": [0.1, 0.2]}]}), True),
        (reply({"data": [{"embedding": []}]}), False),
        (reply({"data": []}), False),
        (reply({}, 400), False),
    ],
)
def test_embedding(answer: Reply, ok: bool) -> None:
    assert verify_judge.judge_embedding(answer).ok is ok


def test_a_stream_is_measured() -> None:
    verdict = verify_judge.judge_stream(
        stream((0.5, delta("")), (0.6, delta("Hel")), (0.9, delta("lo")), (0.9, "[DONE]"))
    )
    assert verdict.ok
    assert verdict.figures == {"chunks": 3.0, "spread": pytest.approx(0.4), "first_chunk": 0.5}
    assert verdict.got == "3 events over 0.400 s, the first after 0.500 s"


def test_a_short_stream_may_arrive_at_once() -> None:
    assert verify_judge.judge_stream(stream((0.5, delta("Hello")), (0.5, delta(".")), (0.5, "[DONE]"))).ok


@pytest.mark.parametrize(
    ("first", "one_token", "pause", "buffered"),
    [
        (0.8, 0.0, 1e-5, True),
        (0.8, 0.5, 1e-5, True),
        # A slow first token is no buffering, and a quick reply tells nothing.
        (0.8, 0.6, 1e-5, False),
        (0.1, 0.0, 1e-5, False),
        (0.8, 0.0, 1e-3, False),
    ],
)
def test_a_buffered_stream_is_told_from_a_streamed_one(
    first: float, one_token: float, pause: float, buffered: bool
) -> None:
    events = [(first + i * pause, delta("word ")) for i in range(20)]
    verdict = verify_judge.judge_stream(stream(*events, (first + 1, "[DONE]")), one_token)
    assert verdict.buffered is buffered
    assert verdict.ok is not buffered
    assert ("holds the stream back" in verdict.got) is buffered


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (DEAD, "connection refused"),
        (stream((0.1, delta("a")), (0.2, delta("b")), error="connection lost"), "connection lost"),
        (stream((0.1, delta("a")), (0.2, delta("b"))), "2 events and no [DONE]"),
        (stream((0.1, delta("a")), (0.2, "[DONE]")), "the whole reply in one event"),
        (stream((0.1, delta("")), (0.2, "{}"), (0.3, "[DONE]")), "without a word"),
        (stream((0.1, "oops"), (0.2, "[DONE]")), "not JSON: oops"),
        (stream((0.1, '{"error": {"message": "boom"}}'), (0.2, "[DONE]")), "boom"),
        (reply({"choices": []}), "status 200 with"),
        (stream(status=429), "status 429"),
    ],
)
def test_a_broken_stream(answer: Reply, got: str) -> None:
    verdict = verify_judge.judge_stream(answer)
    assert not verdict.ok
    assert not verdict.buffered
    assert got in verdict.got


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (reply({"error": {"message": "no such key", "code": "401"}}, 401), True),
        (reply({"error": {"message": "no such key"}}, 401, "text/html"), False),
        (reply({"error": "no such key"}, 401), False),
        (reply({"detail": "no such key"}, 401), False),
        (reply([], 401), False),
        (reply({"error": {"message": "no_db_connection"}}, 400), False),
        (reply(MODELS), False),
    ],
)
def test_refusal(answer: Reply, ok: bool) -> None:
    assert verify_judge.judge_refusal(answer).ok is ok


@pytest.mark.parametrize(("answer", "ok"), [(reply({}, 404), True), (reply({}), False), (DEAD, False)])
def test_closed(answer: Reply, ok: bool) -> None:
    assert verify_judge.judge_closed(answer).ok is ok


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (reply(b"<!doctype html><HTML>...", 200, "text/html"), True),
        (reply(b"<html>", 502, "text/html"), False),
        (reply({}, 200), False),
        (reply(b"hello", 200, "text/html"), False),
    ],
)
def test_page(answer: Reply, ok: bool) -> None:
    assert verify_judge.judge_page(answer).ok is ok


def targets(*rows: tuple[str, str, str]) -> Reply:
    active = [
        {"labels": {"job": job}, "scrapeUrl": f"http://10.0.0.1/{job}", "health": health, "lastError": error}
        for job, health, error in rows
    ]
    return reply({"status": "success", "data": {"activeTargets": active}})


@pytest.mark.parametrize(
    ("answer", "ok", "got"),
    [
        (targets(("vllm", "up", ""), ("node", "up", "")), True, "2 targets up"),
        (targets(("vllm", "up", "")), False, "no target for job node"),
        (targets(("vllm", "unknown", ""), ("node", "up", "")), False, "is unknown (not scraped yet)"),
        (
            targets(("vllm", "down", "connection refused"), ("node", "up", "")),
            False,
            "vllm at http://10.0.0.1/vllm is down (connection refused)",
        ),
        (reply({"status": "error"}), False, "status 200 with"),
        (DEAD, False, "connection refused"),
    ],
)
def test_targets(answer: Reply, ok: bool, got: str) -> None:
    verdict = verify_judge.judge_targets(answer, ["vllm", "node"])
    assert verdict.ok is ok
    assert got in verdict.got


def test_targets_of_a_host_that_may_be_off_need_not_be_up() -> None:
    answer = targets(("vllm", "down", "no route to host"), ("node", "up", ""))
    assert verify_judge.judge_targets(answer, ["vllm", "node"], ["10.0.0.1"]).ok
    assert not verify_judge.judge_targets(answer, ["vllm", "node"], ["10.0.0.2"]).ok


def test_no_target_at_all() -> None:
    verdict = verify_judge.judge_targets(targets(), [])
    assert not verdict.ok
    assert verdict.got == "no target at all"
    assert verdict.expected == "each target up"


HOP = Hop("llm-vllm-chat-0", "aio", "http://127.0.0.1:8100/health", "see `journalctl -u llm-vllm-chat-0`")


def test_a_healthy_hop() -> None:
    assert verify_judge.judge_hop(HOP, Reply(200)) is None


def test_a_dead_hop_is_named() -> None:
    broken = verify_judge.judge_hop(HOP, DEAD)
    assert broken
    assert broken.cause == (
        "llm-vllm-chat-0 on aio does not answer at http://127.0.0.1:8100/health (connection refused)"
    )


def test_a_sick_hop_is_named_with_its_answer() -> None:
    broken = verify_judge.judge_hop(HOP, Reply(503))
    assert broken
    assert "answers status 503 at http://127.0.0.1:8100/health" in broken.cause


@pytest.mark.parametrize(
    ("broken", "healthy", "end"),
    [
        (
            verify_judge.Break(HOP, "does not answer at /"),
            ["other"],
            "the hop that broke: llm-vllm-chat-0 on aio does not answer at /; see `journalctl -u llm-vllm-chat-0`.",
        ),
        (
            None,
            ["x", "y"],
            "every hop answers its own health probe (x, y), so what joins them is wrong; see the log of y.",
        ),
        (None, [], "no hop behind it has a health probe; see the log of the service at https://x/v1."),
    ],
)
def test_a_broken_chain_is_explained_with_host_evidence_cause_and_remedy(
    broken: verify_judge.Break | None, healthy: list[str], end: str
) -> None:
    verdict = verify_judge.judge_completion(DEAD)
    assert verify_judge.explain("aio", "completion of chat", "https://x/v1", verdict, broken, healthy) == (
        "aio: check `completion of chat` of https://x/v1: expected status 200 and a reply that is not empty, "
        f"got no answer (connection refused); {end}"
    )
