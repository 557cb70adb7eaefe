# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what an engine answered to conformance checks: one function for each kind of check.

Pure functions: every answer is handed in. Each raises :class:`parts.WrongError` for an answer that is not what was
asked for.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.verify import parts
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.judge import Reply, parse_sse
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.parts import WrongError

DONE = "[DONE]"


def _whole(reply: Reply) -> dict[str, Any]:
    document = parts.parsed(reply.body.decode())
    if not isinstance(document, dict):
        raise WrongError(f"the answer is no JSON object{parts.beside(reply.body.decode())}")
    return document


def _choice(document: Any) -> dict[str, Any]:
    choices = parts.dicts(document, "choices")
    if not choices:
        raise WrongError("the answer has no choices")
    return choices[0]


def _ended(choice: Mapping[str, Any]) -> str:
    found = choice.get("finish_reason")
    if not found or not isinstance(found, str):
        raise WrongError("the answer has no finish_reason")
    return found


def _counted(document: Any) -> None:
    if parts.number(parts.get(document, "usage", "completion_tokens")) is None:
        raise WrongError("the answer has no usage")


def _answer(reply: Reply) -> dict[str, Any]:
    """Return the first message of a chat that is complete."""
    document = _whole(reply)
    choice = _choice(document)
    _ended(choice)
    _counted(document)
    if not isinstance(choice.get("message"), dict):
        raise WrongError("the answer has no message")
    return dict(choice["message"])


def _events(reply: Reply, key: str) -> Iterator[dict[str, Any]]:
    """Yield the documents of a stream of server-sent events.

    :param key: what every document that is no error has.
    """
    if "text/event-stream" not in reply.content_type:
        raise WrongError(f"the content type is {reply.content_type or 'missing'}, not text/event-stream")
    if not reply.body.replace(b"\r\n", b"\n").endswith(b"\n\n"):
        raise WrongError("the stream ends in the middle of an event" if reply.body else "the stream is empty")
    for event in parse_sse(reply.pieces):
        if event.data == DONE:
            yield {DONE: True}
            continue
        document = parts.parsed(event.data)
        if isinstance(document, dict) and (document.get("error") or document.get("type") == "error"):
            raise WrongError(f"an error in the stream: {parts.message_of(event.data)}")
        if not isinstance(document, dict) or key not in document:
            raise WrongError(f"an event without {key}: {event.data}")
        yield document


def _chunks(reply: Reply) -> list[dict[str, Any]]:
    """Return the chunks of a streamed chat that ends as it should."""
    found = list(_events(reply, "choices"))
    if not found or DONE not in found[-1]:
        raise WrongError(f"the stream ends without {DONE} after {len(found)} events")
    chunks = found[:-1]
    if any(DONE in one for one in chunks):
        raise WrongError(f"the stream goes on after {DONE}")
    if not any(one.get("finish_reason") for chunk in chunks for one in parts.dicts(chunk, "choices")):
        raise WrongError("the stream has no finish_reason")
    return chunks


def _deltas(chunks: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [one.get("delta") for chunk in chunks for one in parts.dicts(chunk, "choices")]


def chat(reply: Reply, _expect: Any) -> None:
    """Check that a chat has an answer, its end and its usage."""
    if not parts.words(_answer(reply)):
        raise WrongError("the answer is empty")


def chat_streamed(reply: Reply, _expect: Any) -> None:
    """Check that a stream has words, a reason of its end, its usage and its last event."""
    chunks = _chunks(reply)
    if not any(map(parts.words, _deltas(chunks))):
        raise WrongError("the stream has no content")
    if not any(parts.number(parts.get(chunk, "usage", "completion_tokens")) for chunk in chunks):
        raise WrongError("the stream has no usage, which was asked for")


def one_token(reply: Reply, _expect: Any) -> None:
    """Check that a stream of one token, which may be none that is shown, ends as it should."""
    _chunks(reply)


def completion(reply: Reply, _expect: Any) -> dict[str, Any]:
    """Check that a completion has text, its end and its usage; return the document."""
    document = _whole(reply)
    choice = _choice(document)
    _ended(choice)
    _counted(document)
    if not isinstance(choice.get("text"), str):
        raise WrongError("the answer has no text")
    return document


def stop(reply: Reply, expect: Any) -> None:
    """Check that a text ended at one of the strings that it was to stop at, and has none of them."""
    choice = _choice(completion(reply, None))
    if choice["finish_reason"] != "stop":
        raise WrongError(f"finish_reason is {choice['finish_reason']}, not stop")
    if any(one in choice["text"] for one in expect):
        raise WrongError("the text goes on after a stop string")


def long_prompt(reply: Reply, expect: Any) -> None:
    """Check that all tokens of a long prompt were read."""
    read = parts.number(parts.get(completion(reply, None), "usage", "prompt_tokens"))
    if read != expect:
        raise WrongError(f"{read} tokens of the prompt were read, not {expect}")


def logprobs(reply: Reply, _expect: Any) -> None:
    """Check that each token has a logarithm of its probability, which no NaN among the logits leaves finite."""
    _answer(reply)
    tokens = parts.dicts(_choice(_whole(reply)).get("logprobs"), "content")
    if not tokens:
        raise WrongError("the answer has no logprobs")
    if not all(isinstance(one.get("token"), str) and parts.finite(one.get("logprob")) for one in tokens):
        raise WrongError("a token has no finite logprob")


def json_schema(reply: Reply, expect: Any) -> None:
    """Check that an answer is a JSON object with the required keys."""
    said = str(_answer(reply).get("content") or "")
    document = parts.parsed(said)
    if not isinstance(document, dict):
        raise WrongError(f"the content is no JSON object: {said}")
    missing = [key for key in expect if key not in document]
    if missing:
        raise WrongError(f"the content has no {', '.join(missing)}")


def _called(name: Any, arguments: Any, expect: str) -> None:
    if name != expect:
        raise WrongError(f"the tool {expect} was to be called, not {name}" if name else "no tool was called")
    if not isinstance(arguments, str) or not isinstance(parts.parsed(arguments), dict):
        raise WrongError(f"the arguments of the tool call are no JSON object: {arguments}")


def tool_call(reply: Reply, expect: Any) -> None:
    """Check that an answer calls the tool with arguments that are JSON."""
    function = next((one.get("function") for one in parts.dicts(_answer(reply), "tool_calls")), None)
    _called(parts.get(function, "name"), parts.get(function, "arguments"), expect)


def tool_call_streamed(reply: Reply, expect: Any) -> None:
    """Check that the pieces of a tool call add up to one with arguments that are JSON."""
    names, arguments = [], []
    for delta in _deltas(_chunks(reply)):
        for one in parts.dicts(delta, "tool_calls"):
            # Further calls have other numbers.
            if one.get("index") == 0:
                names.append(parts.get(one, "function", "name"))
                arguments.append(parts.get(one, "function", "arguments"))
    name = "".join(one for one in names if isinstance(one, str))
    _called(name, "".join(one for one in arguments if isinstance(one, str)), expect)


def reasoning(reply: Reply, _expect: Any) -> None:
    """Check that content and reasoning are apart: both are texts or null, and the content has no mark of a thought."""
    message = _answer(reply)
    for key in ("content", "reasoning_content", "reasoning"):
        if message.get(key) is not None and not isinstance(message[key], str):
            raise WrongError(f"{key} is no text")
    if not parts.words(message):
        raise WrongError("the answer is empty")
    if re.search(r"</?think(?:ing)?>", message.get("content") or ""):
        raise WrongError("the content has a mark of reasoning, which is not split from it")


def message_whole(reply: Reply, _expect: Any) -> None:
    """Check a message of Anthropic's API."""
    document = _whole(reply)
    blocks = parts.dicts(document, "content")
    if document.get("type") != "message" or not blocks or not all(isinstance(one.get("type"), str) for one in blocks):
        raise WrongError("the answer is no message with content")
    if not document.get("stop_reason"):
        raise WrongError("the message has no stop_reason")
    if parts.number(parts.get(document, "usage", "output_tokens")) is None:
        raise WrongError("the message has no usage")


def message_streamed(reply: Reply, _expect: Any) -> None:
    """Check a streamed message of Anthropic's API."""
    documents = [one for one in _events(reply, "type") if DONE not in one]
    kinds = [str(one["type"]) for one in documents]
    if not kinds or kinds[0] != "message_start" or kinds[-1] != "message_stop":
        raise WrongError("the stream does not go from message_start to message_stop")
    if "content_block_delta" not in kinds or kinds.count("content_block_start") != kinds.count("content_block_stop"):
        raise WrongError("the stream has no content, or a block of it has no end")
    if not any(parts.get(one, "delta", "stop_reason") for one in documents if one["type"] == "message_delta"):
        raise WrongError("the stream has no stop_reason")


def embedding(reply: Reply, _expect: Any) -> None:
    """Check that an embedding is a list of finite numbers, not all of them 0."""
    vector = next((one.get("embedding") for one in parts.dicts(_whole(reply), "data")), None)
    if not isinstance(vector, list) or not vector or not all(map(parts.finite, vector)) or not any(vector):
        raise WrongError("the answer has no embedding of finite numbers")


def prompt(reply: Reply, expect: Any) -> None:
    """Check that an answer is what is known to be right; of a model that thinks too long, what it thinks."""
    message = _answer(reply)
    said = str(message.get("content") or "") or parts.words(message)
    if not re.search(str(expect), said):
        raise WrongError(f"the answer does not match {expect}: {said}")


JUDGES: dict[str, Callable[[Reply, Any], Any]] = {
    "anthropic": message_whole,
    "anthropic streamed": message_streamed,
    "chat": chat,
    "chat streamed": chat_streamed,
    "completion": completion,
    "embedding": embedding,
    "json schema": json_schema,
    "logprobs": logprobs,
    "long prompt": long_prompt,
    "one token": one_token,
    "prompt": prompt,
    "reasoning": reasoning,
    "stop": stop,
    "tool call": tool_call,
    "tool call streamed": tool_call_streamed,
}
