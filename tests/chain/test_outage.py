# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One user's prompt must not take a model away from the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
