# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Usage, read from what engines and the translator answer, however it is cut into pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gate_usage import MOST_EVENT_BYTES, Events, NativeStream, Reply, TranslatedStream, Usage
from hypothesis import given
from hypothesis import strategies as st

DONE = b"data: [DONE]\n\n"


def event(body: object, name: str = "") -> bytes:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(body, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def counts(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion, **more}


def chunk(text: str, usage: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk as vLLM 0.32 writes it: usage last, if there is any."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "chat"}
    choice = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {**base, "choices": [choice], **({} if usage is None else {"usage": usage}), **more}


def last(usage: Any) -> dict[str, Any]:
    return {**chunk("", usage), "choices": []}


def taken(usage: Usage) -> tuple[int, int, int, bool]:
    return usage.prompt, usage.completion, usage.cached, usage.known


def through(
    data: list[bytes], include: bool = False, continuous: bool = False, choices: int = 1, prompts: int = 1
) -> tuple[bytes, Usage]:
    usage = Usage()
    stream = NativeStream(usage, include, continuous, choices, prompts)
    events = Events(stream.event)
    sent = b"".join(events.feed(piece) for piece in data) + events.end()
    stream.end()
    return sent, usage


# What looks like usage to somebody who reads carelessly, in the text of an answer.
TRICKY = [
    'plain "usage":{"prompt_tokens":9999,"completion_tokens":9999}',
    ',"usage":{"completion_tokens":9999}',
    '\\",\\"usage\\":{',
    '"choices":[]',
    "data: {}",
    "line\nbreak\r\n\r\ntwo\n\n",
    "\u2028 ünï \U0001f600 \x00",
    "}}}]]]",
]
WHOLE = b"".join(
    [
        event(chunk("", counts(8, 0))),
        *(event(chunk(text, counts(8, number + 1))) for number, text in enumerate(TRICKY)),
        event(chunk("", counts(8, len(TRICKY)))),
        event(last(counts(8, len(TRICKY), prompt_tokens_details={"cached_tokens": 4}))),
        DONE,
    ]
)
BARE = b"".join([event(chunk("")), *(event(chunk(text)) for text in TRICKY), event(chunk("")), DONE])


def test_a_client_that_asks_for_nothing_gets_the_stream_without_usage() -> None:
    sent, usage = through([WHOLE])
    assert sent == BARE
    assert taken(usage) == (8, len(TRICKY), 4, True)


def test_a_client_that_asks_for_usage_gets_the_last_chunk() -> None:
    sent, usage = through([WHOLE], include=True)
    assert sent == BARE[: -len(DONE)] + WHOLE.split(b"\n\n")[-3] + b"\n\n" + DONE
    assert taken(usage) == (8, len(TRICKY), 4, True)


def test_a_client_that_asks_for_all_gets_what_the_engine_sent() -> None:
    assert through([WHOLE], include=True, continuous=True)[0] == WHOLE
    # As in the engine, the second wish alone means nothing.
    assert through([WHOLE], continuous=True)[0] == BARE


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n"])
def test_a_stream_may_be_cut_anywhere(include: bool, ends: bytes) -> None:
    stream = WHOLE.replace(b"\n\n", ends)
    expected, usage = through([WHOLE], include)
    for at in range(len(stream) + 1):
        sent, found = through([stream[:at], stream[at:]], include)
        assert sent == expected
        assert taken(found) == taken(usage)
    sent, found = through([stream[at : at + 1] for at in range(len(stream))], include)
    assert (sent, taken(found)) == (expected, taken(usage))


def test_a_stream_that_is_left_is_booked_by_its_last_whole_chunk() -> None:
    for left in range(len(TRICKY)):
        body = b"".join(part + b"\n\n" for part in WHOLE.split(b"\n\n")[: left + 1])
        for more in (b"", b"da", b'data: {"choices":[{"index":0'):
            assert through([body + more])[1].completion == left


@given(st.lists(st.text(), max_size=6), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_any_text_passes_unchanged(texts: list[str], random: Any, include: bool, continuous: bool) -> None:
    body = b"".join(event(chunk(text, counts(3, number))) for number, text in enumerate(texts)) + DONE
    pieces = []
    while body:
        size = random.randint(1, 40)
        pieces.append(body[:size])
        body = body[size:]
    sent, usage = through(pieces, include, continuous)
    chunks = [json.loads(line[6:]) for line in sent.split(b"\n\n") if line[6:] not in (b"", b"[DONE]")]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == texts
    assert all(("usage" in chunk) == (include and continuous) for chunk in chunks)
    assert usage.completion == max(0, len(texts) - 1)


def test_choices_are_counted_one_by_one_until_their_sum_comes() -> None:
    steps = [chunk("a", counts(8, number), index) for number in (1, 2, 3) for index in (0, 1, 2)]
    sent, usage = through([event(step) for step in steps[:-1]], choices=3)
    assert b"usage" not in sent
    assert taken(usage) == (8, 3 + 3 + 2, 0, True)
    _sent, usage = through([*map(event, steps), event(last(counts(8, 9))), DONE], choices=3)
    assert taken(usage) == (8, 9, 0, True)


def test_prompts_are_counted_one_by_one_too() -> None:
    # Two prompts of 5 and 7 tokens with two choices each, which the engine numbers 0 to 3.
    steps = [chunk("a", counts((5, 5, 7, 7)[index], 2), index) for index in range(4)]
    assert taken(through([event(step) for step in steps[:1]], choices=2, prompts=2)[1]) == (5, 2, 0, True)
    assert taken(through([event(step) for step in steps], choices=2, prompts=2)[1]) == (12, 8, 0, True)
    one_each = [chunk("a", counts(5 + index, 1), index) for index in range(3)]
    assert taken(through([event(step) for step in one_each], prompts=3)[1]) == (18, 3, 0, True)


@pytest.mark.parametrize(
    "usage",
    [
        counts(8, 5, completion_tokens_details={"reasoning_tokens": 1}),
        counts(8, 5, prompt_tokens_details=None),
    ],
)
def test_usage_that_is_not_flat_is_taken_and_hidden(usage: Any) -> None:
    sent, found = through([event(chunk("a", usage))])
    assert json.loads(sent[6:]) == chunk("a")
    assert taken(found)[:2] == (8, 5)


def test_usage_in_front_of_other_fields_is_taken_and_hidden() -> None:
    sent, found = through([event(chunk("a", counts(8, 5), metrics={"x": 1}, kv=[1]))])
    assert json.loads(sent[6:]) == chunk("a", metrics={"x": 1}, kv=[1])
    assert taken(found)[:2] == (8, 5)


@pytest.mark.parametrize(
    "line",
    [
        b'data: {"choices":[{}],"usage":null}',
        b'data: {"choices":[{}],"usage":{,}',
        b'data: {"choices":[{}],"usage":{}',
        b'data: [,"usage":{}]',
        b'data: "usage":',
        b': comment ,"usage":{"completion_tokens":7}',
        b'event: x\nid: 1,"usage":{}}',
        b'data: {"choices":[{"logprobs":{"usage":-0.5}}]}',
        b'data: {"choices":[{}],"usage":{"prompt_tokens":"8","completion_tokens":true}}',
        b'data: {"choices":[{}],"usage":{"prompt_tokens":-8,"completion_tokens":-1.5}}',
        b'data: {"choices":"x","usage":[1]}',
    ],
)
@pytest.mark.parametrize("choices", [1, 2])
def test_what_is_no_usage_counts_nothing_and_breaks_nothing(line: bytes, choices: int) -> None:
    _sent, usage = through([line + b"\n\n", DONE], choices=choices)
    assert taken(usage) == (0, 0, 0, False)


def test_an_event_without_an_end_has_an_end() -> None:
    events = Events(lambda line: line)
    assert events.feed(b"data: ") == b""
    for _number in range(MOST_EVENT_BYTES // (1 << 20) - 1):
        assert events.feed(b"x" * (1 << 20)) == b""
    with pytest.raises(ValueError, match="without an end"):
        events.feed(b"x" * (1 << 20))


def test_a_large_event_in_many_pieces_passes() -> None:
    events = Events(lambda line: line)
    sent = [events.feed(b"x" * 1000) for _number in range(5000)]
    assert set(sent) == {b""}
    assert events.feed(b"\n") == b""
    assert events.feed(b"\ny") == b"x" * 5_000_000 + b"\n\n"
    assert events.end() == b"y"


def test_the_translators_streams_pass_as_they_are() -> None:
    anthropic = [
        event(
            {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 0}}}, "message_start"
        ),
        event(
            {"type": "content_block_delta", "delta": {"text": '"usage":{"output_tokens":99}'}}, "content_block_delta"
        ),
        event({"type": "message_delta", "usage": {"output_tokens": 7}}, "message_delta"),
    ]
    details = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 7}
    responses = [
        event({"type": "response.created", "response": {"usage": None}}, "a"),
        event({"type": "response.completed", "response": {"usage": details}}, "b"),
    ]
    spaced = [b'event: c\ndata: {"type": "c", "usage": {"input_tokens": 5, "output_tokens": 7}}\nid: 1\n\n']
    for stream, cached in ((anthropic, 0), (responses, 2), (spaced, 0)):
        usage = Usage()
        translated = TranslatedStream(usage)
        events = Events(translated.event)
        assert b"".join(map(events.feed, stream)) == b"".join(stream)
        translated.end()
        assert taken(usage) == (5, 7, cached, True)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            b'data: {"type":"response.created","n":1}',
            b'event: response.created\ndata: {"type":"response.created","n":1}',
        ),
        (b'data: {"n": 1, "type": "error"}', b'event: error\ndata: {"n": 1, "type": "error"}'),
        (b'event: a\ndata: {"type":"b"}', b'event: a\ndata: {"type":"b"}'),
        (b'data: {"type":"a\\nb"}', b'data: {"type":"a\\nb"}'),
        (b'data: {"type":5}', b'data: {"type":5}'),
        (b"data: [DONE]", b"data: [DONE]"),
        (b": ping", b": ping"),
    ],
)
def test_events_of_responses_get_the_line_with_their_name(given: bytes, sent: bytes) -> None:
    assert TranslatedStream(Usage(), named=True).event(given) == sent
    assert TranslatedStream(Usage()).event(given) == given


def test_tokens_that_anthropic_counts_apart_are_in_the_prompt() -> None:
    usage = Usage()
    usage.take(
        {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7}
    )
    assert taken(usage) == (125, 7, 100, True)
    usage.take({"output_tokens": 9})
    assert taken(usage) == (125, 9, 100, True)
    assert usage.total == 134


def reply(data: list[bytes]) -> Usage:
    usage = Usage()
    scanner = Reply(usage)
    for piece in data:
        scanner.feed(piece)
    return usage


TEXT = ' "usage":{"prompt_tokens":99,"completion_tokens":99} '
REPLIES = [
    {"choices": [{"message": {"content": TEXT}}], "usage": counts(8, 5)},
    {"usage": counts(8, 5), "choices": [{"message": {"content": TEXT}}]},
    # Before it, a token that is the word itself; behind it, what may be megabytes.
    {
        "choices": [{"logprobs": {"top_logprobs": [{"usage": -0.5}]}}],
        "usage": counts(8, 5),
        "prompt_logprobs": [{"1": 0.5}] * 3,
    },
    {"usage": counts(8, 5, prompt_tokens_details={"cached_tokens": 3}), "prompt_token_ids": [1] * 50},
]


@pytest.mark.parametrize("body", REPLIES)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_reply_may_be_cut_anywhere(body: Any, separators: tuple[str, str]) -> None:
    data = json.dumps(body, separators=separators).encode()
    for at in range(len(data)):
        assert taken(reply([data[:at], data[at:]]))[:2] == (8, 5)
    assert taken(reply([data[at : at + 1] for at in range(len(data))]))[:2] == (8, 5)


def test_megabytes_behind_usage_hide_nothing() -> None:
    data = json.dumps({"usage": counts(8, 5), "prompt_logprobs": [{"1": 0.5}] * 200_000}).encode()
    assert taken(reply([data]))[:2] == (8, 5)
    assert taken(reply([data[at : at + 65536] for at in range(0, len(data), 65536)]))[:2] == (8, 5)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"usage":', b'{"usage":{' + b" " * 9000, b'{"usage":null}', b'"usage":"x"']
)
def test_a_reply_without_usage_has_none(body: bytes) -> None:
    assert taken(reply([body])) == (0, 0, 0, False)


def test_the_last_event_is_announced_before_it_is_sent_on() -> None:
    calls: list[tuple[int, int, int, bool]] = []
    usage = Usage()
    native = NativeStream(usage, False, False, last=lambda: calls.append(taken(usage)))
    assert native.event(event(chunk("a", counts(8, 1)))[:-2])
    assert not calls
    assert native.event(b"data: [DONE]") == b"data: [DONE]"
    # What the last chunk said is known by then, also where the engine sends no sums.
    assert calls == [(8, 1, 0, True)]


@pytest.mark.parametrize(
    ("given", "named", "last"),
    [
        (b'event: message_stop\ndata: {"type": "message_stop"}', False, True),
        (b'event: message_delta\ndata: {"type": "message_delta"}', False, False),
        (b'event: content_block_delta\ndata: {"text": "event: message_stop\\n"}', False, False),
        (b'data: {"type":"response.completed","response":{}}', True, True),
        (b'data: {"n": 1, "type": "response.incomplete"}', True, True),
        (b'data: {"type":"response.output_text.delta","delta":"response.completed"}', True, False),
        (b'event: response.failed\ndata: {"type":"response.failed"}', True, True),
    ],
)
def test_the_last_event_of_a_translated_stream_is_known(given: bytes, named: bool, last: bool) -> None:
    calls: list[bool] = []
    TranslatedStream(Usage(), named, lambda: calls.append(True)).event(given)
    assert bool(calls) is last
