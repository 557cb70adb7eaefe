# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One user's prompt must not take a model away from the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

REPEATED_TOKENS = 300
HANG_UPS = 24


@pytest.mark.outage
def test_a_reply_that_repeats_one_token(
    client: openai.OpenAI, model: str, repeat_prompt: str, is_served: Callable[[], None]
) -> None:
    pieces: list[str] = []
    tokens = 0
    for chunk in client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": repeat_prompt}],
        max_tokens=REPEATED_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    ):
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    words = "".join(pieces).split()
    assert tokens >= REPEATED_TOKENS
    # The prompt has to do what it is meant to: one token, longer than the two characters that LiteLLM always lets pass.
    assert len(set(words[1:-1] or words)) == 1, words[:10]
    assert len(words[0]) > 2
    is_served()


@pytest.mark.outage
def test_clients_that_hang_up_in_mid_stream(
    client: openai.OpenAI, model: str, chatty_prompt: str, is_served: Callable[[], None]
) -> None:
    def hang_up(_number: int) -> None:
        with client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": chatty_prompt}],
            max_tokens=REPEATED_TOKENS,
            stream=True,
        ) as stream:
            next(iter(stream))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hang_up, range(HANG_UPS)))
    is_served()


@pytest.mark.engine
def test_requests_that_the_engine_refuses(client: openai.OpenAI, model: str, is_served: Callable[[], None]) -> None:
    for _request in range(6):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=5,
                extra_body={"min_tokens": 50},
            )
    is_served()


@pytest.mark.backend_errors
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_at_which_the_backend_answers_500(
    client: openai.OpenAI, model: str, fail_prompt: str, is_served: Callable[[], None], stream: bool
) -> None:
    for _request in range(6):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": fail_prompt}], stream=stream
            )
    is_served()


@pytest.mark.backend_errors
@pytest.mark.parametrize("kind", ["chat", "completion", "response", "message"])
def test_a_stream_whose_backend_dies_ends_with_an_error_of_its_api(
    client: openai.OpenAI,
    claude: anthropic.Anthropic,
    model: str,
    cut_prompt: str,
    is_served: Callable[[], None],
    kind: str,
) -> None:
    """LiteLLM translates the last two, and ends a response with an event that says so if it still can."""
    messages: list[Any] = [{"role": "user", "content": cut_prompt}]
    streams: dict[str, Callable[[], Any]] = {
        "chat": lambda: client.chat.completions.create(model=model, messages=messages, stream=True),
        "completion": lambda: client.completions.create(model=model, prompt=cut_prompt, stream=True),
        "response": lambda: client.responses.create(model=model, input=cut_prompt, stream=True),
        "message": lambda: claude.messages.create(model=model, messages=messages, max_tokens=50, stream=True),
    }
    types: list[str] = []
    told: openai.APIError | anthropic.APIError | None = None
    try:
        types.extend(getattr(event, "type", "") for event in streams[kind]())
    except (openai.APIError, anthropic.APIError) as error:
        told = error
    assert not isinstance(told, (openai.APIConnectionError, anthropic.APIConnectionError)), "a silent end"
    assert told is not None or types[-1:] == ["response.failed"]
    assert not {"response.completed", "message_stop"} & set(types)
    is_served()
