# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries to use a model that nobody has granted to a user, by every way to a model that the page has."""

from __future__ import annotations

from typing import Any

from page_client import ask, call

TASKS = ("title", "follow_up", "tags", "queries", "emoji", "auto", "moa", "image_prompt")


def ways(model: Any, user: str) -> dict[str, tuple[str, Any]]:
    """Paths and bodies by what they are."""
    said = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": False}
    arena = {"id": "arena", "name": "arena", "owned_by": "arena", "arena": True}
    own = {"id": model, "name": "mine", "owned_by": "openai", "user_id": user}
    return {
        "chat": ("/api/chat/completions", said),
        "chat v1": ("/api/v1/chat/completions", said),
        "chat query": (f"/api/chat/completions?model={model}", {**said, "model": "absent"}),
        "chat with an item": ("/api/chat/completions", {**said, "model_item": own}),
        "chat that calls itself direct": ("/api/chat/completions", {**said, "model_item": {**own, "direct": True}}),
        "chat by a list": ("/api/chat/completions", {**said, "model": [model]}),
        "arena": ("/api/chat/completions", {**said, "model": "arena", "model_item": arena}),
        "arena with ids": (
            "/api/chat/completions",
            {**said, "model": "arena", "model_item": {**arena, "info": {"meta": {"model_ids": [model]}}}},
        ),
        "arena of the page": ("/api/chat/completions", {**said, "model": "arena-model"}),
        "openai": ("/openai/chat/completions", said),
        "openai bypass": ("/openai/chat/completions?bypass_filter=true", said),
        "openai v1": ("/openai/v1/chat/completions", said),
        "openai responses": ("/openai/responses", {"model": model, "input": "Hello"}),
        "openai completions": ("/openai/completions", {"model": model, "prompt": "Hello"}),
        "openai embeddings": ("/openai/embeddings", {"model": model, "input": "Hello"}),
        "messages": ("/api/v1/messages", {**said, "max_tokens": 5}),
        "message": ("/api/message", {**said, "max_tokens": 5}),
        "count tokens": ("/api/v1/messages/count_tokens", {**said, "max_tokens": 5}),
        "embeddings": ("/api/embeddings", {"model": model, "input": "Hello"}),
        "embeddings v1": ("/api/v1/embeddings", {"model": model, "input": "Hello"}),
        "ollama": ("/ollama/api/chat", said),
        "ollama v1": ("/ollama/v1/chat/completions", said),
        "completed": ("/api/chat/completed", {**said, "chat_id": "local", "id": "1", "session_id": "1"}),
        "action": ("/api/chat/actions/x", {**said, "chat_id": "local", "id": "1", "session_id": "1"}),
        **{
            f"task {name}": (f"/api/v1/tasks/{name}/completions", {**said, "prompt": "Hello", "type": "web_search"})
            for name in TASKS
        },
    }


def model_tries(admin: str, token: str, user: str, asked: list[str]) -> dict[str, Any]:
    """Status and text of each, what a user sees of models, and what reached the gateway."""
    # An administrator may use each, so it is there.
    path, body = ways("chat", user)["chat"]
    control = ask(path, admin, body)[0]
    before = len(asked)
    listed = call("/api/models", token)["data"]
    tried = {name: ask(path, token, body) for name, (path, body) in ways("chat", user).items()}
    nobody = {name: ask(path, "", body)[0] for name, (path, body) in ways("chat", user).items()}
    return {
        "control": [control, before],
        "listed": [model["id"] for model in listed],
        "tried": {name: [status, text[:300]] for name, (status, text) in tried.items()},
        "nobody": nobody,
        "asked": asked[before:],
    }
