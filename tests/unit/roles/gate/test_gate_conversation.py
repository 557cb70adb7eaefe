# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All turns of a conversation have one digest, and it costs little."""

from __future__ import annotations

from typing import Any

import pytest
from gate_conversation import MOST_CHARACTERS, PROMPT_CHARACTERS, digest
from patience import Watch

CHAT = "/v1/chat/completions"


def of(path: str = CHAT, alias: str = "team", model: str = "chat", session: str = "", **body: Any) -> str:
    return digest(path, body, model, alias, session)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


TURNS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (CHAT, {"messages": [user("hi")]}, {"messages": [user("hi"), {"role": "assistant", "content": "ho"}, user("b")]}),
    (CHAT, {"messages": [{"role": "system", "content": "noon"}, user("hi")]}, {"messages": [user("hi"), user("b")]}),
    (CHAT, {"messages": [user("hi")]}, {"messages": [user([{"type": "text", "text": "hi"}])]}),
    (
        CHAT,
        {"messages": [user([image("data:image/png;base64,AA"), {"type": "text", "text": "what?"}])]},
        {"messages": [user([image("data:image/png;base64,AA"), {"type": "text", "text": "what?"}]), user("b")]},
    ),
    ("/v1/responses", {"input": "hi"}, {"input": [user([{"type": "input_text", "text": "hi"}]), user("b")]}),
    (
        "/v1/messages",
        {"messages": [user("hi")]},
        {"messages": [user([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}])]},
    ),
    ("/v1/completions", {"prompt": "a" * PROMPT_CHARACTERS}, {"prompt": "a" * PROMPT_CHARACTERS + "b"}),
    ("/v1/completions", {"prompt": [*range(256)]}, {"prompt": [*range(300)]}),
]


@pytest.mark.parametrize(("path", "first", "second"), TURNS)
def test_later_turns_are_of_the_same_conversation(path: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert of(path, **first) == of(path, **second) != ""
    assert len(of(path, **first)) == 16


def test_another_beginning_key_or_model_is_another_conversation() -> None:
    long = "x" * MOST_CHARACTERS
    found = [
        of(messages=[user("hi")]),
        of(messages=[user("ho")]),
        of(messages=[user("hi")], alias="other"),
        of(messages=[user("hi")], model="guide"),
        of(messages=[user("hi")], session="session-1"),
        of(messages=[user([image("data:a")])]),
        of(messages=[user([image("data:b")])]),
        of(messages=[user([{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}])]),
        of("/v1/messages", messages=[user([{"type": "image", "source": {"type": "base64", "data": "AA"}}])]),
        of("/v1/messages", messages=[user([{"type": "image", "source": {"type": "base64", "data": "BB"}}])]),
        of("/v1/responses", input=[user([{"type": "input_image", "image_url": "data:a;b"}])]),
        of("/v1/completions", prompt="one prompt"),
        of("/v1/completions", prompt=["a prompt", "b"]),
        of("/v1/completions", prompt=[1, 2]),
        of("/v1/completions", prompt=[[1, 2, 3]]),
        of(messages=[user(long)]),
    ]
    assert len({*found}) == len(found)
    assert of(messages=[user("hi")], session="s") == of(messages=[user("ho")], session="s"), "the client's own name"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": []}),
        (CHAT, {"messages": [{"role": "system", "content": "noon"}]}),
        (CHAT, {"messages": [user(None)]}),
        (CHAT, {"messages": [user([5, {"type": 5}, {"type": "image_url", "image_url": 5}])]}),
        (CHAT, {}),
        ("/v1/embeddings", {"input": "hi"}),
        ("/v1/messages/count_tokens", {"messages": [user("hi")]}),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"prompt": []}),
    ],
)
def test_what_begins_with_nothing_is_of_no_conversation(path: str, body: dict[str, Any]) -> None:
    assert of(path, **body) == ""


@pytest.mark.parametrize(
    "content",
    [
        "x" * (4 << 20),
        [image("data:image/png;base64," + "A" * (4 << 20))],
        [{"type": "text", "text": "x"}] * 100_000,
        [image("x" * 10_000)] * 400,
    ],
)
def test_a_large_body_costs_no_more_than_a_middling_one(content: Any) -> None:
    watch = Watch()
    for _ in range(10):
        assert of(messages=[user(content)])
    # Each takes 0.02 to 0.1 ms; the rest is for a machine that is busy with other work.
    assert watch.seconds() < 0.5
