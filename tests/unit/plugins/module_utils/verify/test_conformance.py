# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers to conformance checks that are right, wrong, or made to break who reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import checks, conformance
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.answers import JUDGES
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import conformance as vllm_conformance

LIMITS = {"model": "m", "mode": "chat", "max_model_len": 2048, "prompts": [{"prompt": "a", "expect": "b"}]}
STREAM = "text/event-stream"


def chat(message: Any, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop", **choice}], "usage": {"completion_tokens": 1}}


def text(said: Any, reason: Any = "length", read: Any = 9) -> dict[str, Any]:
    usage = {"prompt_tokens": read, "completion_tokens": 1}
    return {"choices": [{"text": said, "finish_reason": reason}], "usage": usage}


def call(name: Any, arguments: Any) -> dict[str, Any]:
    return chat({"tool_calls": [{"function": {"name": name, "arguments": arguments}}]})


def reason(judge: str, document: Any, expect: Any = None) -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return conformance.reason({"judge": judge, "expect": expect}, Reply(200, "application/json", [(0.0, body)]))


def stream(judge: str, *events: Any, expect: Any = None, end: str = "\n\n") -> str:
    said = [one if isinstance(one, str) else json.dumps(one) for one in events]
    body = "\n\n".join(f"data: {one}" for one in said) + end
    return conformance.reason({"judge": judge, "expect": expect}, Reply(200, STREAM, [(0.0, body.encode())]))


def piece(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}


@pytest.mark.parametrize(
    ("judge", "document", "expect", "words"),
    [
        ("chat", chat({"content": "a"}), None, ""),
        ("chat", chat({"content": None, "reasoning": "a"}), None, ""),
        ("chat", chat({"content": ""}), None, "the answer is empty"),
        ("chat", chat("a"), None, "the answer has no message"),
        ("chat", {**chat({"content": "a"}), "usage": None}, None, "the answer has no usage"),
        ("chat", chat({"content": "a"}, finish_reason=None), None, "the answer has no finish_reason"),
        ("chat", {"choices": []}, None, "the answer has no choices"),
        ("chat", {"choices": "a"}, None, "the answer has no choices"),
        ("completion", text("a"), None, ""),
        ("completion", text(None), None, "the answer has no text"),
        ("stop", text("It", "stop"), [" "], ""),
        ("stop", text("It", "length"), [" "], "finish_reason is length, not stop"),
        ("stop", text("It is", "stop"), [" "], "the text goes on after a stop string"),
        ("long prompt", text("a", read=64), 64, ""),
        ("long prompt", text("a", read=63), 64, "63 tokens of the prompt were read, not 64"),
        ("long prompt", text("a", read=True), 64, "None tokens"),
        ("logprobs", chat({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": -1}]}), None, ""),
        ("logprobs", chat({"content": "a"}, logprobs=None), None, "the answer has no logprobs"),
        ("logprobs", chat({}, logprobs={"content": [{"token": "a", "logprob": float("nan")}]}), None, "no finite"),
        ("logprobs", chat({}, logprobs={"content": [{"token": "a", "logprob": 10**400}]}), None, ""),
        ("json schema", chat({"content": '{"city": 1}'}), ["city"], ""),
        ("json schema", chat({"content": '{"town": 1}'}), ["city"], "the content has no city"),
        ("json schema", chat({"content": '{"city": "Par'}), ["city"], "the content is no JSON object"),
        ("tool call", call("f", "{}"), "f", ""),
        ("tool call", call("f", "{"), "f", "the arguments of the tool call are no JSON object: {"),
        ("tool call", call("f", {}), "f", "the arguments of the tool call are no JSON object"),
        ("tool call", call("g", "{}"), "f", "the tool f was to be called, not g"),
        ("tool call", chat({"content": "a"}), "f", "no tool was called"),
        ("tool call", chat({"tool_calls": [7, {"function": 8}]}), "f", "no tool was called"),
        ("reasoning", chat({"content": "a", "reasoning_content": "b"}), None, ""),
        ("reasoning", chat({"content": "a", "reasoning": ["b"]}), None, "reasoning is no text"),
        ("reasoning", chat({"content": "b</think>a"}), None, "the content has a mark of reasoning"),
        ("embedding", {"data": [{"embedding": [0.5, 0]}]}, None, ""),
        ("embedding", {"data": [{"embedding": [0, 0.0]}]}, None, "no embedding of finite numbers"),
        ("embedding", {"data": [{"embedding": [float("nan")]}]}, None, "no embedding of finite numbers"),
        ("embedding", {"data": [{"embedding": "AAAA"}]}, None, "no embedding of finite numbers"),
        ("anthropic", {"type": "message", "content": []}, None, "the answer is no message with content"),
        ("anthropic", {"type": "message", "content": [{"type": "text"}]}, None, "the message has no stop_reason"),
        ("prompt", chat({"content": "So it is Paris."}), "[Pp]aris", ""),
        ("prompt", chat({"content": None, "reasoning": "Paris?"}), "Paris", ""),
        ("prompt", chat({"content": "Rome", "reasoning": "Paris?"}), "Paris", "the answer does not match Paris: Rome"),
    ],
)
def test_a_whole_answer(judge: str, document: Any, expect: Any, words: str) -> None:
    found = reason(judge, document, expect)
    assert bool(found) is bool(words)
    assert words in found


@pytest.mark.parametrize("judge", sorted(JUDGES))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 200_000,
        b'{"choices":' * 50_000,
        b'{"usage": ' + b"9" * 9000 + b"}",
        b'{"choices": [null], "data": [[]], "content": [{}], "type": "message"}',
        b'{"choices": [{"finish_reason": "stop", "message": {"content": {}, "tool_calls": 5}}], "usage": -1e400}',
        b"data: " + b"[" * 200_000 + b"\n\n",
        b"data: {}\n\ndata: [DONE]\n\n",
        b'data: {"choices": {"a": 1}, "type": {}}\n\ndata: [DONE]\n\ndata: [DONE]\n\n',
        b"\n\n",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", STREAM])
def test_nothing_that_is_sent_passes_or_breaks_a_check(judge: str, body: bytes, kind: str) -> None:
    check = {"judge": judge, "expect": ["a"] if judge in ("stop", "json schema") else "a"}
    assert conformance.reason(check, Reply(200, kind, [(0.0, body)]))


@pytest.mark.parametrize(
    ("judge", "events", "words"),
    [
        ("chat streamed", (piece(content="a"), "[DONE]"), ""),
        ("chat streamed", (piece(reasoning="a"), "[DONE]"), ""),
        ("chat streamed", (piece(content=""), "[DONE]"), "the stream has no content"),
        ("chat streamed", (piece(content="a"), "[DONE]", piece(content="b")), "without [DONE] after 3 events"),
        ("chat streamed", (piece(content="a"), "[DONE]", "[DONE]"), "the stream goes on after [DONE]"),
        ("chat streamed", ({"choices": [{"delta": {"content": "a"}}]}, "[DONE]"), "the stream has no finish_reason"),
        ("chat streamed", (piece(content="a"), {"error": "x"}, "[DONE]"), "an error in the stream: x"),
        ("one token", (piece(content=""), "[DONE]"), ""),
        ("one token", (piece(content=""),), "without [DONE]"),
        ("tool call streamed", (piece(tool_calls=[{"index": 0, "function": {"name": "f"}}]), "[DONE]"), "arguments"),
        ("tool call streamed", (piece(content="a"), "[DONE]"), "no tool was called"),
        ("anthropic streamed", ({"type": "message_start"},), "does not go from message_start to message_stop"),
        ("anthropic streamed", ({"type": "message_start"}, {"type": "message_stop"}), "no content"),
    ],
)
def test_a_streamed_answer(judge: str, events: tuple[Any, ...], words: str) -> None:
    found = stream(judge, *events, expect="f")
    assert bool(found) is bool(words)
    assert words in found


def test_a_stream_must_be_one_and_end_with_a_whole_event() -> None:
    assert "middle of an event" in stream("chat streamed", piece(content="a"), "[DONE]", end="\n")
    plain = Reply(200, "application/json", [(0.0, b"data: [DONE]\n\n")])
    assert "not text/event-stream" in conformance.reason({"judge": "chat streamed"}, plain)


def test_times_do_not_depend_on_how_tokens_come() -> None:
    one = Reply(200, STREAM, [(0.1, b"data: [DONE]\n\n")], 0.1)
    events = [piece(content="a"), piece(content="b"), {"choices": [], "usage": {"completion_tokens": 21}}]
    data = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    at_once = Reply(200, STREAM, [(2.1, b"".join(data))], 2.1)
    apart = Reply(200, STREAM, [(0.1, data[0]), (2.1, data[1] + data[2])], 2.1)
    assert conformance.times(one, at_once) == conformance.times(one, apart) == (0.1, pytest.approx(0.1))
    # Without usage each piece is a token, and a single one has no time to the next.
    uncounted = [f"data: {json.dumps({'choices': [{'delta': {'content': 'a'}}]})}\n\n".encode()] * 3
    assert conformance.times(one, Reply(200, STREAM, [(0.5, b"".join(uncounted))], 0.5)).token == pytest.approx(0.2)
    assert conformance.times(one, Reply(200, STREAM, [(0.5, uncounted[0])], 0.5)).token is None


def test_a_reason_is_one_short_line_without_secrets() -> None:
    key = "sk-0123456789abcdef"
    # A key that lies across the cut would leave its beginning.
    found = conformance.sentence("x" * 190 + key + "y" * 500, [key])
    assert len(found) <= 200
    assert "sk-0" not in found
    assert conformance.sentence("a\n\x1b[2Jb\u202ec\ud800") == "a [2Jb c"


def test_every_check_has_a_judge_and_fits_the_context() -> None:
    found = [*checks.checks(LIMITS), *vllm_conformance.checks(LIMITS)]
    assert {one["judge"] for one in found} <= set(JUDGES)
    assert len({one["name"] for one in found}) == len(found)
    assert all(one["body"]["max_tokens"] <= 1024 for one in found)
    assert vllm_conformance.checks({**LIMITS, "mode": "embedding"}) == []
    assert [one["name"] for one in checks.checks({**LIMITS, "mode": "embedding"})] == ["embedding"]
