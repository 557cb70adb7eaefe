# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries to read, change and delete what belongs to another user or to the administrator, by its id."""

from __future__ import annotations

import json
from typing import Any

from page_client import ask, form
from page_sockets import forged

SECRET = "privatewords"
GET, DELETE = "GET", "DELETE"


def owned(admin: str, victim: str, ids: dict[str, str]) -> dict[str, str]:
    """Make one of each that there can be, and return their ids."""
    text = {"name": SECRET, "description": SECRET}
    people = {"user_ids": [ids["Bob"]], "is_private": True, "access_grants": []}
    wanted: dict[str, tuple[str, str, Any]] = {
        "note": (victim, "notes/create", {"title": SECRET, "data": {"content": {"md": SECRET}}}),
        "folder": (victim, "folders/", {"name": SECRET}),
        "chat": (victim, "chats/new", {"chat": {"title": SECRET, "messages": [{"role": "user", "content": SECRET}]}}),
        "memory": (victim, "memories/add", {"content": SECRET}),
        "calendar": (victim, "calendars/create", {"name": SECRET}),
        "feedback": (victim, "evaluations/feedback", {"type": "rating", "data": {"rating": 1, "comment": SECRET}}),
        "knowledge": (admin, "knowledge/create", {**text, "access_grants": []}),
        "prompt": (admin, "prompts/create", {"command": SECRET, "name": SECRET, "content": SECRET}),
        "skill": (admin, "skills/create", {**text, "id": SECRET, "content": SECRET}),
        "channel": (admin, "channels/create", {**text, **people}),
        "group": (admin, "groups/create", text),
        "model": (admin, "models/create", {**text, "id": SECRET, "base_model_id": "chat", "meta": {}, "params": {}}),
    }
    made = {name: ask(f"/api/v1/{path}", token, body) for name, (token, path, body) in wanted.items()}
    made["file"] = ask("/api/v1/files/", victim, *form(f"{SECRET}.txt", "text/plain", SECRET.encode()))
    return {
        name: str(json.loads(answer).get("id", "")) if status == 200 and answer.startswith("{") else ""
        for name, (status, answer) in made.items()
    }


def tries(own: dict[str, str], user: str, victim: str) -> dict[str, tuple[Any, ...]]:
    """Paths, bodies and methods. A thing that could not be made is tried by a name that there is not."""
    there = {name: given or "absent" for name, given in own.items()}
    grants = {"access_grants": [{"principal_type": "user", "principal_id": user, "permission": "write"}]}
    said = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "stream": False}
    found: dict[str, tuple[Any, ...]] = {}

    def add(kind: str, base: str, *entries: tuple[Any, ...]) -> None:
        for method, path, *body in entries:
            found[f"{kind}: {method} {path or '/'}"] = (f"{base}{path}", body[0] if body else None, method)

    note, folder, prompt = (f"/api/v1/{kind}/{there[kind[:-1]]}" for kind in ("notes", "folders", "prompts"))
    prompt = f"/api/v1/prompts/id/{there['prompt']}"
    add("note", note, (GET, ""), (GET, "/chat"), (GET, "/chats"), ("POST", "/update", {"title": "mine"}))
    add("note", note, ("POST", "/access/update", grants), ("POST", "/pin"), (DELETE, "/delete"))
    add("folder", folder, (GET, ""), ("POST", "/update", {"name": "mine"}), (GET, "/shared/chats"), (DELETE, ""))
    add("folder", folder, ("POST", "/access/update", grants), ("POST", "/update/expanded", {"is_expanded": True}))
    given = {"command": "mine", "name": "mine", "content": "mine"}
    add("prompt", prompt, (GET, ""), ("POST", "/update", given), ("POST", "/access/update", grants), (GET, "/history"))
    add("prompt", prompt, ("POST", "/toggle"), (DELETE, "/delete"))
    knowledge, text = f"/api/v1/knowledge/{there['knowledge']}", {"name": "mine", "description": "mine"}
    add("knowledge", knowledge, (GET, ""), (GET, "/files"), (GET, "/export"), ("POST", "/update", text))
    add("knowledge", knowledge, ("POST", "/access/update", grants), ("POST", "/reset"), (DELETE, "/delete"))
    add("knowledge", knowledge, ("POST", "/file/add", {"file_id": there["file"]}))
    skill = f"/api/v1/skills/id/{there['skill']}"
    add("skill", skill, (GET, ""), (GET, "/files"), (GET, "/history"), ("POST", "/toggle"), (DELETE, "/delete"))
    add(
        "skill",
        skill,
        ("POST", "/update", {**text, "id": there["skill"], "content": "mine"}),
        ("POST", "/clone", {"id": "mine", "name": "mine"}),
    )
    add("tool", "/api/v1/tools/id/absent", (GET, ""), (GET, "/valves"), (GET, "/history"), (DELETE, "/delete"))
    channel = f"/api/v1/channels/{there['channel']}"
    add("channel", channel, (GET, ""), (GET, "/messages"), (GET, "/members"), (GET, "/webhooks"), (DELETE, "/delete"))
    add("channel", channel, ("POST", "/messages/post", {"content": "mine"}), ("POST", "/update", text))
    group = f"/api/v1/groups/id/{there['group']}"
    add("group", group, (GET, ""), (GET, "/export"), (GET, "/members"), ("POST", "/update", text), (DELETE, "/delete"))
    add("group", group, ("POST", "/users/add", {"user_ids": [user]}), ("POST", "/users"))
    model, changed = there["model"], {"id": there["model"], "name": "mine", "meta": {}, "params": {}}
    add("model", "/api/v1/models", ("POST", "/model/update", changed), ("POST", "/model/delete", {"id": model}))
    add("model", "/api/v1/models", ("POST", f"/model/toggle?id={model}"), (GET, f"/model/history?id={model}"))
    add("model", "/api/v1/models", (GET, "/export"), ("POST", "/import", {"models": []}), (DELETE, "/delete/all"))
    memory = f"/api/v1/memories/{there['memory']}"
    add("memory", memory, ("POST", "/update", {"content": "mine"}), (DELETE, ""))
    calendar = f"/api/v1/calendars/{there['calendar']}"
    add("calendar", calendar, (GET, ""), ("POST", "/update", {"name": "mine"}), (DELETE, "/delete"))
    feedback = f"/api/v1/evaluations/feedback/{there['feedback']}"
    add("feedback", feedback, (GET, ""), (DELETE, ""))
    add("feedback", "/api/v1/evaluations/feedbacks", (GET, "/all/export"), (GET, "/list"), (DELETE, "/all"))
    file = f"/api/v1/files/{there['file']}"
    add("file", file, (GET, ""), (GET, "/data/content"), (GET, "/content"), (GET, "/content/html"), (DELETE, ""))
    add("file", file, (GET, f"/content/{SECRET}.txt"), (GET, "/process/status"), ("POST", "/rename", {"filename": "a"}))
    add("file", file, ("POST", "/data/content/update", {"content": "mine"}), (GET, "/content?attachment=true"))
    add("retrieval", "/api/v1/retrieval", ("POST", "/process/file", {"file_id": there["file"]}))
    for name in (f"file-{there['file']}", f"user-memory-{victim}", there["knowledge"]):
        add("retrieval", "/api/v1/retrieval", ("POST", "/query/doc", {"collection_name": name, "query": SECRET}))
        found[f"retrieval: one of {name[:11]}"] = found.pop("retrieval: POST /query/doc")
        wanted = {"collection_names": [name], "query": SECRET}
        found[f"retrieval: several of {name[:11]}"] = ("/api/v1/retrieval/query/collection", wanted, "POST")
    chat = f"/api/v1/chats/{there['chat']}"
    add("chat", chat, ("POST", "/pin"), ("POST", "/archive"), (GET, "/tags"), ("POST", "/tags", {"name": "mine"}))
    add("chat", chat, ("POST", "/folder", {"folder_id": None}), ("POST", "/messages/1", {"content": "mine"}))
    add("chat", "/api/v1/chats/share", (GET, f"/{there['chat']}"))
    add("tasks", "/api/tasks", (GET, ""), (GET, f"/chat/{there['chat']}"), ("POST", f"/chat/{there['chat']}/stop"))
    add("completion", "/api/chat", ("POST", "/completions", {**said, "chat_id": there["chat"], "id": "1"}))
    person = f"/api/v1/users/{victim}"
    add("person", person, (GET, ""), (GET, "/oauth/sessions"), (GET, "/groups"))
    return found


# An answer with 200 that has nothing and has changed nothing.
NOTHING = ("null", "false", '{"task_ids":[]}')
# What the user sees of lists and searches, in which nothing of others may be.
LISTS = (
    "notes/",
    f"notes/search?query={SECRET}",
    "folders/",
    "folders/shared",
    "chats/",
    f"chats/search?text={SECRET}",
    "prompts/",
    "prompts/list",
    "knowledge/",
    f"knowledge/search?query={SECRET}",
    f"knowledge/search/files?query={SECRET}",
    "skills/",
    "skills/list",
    "tools/",
    "channels/",
    "groups/",
    "memories/",
    "files/",
    f"files/search?filename=*{SECRET}*",
    "calendars/",
    "evaluations/feedbacks/user",
    f"search?query={SECRET}",
)


def private_tries(admin: str, victim: str, user: str, ids: dict[str, str], bodies: list[str]) -> dict[str, Any]:
    """Status of each by a user, by nobody and with forged sessions, and where the secret came to light."""
    own = owned(admin, victim, ids)
    who = {"user": user, "nobody": "", "forged": forged(ids["Bob"]), "unsigned": forged(ids["Bob"], "none")}
    all_tries = tries(own, ids["Ann"], ids["Bob"])
    statuses: dict[str, dict[str, int]] = {}
    seen: list[str] = []
    for name, token in who.items():
        statuses[name] = {}
        for what, (path, body, method) in all_tries.items():
            status, text = ask(path, token, {} if body is None and method == "POST" else body, method=method)
            statuses[name][what] = 404 if status == 200 and text in NOTHING else status
            if SECRET in text.replace(path, ""):
                seen.append(f"{name}: {what}: {text[:200]}")
        for path in LISTS:
            status, text = ask(f"/api/v1/{path}", token)
            if SECRET in text:
                seen.append(f"{name}: {path}: {text[:200]}")
    # The owner shows that there is something to read.
    readable = {
        what: min(ask(path, token)[0] for token in (victim, admin))
        for what, (path, _body, method) in all_tries.items()
        if method == GET
    }
    before = len(bodies)
    for kind in ("file", "collection"):
        files = [{"type": kind, "id": own["file" if kind == "file" else "knowledge"], "name": "a"}]
        said = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "stream": False}
        ask("/api/chat/completions", user, {**said, "files": files})
        ask("/api/chat/completions", user, {**said, "metadata": {"files": files}})
    kept = {
        kind: ask(f"/api/v1/{path}{own[kind]}", token)[1]
        for kind, path, token in (
            ("note", "notes/", victim),
            ("folder", "folders/", victim),
            ("chat", "chats/", victim),
            ("file", "files/", victim),
            ("calendar", "calendars/", victim),
            ("prompt", "prompts/id/", admin),
            ("knowledge", "knowledge/", admin),
            ("skill", "skills/id/", admin),
        )
    }
    return {
        "made": own,
        "statuses": statuses,
        "readable": readable,
        "seen": seen,
        "sent on": [body for body in bodies[before:] if SECRET in body],
        "asked": len(bodies) - before,
        "kept": {kind: SECRET in text for kind, text in kept.items()},
        "remembered": SECRET in ask("/api/v1/memories/", victim)[1] if own["memory"] else True,
    }
