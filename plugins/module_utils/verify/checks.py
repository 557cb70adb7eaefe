# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that every engine answers: those of OpenAI's API that docs/contributing/add-an-engine.md asks for.

Pure functions; no Ansible, no files, no network. A check is ``{name, path, body, judge, expect}``: ``judge`` is a key
of ``answers.JUDGES``, ``expect`` is what this function compares the answer with.
"""

from __future__ import annotations

from typing import Any, Mapping

CHAT, STREAMED, EMBEDDING, ONE_TOKEN = "chat", "chat streamed", "embedding", "one token"
PROMPT = "prompt "
"""Beginning of the names of semantic probes."""
MEASURED = "chats again"
"""Name of the check that all measured chats were answered."""
# Tokens of an answer: enough for a time between tokens.
TOKENS = 32
# Tokens of the answer to a semantic probe, so that a model that thinks can come to an end.
TOKENS_OF_PROMPT = 512


def chat(model: str, content: str, most: int, **more: Any) -> dict[str, Any]:
    """Return the body of a chat with one message.

    :param most: tokens of the answer at most.
    """
    message = {"role": "user", "content": content}
    return {"model": model, "messages": [message], "max_tokens": most, "temperature": 0, **more}


def checks(limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks that every engine must pass.

    :param limits: ``model``, its ``mode``, ``max_model_len``, and ``prompts``: semantic probes, ``{prompt, expect}``.
    """
    model = str(limits["model"])
    if limits.get("mode") == EMBEDDING:
        body: dict[str, Any] = {"model": model, "input": "The capital of France is Paris."}
        return [{"name": EMBEDDING, "path": "/v1/embeddings", "body": body, "judge": EMBEDDING}]
    said = "What is the capital of France?"
    streamed = chat(model, said, TOKENS, stream=True, stream_options={"include_usage": True})
    most = max(1, min(TOKENS_OF_PROMPT, int(limits["max_model_len"]) // 2))
    found: list[dict[str, Any]] = [
        {"name": CHAT, "body": chat(model, said, TOKENS), "judge": CHAT},
        {"name": STREAMED, "body": streamed, "judge": STREAMED},
    ]
    for number, one in enumerate(limits.get("prompts") or [], 1):
        body = chat(model, str(one["prompt"]), most)
        found.append({"name": f"{PROMPT}{number}", "body": body, "judge": "prompt", "expect": str(one["expect"])})
    return [{**one, "path": "/v1/chat/completions"} for one in found]


def one_token(check: Mapping[str, Any]) -> dict[str, Any]:
    """Return the check of a streamed chat with an answer of one token."""
    return {**check, "name": ONE_TOKEN, "judge": ONE_TOKEN, "body": {**check["body"], "max_tokens": 1}}
