# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people's own programs see: the OpenAI and the Anthropic client through the outermost door."""

from __future__ import annotations

import time
from collections.abc import Callable

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Who are you?"}]
HELLO_ANTHROPIC: list[MessageParam] = [{"role": "user", "content": "Who are you?"}]
WRONG_KEY = "sk-this-key-does-not-exist-0000"


def test_models(client: openai.OpenAI, model: str) -> None:
    assert model in {entry.id for entry in client.models.list()}


def test_completion(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=HELLO, max_tokens=32)
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert 0 < reply.usage.completion_tokens <= 32


def test_stream_comes_in_pieces(client: openai.OpenAI, model: str, chatty_prompt: str) -> None:
    text, reason, pieces = "", None, 0
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": chatty_prompt}]
    with client.chat.completions.create(model=model, messages=messages, max_tokens=512, stream=True) as stream:
        for chunk in stream:
            pieces += 1
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason or reason
    assert text
    assert reason in ("stop", "length")
    assert pieces >= 3


@pytest.mark.backend_pace
def test_stream_arrives_while_it_is_made(client: openai.OpenAI, model: str, paced_prompt: str) -> None:
    """A real engine on busy processors sends its pieces in heaps, so this one needs a backend that sends on time."""
    arrivals: list[float] = []
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": paced_prompt}]
    with client.chat.completions.create(model=model, messages=messages, stream=True) as stream:
        arrivals += [time.monotonic() for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert len(arrivals) >= 8
    assert arrivals[-1] - arrivals[0] > 1, "a gateway that buffers passes all pieces on at once"


def test_stream_with_usage(client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model, messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}
        )
    )
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens > 0


def test_wrong_key(client_for: Callable[[str], openai.OpenAI], model: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refusal:
        client_for(WRONG_KEY).chat.completions.create(model=model, messages=HELLO)
    assert isinstance(refusal.value.body, dict)
    assert refusal.value.body["message"]
    assert WRONG_KEY not in str(refusal.value)


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        client.chat.completions.create(model="no-such-model", messages=HELLO)


def test_anthropic_message(claude: anthropic.Anthropic, model: str) -> None:
    reply = claude.messages.create(model=model, messages=HELLO_ANTHROPIC, max_tokens=32)
    assert reply.role == "assistant"
    assert any(block.type == "text" and block.text for block in reply.content)
    assert reply.usage.output_tokens > 0


def test_anthropic_stream(claude: anthropic.Anthropic, model: str) -> None:
    with claude.messages.stream(model=model, messages=HELLO_ANTHROPIC, max_tokens=64) as stream:
        text = "".join(stream.text_stream)
        assert text
        assert stream.get_final_message().stop_reason in ("end_turn", "max_tokens")


def test_anthropic_wrong_key(claude: anthropic.Anthropic, model: str) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key=WRONG_KEY).messages.create(model=model, messages=HELLO_ANTHROPIC, max_tokens=8)
