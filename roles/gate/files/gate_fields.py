# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a request that a client may write, endpoint by endpoint, and the kind of each value.

They are OpenAI's and Anthropic's, and those of vLLM that sample or render. What no engine reads, and clients send all
the same, is listed too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of value, and how a client is told about it."""

    title: str
    fits: Callable[[object], bool]


def number(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def whole(value: object) -> bool:
    return number(value) and value == int(value)  # type: ignore[call-overload]


def texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def tokens(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value
    )


def prompt(value: object) -> bool:
    if isinstance(value, str) or texts(value) or tokens(value):
        return True
    return isinstance(value, list) and all(item and tokens(item) for item in value)


ANY = Kind("any value", lambda _value: True)
TEXT = Kind("a string", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", number)
WHOLE = Kind("a whole number", whole)
LIST = Kind("a list", lambda value: isinstance(value, list))
TEXTS = Kind("a list of strings", texts)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
OBJECTS = Kind("a list of objects", objects)
TOKENS = Kind("a list of tokens", tokens)
PROMPT = Kind("a string, a list of strings, of tokens or of lists of tokens", prompt)
TEXT_OR_TEXTS = Kind("a string or a list of strings", lambda value: isinstance(value, str) or texts(value))
TEXT_OR_LIST = Kind("a string or a list", lambda value: isinstance(value, (str, list)))
TEXT_OR_OBJECT = Kind("a string or an object", lambda value: isinstance(value, (str, dict)))

SAMPLING: dict[str, Kind] = {
    "model": TEXT,
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "n": WHOLE,
    "max_tokens": WHOLE,
    "stop": TEXT_OR_TEXTS,
    "seed": WHOLE,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "logit_bias": OBJECT,
    "response_format": OBJECT,
    # vLLM's own.
    "top_k": WHOLE,
    "min_p": NUMBER,
    "repetition_penalty": NUMBER,
    "length_penalty": NUMBER,
    "min_tokens": WHOLE,
    "ignore_eos": FLAG,
    "stop_token_ids": LIST,
    "bad_words": TEXTS,
    "allowed_token_ids": LIST,
    "include_stop_str_in_output": FLAG,
    "skip_special_tokens": FLAG,
    "spaces_between_special_tokens": FLAG,
    "truncate_prompt_tokens": WHOLE,
    "add_special_tokens": FLAG,
    "prompt_logprobs": WHOLE,
    "return_token_ids": FLAG,
    "return_tokens_as_token_ids": FLAG,
    "structured_outputs": OBJECT,
    "cache_salt": TEXT,
    "echo": FLAG,
}
CHAT: dict[str, Kind] = {
    **SAMPLING,
    "messages": OBJECTS,
    "max_completion_tokens": WHOLE,
    "logprobs": FLAG,
    "top_logprobs": WHOLE,
    "tools": OBJECTS,
    "tool_choice": TEXT_OR_OBJECT,
    "parallel_tool_calls": FLAG,
    "functions": OBJECTS,
    "function_call": TEXT_OR_OBJECT,
    "reasoning_effort": TEXT,
    "thinking": OBJECT,
    "verbosity": TEXT,
    "add_generation_prompt": FLAG,
    "continue_final_message": FLAG,
    "include_reasoning": FLAG,
    "chat_template_kwargs": OBJECT,
    "documents": OBJECTS,
}
COMPLETIONS: dict[str, Kind] = {
    **SAMPLING,
    "prompt": PROMPT,
    "best_of": WHOLE,
    "logprobs": WHOLE,
    "suffix": TEXT,
}
EMBEDDINGS: dict[str, Kind] = {
    "model": TEXT,
    "input": TEXT_OR_LIST,
    "encoding_format": TEXT,
    "dimensions": WHOLE,
    "truncate_prompt_tokens": WHOLE,
    "add_special_tokens": FLAG,
}
COUNT_TOKENS: dict[str, Kind] = {
    "model": TEXT,
    "messages": OBJECTS,
    "system": TEXT_OR_LIST,
    "tools": OBJECTS,
    "tool_choice": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
    "output_format": OBJECT,
}
MESSAGES: dict[str, Kind] = {
    **COUNT_TOKENS,
    "max_tokens": WHOLE,
    "stop_sequences": TEXTS,
    "stream": FLAG,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": WHOLE,
    "reasoning_effort": TEXT,
}
RESPONSES: dict[str, Kind] = {
    "model": TEXT,
    "input": TEXT_OR_LIST,
    "instructions": TEXT,
    "max_output_tokens": WHOLE,
    "max_tool_calls": WHOLE,
    "parallel_tool_calls": FLAG,
    "reasoning": OBJECT,
    "include": TEXTS,
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_logprobs": WHOLE,
    "text": OBJECT,
    "tools": OBJECTS,
    "tool_choice": TEXT_OR_OBJECT,
    "truncation": TEXT,
}
RERANK: dict[str, Kind] = {
    "model": TEXT,
    "query": TEXT,
    "documents": LIST,
    "top_n": WHOLE,
    "return_documents": FLAG,
    "rank_fields": TEXTS,
    "max_chunks_per_doc": WHOLE,
    "max_tokens_per_doc": WHOLE,
    "truncate_prompt_tokens": WHOLE,
}
# vLLM's own: texts are compared in pairs, which clients name in four ways.
PAIRS = (("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2"))
SCORE: dict[str, Kind] = {
    "model": TEXT,
    **dict.fromkeys((name for pair in PAIRS for name in pair), TEXT_OR_TEXTS),
    "instruction": TEXT,
    "truncate_prompt_tokens": WHOLE,
    "truncation_side": TEXT,
    "max_tokens_per_query": WHOLE,
    "max_tokens_per_doc": WHOLE,
    "use_activation": FLAG,
}
TOKENIZE: dict[str, Kind] = {
    "model": TEXT,
    "prompt": TEXT,
    "messages": OBJECTS,
    "tools": OBJECTS,
    "add_special_tokens": FLAG,
    "add_generation_prompt": FLAG,
    "continue_final_message": FLAG,
    "return_token_strs": FLAG,
    "chat_template_kwargs": OBJECT,
}
DETOKENIZE: dict[str, Kind] = {"model": TEXT, "tokens": TOKENS}
SPEECH: dict[str, Kind] = {
    "model": TEXT,
    "input": TEXT,
    "voice": TEXT,
    "instructions": TEXT,
    "response_format": TEXT,
    "speed": NUMBER,
    "stream_format": TEXT,
}
TRANSLATIONS: dict[str, Kind] = dict.fromkeys(("model", "prompt", "response_format", "temperature"), TEXT)
TRANSCRIPTIONS: dict[str, Kind] = {
    **TRANSLATIONS,
    **dict.fromkeys(("language", "stream", "include[]", "timestamp_granularities[]", "timestamp_granularities"), TEXT),
}

# Clients send these by themselves. No engine reads them, and LiteLLM takes some for instructions, so they end here.
UNUSED = frozenset(
    (
        "metadata",
        "user",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    )
)
# What the chat page offers for other servers than these.
UNUSED_CHAT = UNUSED | frozenset(
    [
        "repeat_penalty",
        "repeat_last_n",
        "num_ctx",
        "num_batch",
        "num_keep",
        "num_predict",
        "num_thread",
        "num_gpu",
        "use_mmap",
        "use_mlock",
        "keep_alive",
        "think",
        "format",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "tfs_z",
    ]
)
UNUSED_MESSAGES = UNUSED | {"context_management", "cache_control", "speed", "inference_geo"}
UNUSED_RESPONSES = UNUSED | {"client_metadata"}
