# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenAI's and Anthropic's own clients understand answers, streams, lists and refusals of the gate."""

from __future__ import annotations

import anthropic
import openai
import pytest
from gate_process import Gate, said

HELLO = [{"role": "user", "content": "tokens=5"}]


@pytest.fixture
def client(gate: Gate) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gate.port}/v1", api_key=gate.key_of("team"), max_retries=0)


@pytest.fixture
def claude(gate: Gate) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{gate.port}", api_key=gate.key_of("team"), max_retries=0)


def test_openais_client(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
    assert answer.usage
    assert answer.usage.completion_tokens == 5
    chunks = [*client.chat.completions.create(model="chat", messages=HELLO, stream=True)]  # type: ignore[arg-type]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    asked = client.chat.completions.create(
        model="chat",
        messages=HELLO,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
    )
    usages = [chunk.usage for chunk in asked if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [5]
    assert [model.id for model in client.models.list()] == ["chat", "gpt-4o", "team/large", "guide", "far"]
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    assert client.embeddings.create(model="chat", input=["a", "b"]).data[1].embedding
    assert client.completions.create(model="chat", prompt=[1, 2, 3]).choices


def test_openais_errors(client: openai.OpenAI, gate: Gate) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model nothing here"):
        client.chat.completions.create(model="nothing", messages=HELLO)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="n must be from 1 to 8"):
        client.chat.completions.create(model="chat", messages=HELLO, n=9)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=HELLO, extra_body={"api_base": "x"})  # type: ignore[arg-type]
    assert (caught.value.param, caught.value.code) == ("api_base", "unknown_parameter")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-made-up").models.list()
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=gate.key_of("guide-only")).completions.create(model="chat", prompt="a")
    with pytest.raises(openai.APIError, match="broke off"):
        for _chunk in client.chat.completions.create(
            model="chat",
            messages=said("fail=cut tokens=10")["messages"],
            stream=True,
        ):
            pass


def test_streams_that_break_off_are_errors_of_each_api(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    cut = "fail=cut tokens=10"
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.completions.create(model="chat", prompt=cut, stream=True))
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.responses.create(model="chat", input=cut, stream=True))
    with pytest.raises(anthropic.APIError, match="broke off"):
        list(claude.messages.create(model="chat", messages=said(cut)["messages"], max_tokens=5, stream=True))


def test_anthropics_client(claude: anthropic.Anthropic, gate: Gate) -> None:
    answer = claude.messages.create(model="chat", messages=HELLO, max_tokens=5)  # type: ignore[arg-type]
    assert answer.usage.output_tokens == 5
    events = [*claude.messages.create(model="chat", messages=HELLO, max_tokens=5, stream=True)]  # type: ignore[arg-type]
    assert [event.type for event in events] == ["message_start", "message_delta", "message_stop"]
    assert claude.messages.count_tokens(model="chat", messages=HELLO).input_tokens == 8  # type: ignore[arg-type]
    assert [model.id for model in claude.models.list()][:2] == ["chat", "gpt-4o"]
    assert claude.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(anthropic.NotFoundError, match="There is no model nothing here"):
        claude.messages.create(model="nothing", messages=HELLO, max_tokens=5)  # type: ignore[arg-type]
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="sk-made-up").models.list()
    with pytest.raises(anthropic.PermissionDeniedError):
        claude.with_options(api_key=gate.key_of("guide-only")).messages.create(
            model="chat",
            messages=HELLO,  # type: ignore[arg-type]
            max_tokens=5,
        )
