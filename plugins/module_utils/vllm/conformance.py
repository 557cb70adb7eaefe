# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that show what an instance of vLLM can do beyond what every engine can.

Pure functions; no Ansible, no files, no network. A check is ``{name, path, body, judge, expect}`` (see
`engines/base.py`). Bodies as of vLLM 0.32: vllm/entrypoints/openai and vllm/entrypoints/anthropic.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import extremes

CHAT, COMPLETION, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
# Tokens of the context that the longest prompt leaves free, and tokens of the longest prompt.
FREE_TOKENS, MOST_TOKENS = 16, 32768
# Tokens of a short answer; of one that has to end with all its brackets.
SHORT, WHOLE = 16, 256
TOOL = "get_weather"
# A list of values keeps an answer that follows the schema short, whatever the model is.
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
# At most four are allowed, and 64 tokens without any of them are in no language that is written with Latin letters.
STOPS = [" ", "e", "a", "\n"]


def checks(limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks in their order, the longest last; see `engines/base.py`."""
    if limits.get("mode", "chat") != "chat":
        return []
    model = str(limits["model"])
    long = min(int(limits["max_model_len"]) - FREE_TOKENS, MOST_TOKENS)
    text = {"model": model, "prompt": "The capital of France is", "temperature": 0, "ignore_eos": True}
    schema = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    function = {"name": TOOL, "description": "Get the weather of a city.", "parameters": SCHEMA}
    choice = {"type": "function", "function": {"name": TOOL}}
    tools = _chat(model, "What is the weather in Paris?", WHOLE)
    tools.update(tools=[{"type": "function", "function": function}], tool_choice=choice)
    message = {"model": model, "max_tokens": SHORT, "messages": [{"role": "user", "content": "Hello"}]}
    found = [
        _check("completion", COMPLETION, {**text, "max_tokens": SHORT}),
        _check("stop", COMPLETION, {**text, "max_tokens": 64, "stop": STOPS}, expect=STOPS),
        _check("logprobs", CHAT, _chat(model, "Hello", SHORT, logprobs=True, top_logprobs=1)),
        _check(
            "json schema",
            CHAT,
            _chat(model, "Name a city, as JSON.", WHOLE, response_format=schema),
            expect=SCHEMA["required"],
        ),
        _check("tool call", CHAT, tools, expect=TOOL),
        _check("tool call streamed", CHAT, {**tools, "stream": True}, expect=TOOL),
        _check("reasoning", CHAT, _chat(model, "Is 91 a prime number?", WHOLE)),
        _check("anthropic", MESSAGES, message),
        _check("anthropic streamed", MESSAGES, {**message, "stream": True}),
    ]
    if long > 0:
        body = {**text, "prompt": extremes.tokens(long, 9000), "max_tokens": min(SHORT, FREE_TOKENS)}
        found.append(_check("long prompt", COMPLETION, body, expect=long))
    return found


def _check(name: str, path: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "body": body, "judge": name, **more}


def _chat(model: str, content: str, most: int, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    return {"model": model, "messages": [message], "max_tokens": most, "temperature": 0, **more}
