# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A loop with a tool through each protocol, with the official clients, and what coding agents ask for besides."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import anthropic
import openai
import pytest

pytestmark = pytest.mark.tools

QUESTION: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
RESULT = "A heron stands in the rain."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
    "required": ["city", "unit"],
}
WANTED = {"city": "Paris", "unit": "celsius"}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
MESSAGES_TOOL: Any = {"name": "get_weather", "description": "Look outside", "input_schema": SCHEMA}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
# What Codex declares by default.
GROUP: Any = {"type": "namespace", "name": "others", "description": "d", "tools": [{**RESPONSES_TOOL, "name": "f"}]}
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def raw(base_url: str, api_key: str, path: str, body: dict[str, Any]) -> bytes:
    """The answer as it is on the wire."""
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(base_url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


@both
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_chat_completions(client: openai.OpenAI, model: str, stream: bool, choice: Any) -> None:
    asked: dict[str, Any] = {"model": model, "tools": [CHAT_TOOL], "max_tokens": 300}
    if stream:
        with client.chat.completions.stream(messages=QUESTION, tool_choice=choice, **asked) as events:
            reply = events.get_final_completion().choices[0]
    else:
        reply = client.chat.completions.create(messages=QUESTION, tool_choice=choice, **asked).choices[0]
    assert reply.finish_reason == "tool_calls"
    (call,) = reply.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", WANTED)
    said = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}})]}
    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    answer = client.chat.completions.create(messages=[*QUESTION, said, result], **asked).choices[0]
    assert answer.finish_reason == "stop"
    assert RESULT in (answer.message.content or "")


def test_no_tool_is_called_where_none_is_wanted(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=QUESTION, tools=[CHAT_TOOL], tool_choice="none")
    assert not reply.choices[0].message.tool_calls
    assert "tool_call" not in (reply.choices[0].message.content or "")


@both
def test_messages(claude: anthropic.Anthropic, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": model, "tools": [MESSAGES_TOOL], "max_tokens": 32000 if stream else 300}
    if stream:
        with claude.messages.stream(messages=QUESTION, **asked) as events:
            reply = events.get_final_message()
    else:
        reply = claude.messages.create(messages=QUESTION, **asked)
    assert reply.stop_reason == "tool_use"
    (call,) = [block for block in reply.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("get_weather", WANTED)
    result = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT}]
    said = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}]
    history = [*QUESTION, {"role": "assistant", "content": said}, {"role": "user", "content": result}]
    answer = claude.messages.create(messages=history, **{**asked, "max_tokens": 300})
    assert answer.stop_reason == "end_turn"
    assert any(block.type == "text" and RESULT in block.text for block in answer.content)


@both
def test_responses(client: openai.OpenAI, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": model, "tools": [RESPONSES_TOOL, GROUP], "store": False}
    if stream:
        with client.responses.stream(input=QUESTION, **asked) as events:
            reply: Any = events.get_final_response()
    else:
        reply = client.responses.create(input=QUESTION, **asked)
    (call,) = [item for item in reply.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", WANTED)
    said = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    assert RESULT in client.responses.create(input=[*QUESTION, said, result], **asked).output_text


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        ("/messages", {"messages": QUESTION, "max_tokens": 300}, "message_stop"),
        ("/responses", {"input": QUESTION}, "response.completed"),
    ],
)
def test_every_event_has_a_line_with_its_name(
    base_url: str, api_key: str, model: str, path: str, body: dict[str, Any], last: str
) -> None:
    received = raw(base_url, api_key, path, {"model": model, "stream": True, **body}).decode()
    events = [event for event in received.split("\n\n") if "data: {" in event]
    names = [event.partition("\n")[0].removeprefix("event: ") for event in events]
    assert names == [json.loads(event.partition("data: ")[2])["type"] for event in events]
    assert names[-1] == last


def test_one_model_is_told_about(client: openai.OpenAI, model: str) -> None:
    assert client.models.retrieve(model).id == model


def test_a_prompt_of_tokens_is_the_prompt_that_they_write(
    client: openai.OpenAI, base_url: str, api_key: str, model: str
) -> None:
    door = base_url.removesuffix("/v1")
    tokens = json.loads(raw(door, api_key, "/tokenize", {"model": model, "prompt": "the front door"}))["tokens"]
    for prompt in (tokens, [tokens, tokens], "the front door"):
        reply = client.completions.create(model=model, prompt=prompt, max_tokens=4, temperature=0)
        assert reply.usage is not None
        assert reply.usage.prompt_tokens == len(tokens) * (2 if prompt == [tokens, tokens] else 1)


def test_tokens_are_counted_by_the_engine(claude: anthropic.Anthropic, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": QUESTION}
    counted = claude.messages.count_tokens(**asked).input_tokens
    assert counted == claude.messages.create(max_tokens=8, **asked).usage.input_tokens
    assert (
        counted > claude.messages.count_tokens(model=model, messages=[{"role": "user", "content": "Hi"}]).input_tokens
    )
