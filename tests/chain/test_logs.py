# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No log of a service has a word of a prompt, whatever becomes of its request."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOGS = Path("/var/log/llmfleet")
# Services write within this time.
SETTLED_SECONDS = 3
CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
MESSAGES, RESPONSES = "/messages", "/responses"
# More words than the context of any model of the demo has room for.
LONG = 4000
JSON = "application/json"


def said(text: str, **fields: Any) -> dict[str, Any]:
    """A body with a prompt."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 5, **fields}


def tool(word: str, parameters: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "description": word, "parameters": parameters}}


def schema(word: str, given: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "description": word, "schema": given}}


def failing(word: str) -> Iterator[tuple[str, object]]:
    """Requests that fail at each service in turn, or that the gate refuses; each has a word of its own."""
    numbers = iter(range(1000))

    def secret() -> str:
        return f"{word}x{next(numbers)}x"

    one = secret()
    yield CHAT, said(one, tools=[tool(one, {"type": one, "properties": {one: {"type": one}}})])
    one = secret()
    yield (
        CHAT,
        said(one, tools=[tool(one, {"type": "object"})], tool_choice={"type": "function", "function": {"name": one}}),
    )
    for wrong in ({"type": "string", "pattern": f"({secret()}"}, {"$ref": f"#/{secret()}"}, {"type": secret()}):
        yield CHAT, said(secret(), response_format=schema(secret(), wrong))
    for wrong in ({"regex": f"({secret()}["}, {"grammar": f"root ::= {secret()}("}, {"json": f"{{{secret()}"}):
        yield CHAT, said(secret(), structured_outputs=wrong)
    ends_with_answer = [{"role": "user", "content": secret()}, {"role": "assistant", "content": secret()}]
    yield CHAT, {"messages": ends_with_answer, "continue_final_message": True, "add_generation_prompt": True}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    yield (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": secret()}, image]}], "max_tokens": 5},
    )
    yield CHAT, {"messages": [{"role": secret(), "content": secret()}], "max_tokens": 5}
    yield CHAT, said(secret(), chat_template_kwargs={"tools": secret(), "messages": [secret()]})
    called = {"id": "1", "type": "function", "function": {"name": "look", "arguments": f"{{{secret()}"}}
    yield CHAT, {"messages": [{"role": "assistant", "tool_calls": [called]}, {"role": "user", "content": secret()}]}
    yield CHAT, said(f"{secret()} " * LONG)
    yield CHAT, said(f"{secret()} " * LONG, stream=True)
    yield CHAT, said(secret(), logprobs=True, top_logprobs=100_000)
    yield CHAT, said(secret(), stop=[secret()], temperature=1e9)
    yield CHAT, said(secret(), logit_bias={"99999999": 1})
    yield CHAT, {"messages": secret()}
    yield CHAT, f'{{"messages": "{secret()}'.encode()
    yield CHAT, b'{"messages": "\xff' + secret().encode()
    yield COMPLETIONS, {"prompt": f"{secret()} " * LONG, "max_tokens": 5}
    yield COMPLETIONS, {"prompt": [99_999_999], "suffix": secret()}
    yield EMBEDDINGS, {"input": secret()}
    yield MESSAGES, said(f"{secret()} " * LONG)
    yield MESSAGES, said(f"{secret()} " * LONG, stream=True)
    yield (
        MESSAGES,
        said(secret(), tools=[{"name": "look", "description": secret(), "input_schema": {"type": secret()}}]),
    )
    yield MESSAGES, said(secret(), system=f"{secret()} " * LONG)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    yield (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": secret()}, picture]}], "max_tokens": 5},
    )
    yield f"{MESSAGES}/count_tokens", said(secret(), tools=[{"name": "look", "input_schema": {"type": secret()}}])
    yield RESPONSES, {"input": f"{secret()} " * LONG}
    yield RESPONSES, {"input": f"{secret()} " * LONG, "stream": True}
    wrong = {"format": {"type": "json_schema", "name": "answer", "schema": {"type": secret()}}}
    yield RESPONSES, {"input": secret(), "text": wrong}
    yield RESPONSES, {"input": [{"role": secret(), "content": secret()}]}
    yield (
        RESPONSES,
        {"input": secret(), "tools": [{"type": "function", "name": "look", "parameters": {"type": secret()}}]},
    )
    yield "/audio/speech", {"input": secret(), "voice": "alloy"}
    yield "/audio/transcriptions", secret()
    yield "/score", {"text_1": secret(), "text_2": secret()}
    yield "/rerank", {"query": secret(), "documents": [secret()]}


def form(word: str, model: str) -> tuple[bytes, str]:
    """A file to transcribe that is none."""
    lines = [
        "--end",
        'Content-Disposition: form-data; name="model"',
        "",
        model,
        "--end",
        f'Content-Disposition: form-data; name="file"; filename="{word}.wav"',
        "Content-Type: audio/wav",
        "",
        word,
        "--end--",
        "",
    ]
    return "\r\n".join(lines).encode(), "multipart/form-data; boundary=end"


def send(url: str, key: str, data: bytes, kind: str = JSON) -> int:
    """The status of the answer."""
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}", "Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def leave_stream(url: str, key: str, body: dict[str, Any]) -> None:
    """Read the beginning of a stream and no more."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": JSON}
    request = urllib.request.Request(url, json.dumps({**body, "stream": True}).encode(), headers)
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=60) as answer:
        answer.read(1)


def ends() -> dict[Path, tuple[int, int]]:
    """Where each log ends."""
    return {path: (path.stat().st_ino, path.stat().st_size) for path in LOGS.rglob("*") if path.is_file()}


def lines_with(word: str, before: dict[Path, tuple[int, int]]) -> list[str]:
    """Lines that have a word, of what was written since."""
    found = []
    for path in ends():
        inode, size = before.get(path, (0, 0))
        with path.open("rb") as file:
            file.seek(size if inode == path.stat().st_ino else 0)
            found += [f"{path.name}: {line!r}" for line in file if word.encode() in line]
    return found


@pytest.mark.supervisor
@pytest.mark.engine
def test_no_log_has_a_word_of_a_prompt(base_url: str, api_key: str, model: str, chatty_prompt: str) -> None:
    assert LOGS.is_dir(), f"{LOGS} has the logs of the demo"
    word = f"canary{secrets.token_hex(6)}"
    before = ends()
    statuses = []
    for path, body in failing(word):
        kind = JSON
        if isinstance(body, str):
            data, kind = form(body, model)
        else:
            data = body if isinstance(body, bytes) else json.dumps({"model": model, **body}).encode()
        statuses.append(send(base_url + path, api_key, data, kind))
    for path in (CHAT, MESSAGES, RESPONSES):
        text = f"{chatty_prompt} {word}left"
        leave_stream(
            base_url + path,
            api_key,
            {"model": model, **({"input": text} if path == RESPONSES else said(text, max_tokens=200))},
        )
    # A request that is answered tries nothing.
    assert sum(status >= 400 for status in statuses) > len(statuses) / 2, statuses
    time.sleep(SETTLED_SECONDS)
    assert not lines_with(word, before)
