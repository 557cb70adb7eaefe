# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of the chat page that fail in as many places as there are, each with a word of its own."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from page_client import ask, form

CHAT = "/api/chat/completions"
OFFICE = "application/vnd.openxmlformats-officedocument"


def archive(word: str) -> bytes:
    """A document of an office program that is none."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("[Content_Types].xml", f"<{word}")
        file.writestr("word/document.xml", word)
        file.writestr("xl/workbook.xml", word)
    return data.getvalue()


def files(word: str) -> list[tuple[str, str, bytes]]:
    """Names, types and contents of files that cannot be read."""
    text = word.encode()
    return [
        (f"{word}.pdf", "application/pdf", b"%PDF-1.4\n" + text),
        (f"{word}.docx", f"{OFFICE}.wordprocessingml.document", archive(word)),
        (f"{word}.xlsx", f"{OFFICE}.spreadsheetml.sheet", archive(word)),
        (f"{word}.pptx", f"{OFFICE}.presentationml.presentation", text),
        (f"{word}.csv", "text/csv", b'"\xff\xfe\x00' + text),
        (f"{word}.xml", "text/xml", b"<" + text),
        (f"{word}.epub", "application/epub+zip", text),
        (f"{word}.msg", "application/vnd.ms-outlook", text),
        (f"{word}.json", "application/json", b"{" + text),
        (f"{word}.txt", "text/plain", b""),
        (f"{word}.png", "image/png", text),
        (f"{word}.exe", "application/octet-stream", text),
    ]


def bodies(word: str) -> list[tuple[str, Any]]:
    """Paths and bodies of requests that fail, of the page itself or of what it asks."""
    said = {"messages": [{"role": "user", "content": word}]}
    found: list[tuple[str, Any]] = []
    for model in ("echo", "garbled", "cut", "limited", "gone", word):
        found += [(CHAT, {**said, "model": model, "stream": stream}) for stream in (True, False)]
        found += [(f"/openai{path}", {**said, "model": model}) for path in ("/chat/completions", "/responses")]
        found += [
            (f"/api/v1/tasks/{name}/completions", {**said, "model": model, "prompt": word, "type": "web_search"})
            for name in ("title", "follow_up", "tags", "queries", "emoji", "auto", "moa", "image_prompt")
        ]
        found += [("/api/v1/messages", {**said, "model": model, "max_tokens": 5})]
        found += [("/api/embeddings", {"model": model, "input": word})]
    strange = [{"role": word, "content": {word: word}}, word, {"content": [{"type": "image_url", "image_url": word}]}]
    for message in strange:
        found.append((CHAT, {"model": "chat", "stream": True, "messages": [message]}))
    found += [
        (CHAT, {"model": "chat", "messages": word}),
        (CHAT, {**said, "model": "chat", "files": [{"type": "file", "id": word, "name": word}]}),
        (CHAT, {**said, "model": "chat", "files": [{"type": "collection", "id": word}], "tool_ids": [word]}),
        (CHAT, {**said, "model": "chat", "chat_id": word, "id": word, "session_id": word}),
        (CHAT, f'{{"model": "chat", "messages": "{word}'.encode()),
        ("/api/v1/chats/new", {"chat": word}),
        ("/api/v1/chats/import", {"chats": [{"chat": {"history": word}}]}),
        ("/api/v1/notes/create", {"title": [word]}),
        ("/api/v1/memories/add", {"content": word}),
        ("/api/v1/memories/query", {"content": word}),
        ("/api/v1/retrieval/process/text", {"name": word, "content": word, "collection_name": word}),
        ("/api/v1/retrieval/query/collection", {"collection_names": [word], "query": word}),
        ("/api/v1/retrieval/process/web", {"url": f"https://{word}.example/", "collection_name": word}),
        ("/api/v1/retrieval/process/web/search", {"queries": [word]}),
        ("/api/v1/audio/speech", {"input": word, "model": word, "voice": word}),
        ("/api/v1/images/generations", {"prompt": word}),
        ("/api/v1/utils/markdown", {"md": [word]}),
        ("/api/v1/auths/signin", {"email": f"{word}@mail.example", "password": word}),
    ]
    return found


def mistaken(word: str, token: str) -> list[int]:
    """Statuses of all of them."""
    statuses = [ask(path, token, body)[0] for path, body in bodies(word)]
    statuses += [ask("/api/v1/files/", token, *form(*file))[0] for file in files(word)]
    statuses.append(ask("/api/v1/audio/transcriptions", token, *form(f"{word}.wav", "audio/wav", word.encode()))[0])
    for path in ("/chats/search?text=", "/notes/search?query=", "/search?query=", "/files/search?filename=", "/files/"):
        statuses.append(ask(f"/api/v1{path}{word}", token)[0])
    return statuses
