# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module against a stand-in of an engine that is good, slow, broken in parts, or sends anything but answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import verdict
from ansible_collections.llmfleet.serving.plugins.modules import engine_conformance_info as tested
from local_server import send, serving
from module_runner import documented_options, run_module
from patience import Watch

KEY = "sk-of-a-stand-in-0123456789"
DONE = "[DONE]"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ALL = [
    "chat",
    "chat streamed",
    "prompt 1",
    "chats again",
    "completion",
    "stop",
    "logprobs",
    "json schema",
    "tool call",
    "tool call streamed",
    "reasoning",
    "anthropic",
    "anthropic streamed",
    "long prompt",
]


class Standin(ThreadingHTTPServer):
    """An engine of which tests say how it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, Any]] = []
        self.length = 64
        self.says = "It is Paris."
        self.behaviour = "good"
        self.slow = 0.0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that did not wait."""


class Answers(BaseHTTPRequestHandler):
    """Its answers."""

    server: Standin

    def do_GET(self) -> None:
        """Tell the context."""
        self.whole({"data": [{"id": "m", "max_model_len": self.server.length}]})

    def do_POST(self) -> None:
        """Answer a request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        kind = self.server.behaviour
        # What it takes to read the prompt, and each token of the answer.
        time.sleep(self.server.slow * (1 + min(4, body.get("max_tokens", 1)) / 4))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.whole({"error": {"message": "no key"}}, 401)
        elif kind == "down" or (kind == "no tools" and "tools" in body):
            self.whole({"error": {"message": f"no {kind} for {KEY}\x1b[31m " + "x" * 500}}, 500)
        elif kind == "garbage":
            send(self, 200, b'{"choices": [[[' + b"\xff" * 20, {"Content-Type": "application/json"})
        elif kind == "other shapes":
            self.whole(json.loads('{"choices": [{"message": [1e999], "finish_reason": {}}], "usage": 1, "content": 3}'))
        elif kind == "deep":
            send(self, 200, b"[" * 100_000, {"Content-Type": "application/json"})
        else:
            self.good(body)

    def good(self, body: dict[str, Any]) -> None:
        """Answer as vLLM does."""
        if self.path == "/v1/embeddings":
            self.whole({"data": [{"embedding": [0.5, -0.25]}]})
        elif self.path == "/v1/messages":
            self.message(body)
        elif self.path == "/v1/completions":
            long = isinstance(body["prompt"], list)
            usage = {**USAGE, "prompt_tokens": len(body["prompt"]) if long else 9}
            text = "It" if body.get("stop") else self.server.says
            reason = "stop" if body.get("stop") else "length"
            self.whole({"choices": [{"text": text, "finish_reason": reason}], "usage": usage})
        else:
            self.chat(body)

    def chat(self, body: dict[str, Any]) -> None:
        """Answer a chat."""
        call = {"index": 0, "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        message: dict[str, Any] = {"content": self.server.says, "reasoning": None}
        choice: dict[str, Any] = {"finish_reason": "stop", "message": message}
        if "tools" in body:
            message = {"content": None, "tool_calls": [call]}
        elif "response_format" in body:
            message = {"content": '{"city": "Paris"}'}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "It", "logprob": -0.5}]}
        if body.get("stream"):
            return self.stream(message)
        return self.whole({"choices": [{**choice, "message": message}], "usage": USAGE})

    def stream(self, message: dict[str, Any]) -> None:
        """Stream a message of a chat in two pieces."""
        first = {"content": "It"}
        if message.get("tool_calls"):
            name = {"index": 0, "function": {"name": "get_weather", "arguments": '{"city"'}}
            first = {"tool_calls": [name]}  # type: ignore[dict-item]
            message = {"tool_calls": [{"index": 0, "function": {"arguments": ': "Paris"}'}}]}
        chunks: list[Any] = [
            {"choices": [{"delta": first}]},
            {"choices": [{"delta": message, "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
            DONE,
        ]
        kind = self.server.behaviour
        if kind == "no end":
            chunks.pop()
        if kind == "error in the stream":
            chunks[1] = {"error": {"message": "the engine died"}}
        if kind == "no usage":
            del chunks[2]
        self.events([("", chunk) for chunk in chunks])

    def message(self, body: dict[str, Any]) -> None:
        """Answer a message of Anthropic's API."""
        text = {"type": "text", "text": "Hello"}
        if not body.get("stream"):
            usage = {"input_tokens": 3, "output_tokens": 1}
            said = {"type": "message", "content": [text], "stop_reason": "end_turn", "usage": usage}
            return self.whole(said)
        kinds = ("message_start", "content_block_start", "content_block_delta", "content_block_stop")
        events = [(kind, {"type": kind, "index": 0}) for kind in kinds]
        events.append(("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}))
        return self.events([*events, ("message_stop", {"type": "message_stop"})])

    def events(self, found: list[tuple[str, Any]]) -> None:
        """Send server-sent events, or a part of them."""
        lines = [f"event: {kind}\n" if kind else "" for kind, _said in found]
        said = [one if isinstance(one, str) else json.dumps(one) for _kind, one in found]
        data = "".join(f"{line}data: {text}\n\n" for line, text in zip(lines, said)).encode()
        size = len(data)
        if self.server.behaviour == "truncated":
            data = data[:60]
        send(self, 200, data, {"Content-Type": "text/event-stream; charset=utf-8"}, size)

    def whole(self, value: Any, status: int = 200) -> None:
        """Send a document."""
        send(self, status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[Standin]:
    server = Standin()
    with serving(server):
        yield server


@pytest.fixture
def run(engine: Standin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(check: bool = False, more: dict[str, Any] | None = None, **params: Any) -> Any:
        one = {"name": "m-0", "model": "m", "port": engine.server_address[1], "max_model_len": 64, **(more or {})}
        prompts = {"m": [{"prompt": "What is the capital of France?", "expect": "(?i)paris"}]}
        given = {"instances": [one], "api_key": KEY, "prompts": prompts, "probes": 3, "seconds": 20, "host": "gpu1"}
        given = {**given, **params, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}
        result = run_module(tested.main, given, monkeypatch, capsys)
        assert KEY not in json.dumps(result)
        return result

    return call


def failed(result: Any) -> dict[str, str]:
    """Return the checks that were not passed, and why."""
    (entry,) = result["conformance"]
    assert all(bool(one["why"]) is not one["ok"] for one in entry["checks"])
    assert all(len(one["why"]) <= 200 and one["why"].isprintable() for one in entry["checks"])
    return {one["name"]: one["why"] for one in entry["checks"] if not one["ok"]}


def test_a_good_engine_passes_every_check(engine: Standin, run: Any) -> None:
    result = run()
    assert (result["changed"], failed(result)) == (False, {})
    (entry,) = result["conformance"]
    assert [one["name"] for one in entry["checks"]] == ALL
    assert (entry["instance"], entry["model"], entry["mode"]) == ("m-0", "m", "chat")
    assert len(entry["first_token_seconds"]) == len(entry["token_seconds"]) == 3
    assert all(0 < one < 5 for one in entry["first_token_seconds"])
    (long,) = [body for _path, body in engine.asked if isinstance(body.get("prompt"), list)]
    assert (len(long["prompt"]), long["max_tokens"]) == (48, 16)
    assert verdict.problems(entry) == verdict.problems(entry, entry) == []


@pytest.mark.parametrize(("length", "tokens"), [(65536, 32768), (17, 1), (16, None)])
def test_the_context_is_asked_for_where_it_is_not_given(
    engine: Standin, run: Any, length: int, tokens: int | None
) -> None:
    engine.length = length
    assert failed(run(more={"max_model_len": None}, probes=0)) == {}
    long = [len(body["prompt"]) for _path, body in engine.asked if isinstance(body.get("prompt"), list)]
    assert long == ([] if tokens is None else [tokens])


def test_an_embedding_model_is_asked_for_an_embedding(engine: Standin, run: Any) -> None:
    result = run(more={"mode": "embedding"})
    assert failed(result) == {}
    assert [path for path, _body in engine.asked] == ["/v1/embeddings"]
    assert verdict.problems(result["conformance"][0]) == []


def test_another_engine_is_asked_for_what_every_engine_has(run: Any) -> None:
    (entry,) = run(more={"engine": "echo"})["conformance"]
    assert [one["name"] for one in entry["checks"]] == ALL[:4]
    assert verdict.problems(entry) == []


def test_check_mode_sends_nothing(engine: Standin, run: Any) -> None:
    assert run(check=True)["conformance"] == []
    assert engine.asked == []


def test_an_engine_that_answers_errors(engine: Standin, run: Any) -> None:
    engine.behaviour = "down"
    result = run()
    why = failed(result)
    assert list(why) == ALL
    # The key is hidden, and the characters that colour a terminal are gone.
    assert why["chat"].startswith("status 500 with no down for *** [31m xxx")
    assert why["chats again"].startswith("number 1 of 3: status 500")
    (entry,) = result["conformance"]
    assert entry["first_token_seconds"] == entry["token_seconds"] == []
    assert [text.split("`")[1] for text in verdict.problems(entry)] == [*ALL[:3], "completion"]


def test_what_the_model_cannot_do_counts_only_if_the_old_one_could(engine: Standin, run: Any) -> None:
    good = run()["conformance"][0]
    engine.behaviour = "no tools"
    result = run()
    assert list(failed(result)) == ["tool call", "tool call streamed"]
    (poor,) = result["conformance"]
    assert verdict.problems(poor) == verdict.problems(poor, poor) == verdict.problems(good, poor) == []
    assert len(verdict.problems(poor, good)) == 2


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("truncated", "status 200, and then the answer broke off (IncompleteRead)"),
        ("no end", "the stream ends without [DONE] after 3 events"),
        ("error in the stream", "an error in the stream: the engine died"),
        ("no usage", "the stream has no usage, which was asked for"),
    ],
)
def test_a_stream_that_does_not_end_as_it_should(engine: Standin, run: Any, behaviour: str, words: str) -> None:
    engine.behaviour = behaviour
    why = failed(run())
    assert why["chat streamed"] == words
    assert "chat" not in why
    assert "chats again" in why


@pytest.mark.parametrize("behaviour", ["garbage", "other shapes", "deep"])
def test_what_is_no_answer_fails_every_check(engine: Standin, run: Any, behaviour: str) -> None:
    engine.behaviour = behaviour
    assert list(failed(run())) == ALL


def test_an_engine_that_serves_and_talks_nonsense(engine: Standin, run: Any) -> None:
    engine.says = "\u202e!!!!\ud800"
    result = run()
    assert failed(result) == {"prompt 1": "the answer does not match (?i)paris: !!!!"}
    (text,) = verdict.problems(result["conformance"][0])
    assert text.startswith("m-0 fails the check `prompt 1`: the answer does not match")


def test_a_slow_engine(engine: Standin, run: Any) -> None:
    fast = run()["conformance"][0]
    engine.slow = 0.06
    slow = run()["conformance"][0]
    assert [text.partition(", more")[0].partition(" ms ")[2] for text in verdict.problems(slow, fast)] == [
        "to the first token",
        "from one token to the next",
    ]
    assert verdict.problems(fast, slow) == []


def test_no_more_seconds_are_taken_than_allowed(engine: Standin, run: Any) -> None:
    engine.slow = 0.2
    watch = Watch()
    why = failed(run(seconds=1))
    assert watch.seconds() < 2
    assert "chat" not in why
    assert why["long prompt"] == "no answer (the 1 s for all checks were over)"


def test_two_instances_share_the_seconds(
    engine: Standin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.slow = 0.2
    two = [{"name": f"m-{n}", "model": "m", "port": engine.server_address[1], "max_model_len": 64} for n in (0, 1)]
    given = {"instances": two, "api_key": KEY, "seconds": 2, "_ansible_remote_tmp": "/tmp"}
    found = run_module(tested.main, given, monkeypatch, capsys)["conformance"]
    assert [(one["instance"], one["checks"][0]["ok"]) for one in found] == [("m-0", True), ("m-1", True)]


def test_an_engine_that_is_not_there(run: Any) -> None:
    assert set(failed(run(more={"port": 9})).values()) >= {"no answer (connection refused)"}


def test_the_environment_of_an_instance_is_no_parameter(run: Any) -> None:
    result = run(more={"env": {"HF_TOKEN": "hf-secret-of-a-test"}})
    assert result["failed"]
    assert "env" in result["msg"]
    assert "hf-secret" not in result["msg"]


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({"m": "text"}, 'prompts[m] is "text": a list is needed'),
        ({"m": [{"prompt": "a"}]}, "prompts[m][0]"),
        ({"m": [{"prompt": "a", "expect": 3}]}, "it needs the texts prompt and expect"),
        ({"m": [{"prompt": "a", "expect": "("}]}, 'prompts[m][0].expect is "(": it is no regular expression'),
    ],
)
def test_a_semantic_probe_that_is_none_is_refused(engine: Standin, run: Any, prompts: Any, words: str) -> None:
    result = run(prompts=prompts)
    assert result["failed"]
    assert words in result["msg"]
    assert "gpu1" in result["msg"]
    assert engine.asked == []


def test_options_are_those_that_are_documented() -> None:
    options = documented_options(tested)
    assert set(options) == {"instances", "api_key", "prompts", "probes", "seconds", "host"}
    assert "env" not in options["instances"]["suboptions"]
