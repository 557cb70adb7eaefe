# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what lies deeper inside a request: parts of content, calls of tools, choices of a tool.

LiteLLM reads some of these fields without a look at their type, and answers 500 where a client made a mistake. Here the
client is told which field it is. Fields that no table names pass as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import gate_fields as fields


class RequestError(Exception):
    """A request that is not let through; `param` names what is wrong with it."""

    def __init__(self, message: str, param: str | None, code: str = "invalid_value", status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


# Kinds of fields by their names; a field with a star is required.
Shape = Mapping[str, fields.Kind]

ROLES = {
    "chat": frozenset(("system", "developer", "user", "assistant", "tool", "function")),
    "messages": frozenset(("system", "user", "assistant")),
    "responses": frozenset(("system", "developer", "user", "assistant")),
}
# Only a model thinks and refuses.
ASSISTANT_PARTS = frozenset(("thinking", "redacted_thinking", "refusal", "tool_use"))
MEDIA: Shape = {"url*": fields.TEXT}
SOURCE: Shape = {"type*": fields.TEXT, "media_type": fields.TEXT, "data": fields.TEXT}
PARTS: dict[str, dict[str, Shape]] = {
    "chat": {
        "text": {"text*": fields.TEXT},
        "refusal": {"refusal*": fields.TEXT},
        "thinking": {"thinking*": fields.TEXT},
        "image_url": {"image_url*": fields.TEXT_OR_OBJECT},
        "audio_url": {"audio_url*": fields.TEXT_OR_OBJECT},
        "video_url": {"video_url*": fields.TEXT_OR_OBJECT},
        "input_audio": {"input_audio*": fields.OBJECT},
        "file": {"file*": fields.OBJECT},
    },
    "messages": {
        "text": {"text*": fields.TEXT},
        "thinking": {"thinking*": fields.TEXT, "signature": fields.TEXT},
        "redacted_thinking": {"data*": fields.TEXT},
        "image": {"source*": fields.OBJECT},
        "document": {"source*": fields.OBJECT},
        "search_result": {"source*": fields.TEXT, "title*": fields.TEXT, "content*": fields.LIST},
        "tool_use": {"id*": fields.TEXT, "name*": fields.TEXT, "input*": fields.OBJECT},
        "tool_result": {"tool_use_id*": fields.TEXT},
    },
    "responses": {
        **{f"{name}text": {"text*": fields.TEXT} for name in ("", "input_", "output_", "summary_", "reasoning_")},
        "refusal": {"refusal*": fields.TEXT},
        "input_image": {"image_url*": fields.TEXT},
        "input_audio": {"input_audio*": fields.OBJECT},
        "function_call": {"call_id*": fields.TEXT, "name*": fields.TEXT, "arguments*": fields.TEXT},
        "function_call_output": {"call_id*": fields.TEXT},
        "custom_tool_call": {"call_id*": fields.TEXT, "name*": fields.TEXT, "input*": fields.TEXT},
        "custom_tool_call_output": {"call_id*": fields.TEXT},
    },
}
INNER: dict[str, Shape] = {
    "image_url": MEDIA,
    "audio_url": MEDIA,
    "video_url": MEDIA,
    "input_audio": {"data*": fields.TEXT, "format*": fields.TEXT},
    "source": SOURCE,
}
FUNCTION: Shape = {"name*": fields.TEXT, "description": fields.TEXT, "parameters": fields.OBJECT}
CALL: Shape = {"name*": fields.TEXT, "arguments*": fields.TEXT}
MESSAGE: Shape = {
    "role*": fields.TEXT,
    "name": fields.TEXT,
    "tool_call_id": fields.TEXT,
    "function_call": fields.OBJECT,
}
TOOLS: dict[str, Shape] = {
    "chat": {"function": fields.OBJECT, "custom": fields.OBJECT},
    "messages": {"name*": fields.TEXT, "description": fields.TEXT, "input_schema": fields.OBJECT},
    "responses": {"name": fields.TEXT, "description": fields.TEXT, "parameters": fields.OBJECT},
}
CHOICES = {
    "chat": frozenset(("function", "custom", "allowed_tools")),
    "messages": frozenset(("auto", "any", "tool", "none")),
    "responses": frozenset(("function", "custom", "allowed_tools", "web_search", "web_search_preview", "apply_patch")),
}
THINKING = frozenset(("enabled", "disabled", "adaptive"))


def check(value: object, shape: Shape, where: str) -> None:
    """Refuse an object that lacks a field, or has one of another kind."""
    if not isinstance(value, dict):
        raise RequestError(f"{where} must be an object.", where, "invalid_type")
    for title, kind in shape.items():
        name = title.rstrip("*")
        if value.get(name) is None:
            if title.endswith("*"):
                raise RequestError(f"{where}.{name} is missing.", f"{where}.{name}", "missing_required_parameter")
        elif not kind.fits(value[name]):
            raise RequestError(f"{where}.{name} must be {kind.title}.", f"{where}.{name}", "invalid_type")


def one_of(value: object, choices: frozenset[str], where: str) -> None:
    """Refuse a value that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{where} must be one of {', '.join(sorted(choices))}.", where)


def part(value: dict[str, object], where: str, api: str) -> None:
    """Refuse a part of content without the fields that its type has."""
    check(value, PARTS[api].get(str(value["type"]), {}), where)
    for name, shape in INNER.items():
        if isinstance(value.get(name), dict):
            check(value[name], shape, f"{where}.{name}")


def message(value: dict[str, object], where: str, api: str) -> None:
    """Refuse a message of nobody, parts that only a model writes in those of others, and calls without a name."""
    check(value, MESSAGE, where)
    one_of(value["role"], ROLES[api], f"{where}.role")
    content = value.get("content")
    for number, item in enumerate(content if isinstance(content, list) else ()):
        kind = item.get("type") if isinstance(item, dict) else None
        if value["role"] != "assistant" and isinstance(kind, str) and kind in ASSISTANT_PARTS:
            at = f"{where}.content[{number}]"
            raise RequestError(f"{at}.type {kind} belongs to a message of the assistant.", f"{at}.type")
    if value.get("function_call") is not None:
        check(value["function_call"], CALL, f"{where}.function_call")
    calls = value.get("tool_calls")
    if calls is not None and not fields.objects(calls):
        raise RequestError(f"{where}.tool_calls must be a list of objects.", f"{where}.tool_calls", "invalid_type")
    for number, call in enumerate(calls or ()):  # type: ignore[arg-type,var-annotated]
        _call(call, f"{where}.tool_calls[{number}]")


def _call(value: dict[str, object], where: str) -> None:
    check(value, {"id*": fields.TEXT, "type": fields.TEXT, "function": fields.OBJECT, "custom": fields.OBJECT}, where)
    if value.get("type", "function") == "custom":
        check(value.get("custom"), {"name*": fields.TEXT, "input*": fields.TEXT}, f"{where}.custom")
    else:
        check(value.get("function"), CALL, f"{where}.function")


def tool(value: Mapping[str, object], where: str, api: str) -> None:
    """Refuse a tool without a name or with a schema that is none."""
    check(value, TOOLS[api], where)
    kind = value.get("type")
    if api == "chat" and kind == "function":
        check(value.get("function"), FUNCTION, f"{where}.function")
    elif api == "chat":
        check(value.get("custom"), {"name*": fields.TEXT}, f"{where}.custom")
    elif kind == "namespace":
        check(value, {"name*": fields.TEXT, "tools*": fields.OBJECTS}, where)
    elif kind in ("function", "custom") and not value.get("name"):
        raise RequestError(f"{where}.name is missing.", f"{where}.name", "missing_required_parameter")


def choices(body: Mapping[str, object], api: str) -> None:
    """Refuse a choice of a tool, or a wish to think, that has no known type."""
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        one_of(choice, frozenset(("none", "auto", "required")), "tool_choice")
    elif isinstance(choice, dict):
        one_of(choice.get("type"), CHOICES[api], "tool_choice.type")
        check(choice, {"name": fields.TEXT, "function": fields.OBJECT}, "tool_choice")
        if api == "chat" and choice["type"] == "function":
            check(choice.get("function"), {"name*": fields.TEXT}, "tool_choice.function")
        elif choice["type"] in ("tool", "function") and not choice.get("name"):
            raise RequestError("tool_choice.name is missing.", "tool_choice.name", "missing_required_parameter")
    thinking = body.get("thinking")
    if isinstance(thinking, dict):
        one_of(thinking.get("type"), THINKING, "thinking.type")
        check(thinking, {"budget_tokens": fields.WHOLE}, "thinking")
