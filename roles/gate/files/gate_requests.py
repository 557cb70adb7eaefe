# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client may write into a request, endpoint by endpoint.

LiteLLM takes far more from a body than OpenAI's API has: providers, addresses, credentials, headers, retries,
fallbacks, guardrails, caches and mocks. A list of what is forbidden ages with each release of it, so this is a list of
what may pass: a body chooses a model and how to sample, and everything else is refused by name. Knows nothing of
LiteLLM and of HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import gate_caps as caps
import gate_content as content
import gate_fields as fields
from gate_content import RequestError

MODEL = re.compile(r"[^\s,\x00-\x1f\x7f]{1,256}")
# Each document or text is a sequence in the engine; the numbers are those of Cohere's and OpenAI's own services.
MOST_DOCUMENTS, MOST_INPUTS = 1000, 2048
MOST_DEPTH = 64


@dataclass(frozen=True)
class Limits:
    """What one request may ask for at once, and the fields that the operator lets through in addition."""

    choices: int = 8
    prompts: int = 32
    extra_fields: frozenset[str] = frozenset()
    tools: int = 512
    # Bytes of schemas, choices and tools, and entries in them.
    grammar_bytes: int = 256 << 10
    grammar_entries: int = 500


STREAM_OPTIONS = frozenset(("include_usage", "include_obfuscation", "continuous_usage_stats"))
TOOL_TYPES = {
    "chat": frozenset(("function", "custom")),
    "messages": frozenset(("custom",)),
    # Those of coding agents; without a server's part to them, they are declarations alone.
    "responses": frozenset(
        ("function", "custom", "web_search", "web_search_preview", "local_shell", "apply_patch", "namespace")
    ),
}
# A tool that names a server, a file store or a container would have LiteLLM go there.
TOOL_FIELDS = frozenset(
    [
        "type",
        "function",
        "custom",
        "name",
        "description",
        "parameters",
        "input_schema",
        "strict",
        "cache_control",
        "format",
        "defer_loading",
        "eager_input_streaming",
        "input_examples",
        "allowed_callers",
        "filters",
        "user_location",
        "search_context_size",
        "external_web_access",
        "search_content_types",
    ]
)
# A namespace is a group of tools under one name: Codex has one for its subagents.
GROUP_FIELDS = TOOL_FIELDS | {"tools"}
GROUPED = frozenset(("function", "custom"))
PART_TYPES = {
    "chat": frozenset(("text", "refusal", "image_url", "input_audio", "audio_url", "video_url", "file", "thinking")),
    "messages": frozenset(
        ("text", "image", "document", "tool_use", "tool_result", "search_result", "thinking", "redacted_thinking")
    ),
    "responses": frozenset(
        [
            "text",
            "input_text",
            "output_text",
            "input_image",
            "input_file",
            "input_audio",
            "refusal",
            "summary_text",
            "reasoning_text",
        ]
    ),
}
ITEM_TYPES = frozenset(
    [
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "web_search_call",
        "reasoning",
    ]
)
MEDIA = ("image_url", "audio_url", "video_url", "file_url", "url")
NESTED = ("content", "output", "summary")


def _inline(value: object, where: str) -> None:
    """Refuse a picture, a sound or a file that somebody would have to fetch."""
    url = value.get("url") if isinstance(value, dict) else value
    if url is not None and not (isinstance(url, str) and url[:5].lower() == "data:"):
        raise RequestError(f"{where} must hold the content itself, as a data: URL. Nothing is fetched here.", where)


def _deep(value: object, left: int = MOST_DEPTH) -> bool:
    """Whether a value is nested so deeply that a program behind would run out of stack."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return left == 0 or any(isinstance(item, (dict, list)) and _deep(item, left - 1) for item in inner)


def _unknown(value: Mapping[str, object], allowed: Iterable[str], where: str) -> None:
    for name in value:
        if name not in allowed:
            raise RequestError(f"{where}.{name} is not accepted here.", f"{where}.{name}", "unknown_parameter")


def _part(part: object, where: str, api: str, types: frozenset[str]) -> None:
    if not isinstance(part, dict):
        raise RequestError(f"{where} must be an object.", where)
    if not isinstance(part.get("type"), str) or part["type"] not in types:
        raise RequestError(f"{where}.type must be one of {', '.join(sorted(types))}.", f"{where}.type")
    _references(part, where, api)
    content.part(part, where, api)
    for name in NESTED:
        _parts(part.get(name), f"{where}.{name}", api)


def _references(part: dict[str, object], where: str, api: str) -> None:
    """A part brings its content with it: no address, no stored file."""
    for name in MEDIA:
        if name in part:
            _inline(part[name], f"{where}.{name}")
    holders = [("", part), *((f".{name}", part.get(name)) for name in ("file", "source", "input_audio"))]
    for suffix, holder in holders:
        if not isinstance(holder, dict):
            continue
        if holder.get("file_id") is not None:
            raise RequestError(f"{where}{suffix}.file_id: no files are stored here.", f"{where}{suffix}.file_id")
        data = holder.get("file_data")
        if data is not None and (not isinstance(data, str) or "://" in data[:64]):
            raise RequestError(f"{where}{suffix}.file_data must be a data: URL.", f"{where}{suffix}.file_data")
        if suffix:
            _inline({"url": holder.get("url")}, f"{where}{suffix}.url")
    source = part.get("source")
    if isinstance(source, dict):
        _parts(source.get("content"), f"{where}.source.content", api)


def _parts(given: object, where: str, api: str) -> None:
    if isinstance(given, dict):
        given = [given]
    if isinstance(given, list):
        for number, part in enumerate(given):
            _part(part, f"{where}[{number}]", api, PART_TYPES[api])
    elif given is not None and not isinstance(given, str):
        raise RequestError(f"{where} must be a string or a list.", where)


def _messages(body: Mapping[str, object], api: str) -> None:
    messages = body["messages"]
    assert isinstance(messages, list)
    if not messages:
        raise RequestError("messages must not be empty.", "messages")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        _parts(message.get("content"), f"{where}.content", api)
        content.message(message, where, api)
    _parts(body.get("system"), "system", api)


def _tools(body: Mapping[str, object], api: str) -> None:
    for number, tool in enumerate(body.get("tools") or ()):  # type: ignore[arg-type,var-annotated]
        _tool(tool, f"tools[{number}]", api, TOOL_TYPES[api])
    content.choices(body, api)


def _tool(tool: Mapping[str, object], where: str, api: str, types: frozenset[str]) -> None:
    kind = tool.get("type", "custom" if api == "messages" else None)
    if not isinstance(kind, str) or kind not in types:
        raise RequestError(f"{where}.type must be one of {', '.join(sorted(types))}.", f"{where}.type", "invalid_tool")
    _unknown(tool, GROUP_FIELDS if kind == "namespace" else TOOL_FIELDS, where)
    content.tool(tool, where, api)
    if kind == "namespace":
        for number, inner in enumerate(tool["tools"]):  # type: ignore[arg-type,var-annotated]
            _tool(inner, f"{where}.tools[{number}]", api, GROUPED)


def _count(body: Mapping[str, object], limits: Limits, prompts: int = 1) -> None:
    """`n` answers to each of several prompts are as many sequences in the engine, of one request for all limits."""
    most = 1
    for name in ("n", "best_of"):
        value = body.get(name, 1)
        if not 1 <= value <= limits.choices:  # type: ignore[operator]
            raise RequestError(f"{name} must be from 1 to {limits.choices}.", name)
        most = max(most, int(value))  # type: ignore[call-overload]
    if prompts > limits.prompts:
        raise RequestError(f"prompt must hold at most {limits.prompts} texts.", "prompt")
    if prompts * most > max(limits.prompts, limits.choices):
        raise RequestError(f"n times the prompts must be at most {max(limits.prompts, limits.choices)}.", "n")


def _format(body: Mapping[str, object]) -> None:
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and not isinstance(wanted.get("type"), str):
        raise RequestError("response_format.type must be a string.", "response_format.type")
    options = body.get("stream_options")
    if isinstance(options, dict):
        _unknown(options, STREAM_OPTIONS, "stream_options")


def _chat(body: Mapping[str, object], limits: Limits) -> None:
    _count(body, limits)
    _format(body)
    _messages(body, "chat")
    _tools(body, "chat")


def _completions(body: Mapping[str, object], limits: Limits) -> None:
    prompt = body["prompt"]
    if not prompt and isinstance(prompt, list):
        raise RequestError("prompt must not be empty.", "prompt")
    many = isinstance(prompt, list) and not fields.whole(prompt[0])
    _count(body, limits, len(prompt) if many else 1)  # type: ignore[arg-type]
    _format(body)


def _embeddings(body: Mapping[str, object], _limits: Limits) -> None:
    given = body["input"]
    if isinstance(given, str):
        return
    assert isinstance(given, list)
    tokens = bool(given) and all(fields.whole(item) for item in given)
    lists = all(isinstance(item, list) and item and all(fields.whole(token) for token in item) for item in given)
    if not given or not (tokens or lists or fields.texts(given)):
        raise RequestError("input must be a string, or a list of strings or of tokens.", "input")
    if not tokens and len(given) > MOST_INPUTS:
        raise RequestError(f"input must hold at most {MOST_INPUTS} texts.", "input")


def _anthropic(body: Mapping[str, object], _limits: Limits) -> None:
    _messages(body, "messages")
    _tools(body, "messages")


def _responses(body: Mapping[str, object], _limits: Limits) -> None:
    given = body["input"]
    for number, item in enumerate(given if isinstance(given, list) else ()):
        where = f"input[{number}]"
        if isinstance(item, dict) and "role" in item and item.get("type", "message") == "message":
            _parts(item.get("content"), f"{where}.content", "responses")
            content.message(item, where, "responses")
        else:
            _part(item, where, "responses", ITEM_TYPES)
    _format(body)
    _tools(body, "responses")


def _rerank(body: Mapping[str, object], _limits: Limits) -> None:
    documents = body["documents"]
    assert isinstance(documents, list)
    if not 1 <= len(documents) <= MOST_DOCUMENTS:
        raise RequestError(f"documents must hold from 1 to {MOST_DOCUMENTS} texts.", "documents")
    for number, document in enumerate(documents):
        texts = list(document.values()) if isinstance(document, dict) else [document]
        if not fields.texts(texts):
            raise RequestError(
                f"documents[{number}] must be a string, or an object of strings.", f"documents[{number}]"
            )


def _score(body: Mapping[str, object], _limits: Limits) -> None:
    pairs = [pair for pair in fields.PAIRS if all(name in body for name in pair)]
    given = {name for pair in fields.PAIRS for name in pair if name in body}
    if len(pairs) != 1 or given != {*pairs[0]}:
        names = ", or ".join(" and ".join(pair) for pair in fields.PAIRS)
        raise RequestError(f"Send one pair of texts: {names}.", min(given, default="queries"))
    for name in pairs[0]:
        texts = body[name]
        if isinstance(texts, list) and not 1 <= len(texts) <= MOST_DOCUMENTS:
            raise RequestError(f"{name} must hold from 1 to {MOST_DOCUMENTS} texts.", name)


def _tokenize(body: Mapping[str, object], _limits: Limits) -> None:
    if ("prompt" in body) == ("messages" in body):
        raise RequestError("Send either prompt or messages.", "prompt")
    if "messages" in body:
        _messages(body, "chat")
    _tools(body, "chat")


@dataclass(frozen=True)
class Endpoint:
    """What one path takes: a JSON object, or a form with one file."""

    accepted: Mapping[str, fields.Kind]
    required: tuple[str, ...]
    check: Callable[[Mapping[str, object], Limits], None] = lambda _body, _limits: None
    unused: frozenset[str] = fields.UNUSED
    # Anthropic's clients add ?beta=true, which means nothing here.
    query: frozenset[str] = frozenset()
    file: str = ""


ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint(fields.CHAT, ("model", "messages"), _chat, fields.UNUSED_CHAT),
    "/v1/completions": Endpoint(fields.COMPLETIONS, ("model", "prompt"), _completions),
    "/v1/embeddings": Endpoint(fields.EMBEDDINGS, ("model", "input"), _embeddings),
    "/v1/messages": Endpoint(
        fields.MESSAGES, ("model", "messages", "max_tokens"), _anthropic, fields.UNUSED_MESSAGES, frozenset(("beta",))
    ),
    "/v1/messages/count_tokens": Endpoint(
        fields.COUNT_TOKENS, ("model", "messages"), _anthropic, fields.UNUSED_MESSAGES, frozenset(("beta",))
    ),
    "/v1/responses": Endpoint(fields.RESPONSES, ("model", "input"), _responses, fields.UNUSED_RESPONSES),
    "/v1/rerank": Endpoint(fields.RERANK, ("model", "query", "documents"), _rerank),
    "/v1/score": Endpoint(fields.SCORE, ("model",), _score),
    "/tokenize": Endpoint(fields.TOKENIZE, ("model",), _tokenize),
    "/detokenize": Endpoint(fields.DETOKENIZE, ("model", "tokens")),
    "/v1/audio/speech": Endpoint(fields.SPEECH, ("model", "input")),
    "/v1/audio/transcriptions": Endpoint(fields.TRANSCRIPTIONS, ("model",), unused=frozenset(), file="file"),
    "/v1/audio/translations": Endpoint(fields.TRANSLATIONS, ("model",), unused=frozenset(), file="file"),
}


def check_query(endpoint: Endpoint, names: Iterable[str]) -> None:
    """The key's models are checked against the body, and LiteLLM prefers a query's model to it."""
    for name in names:
        if name not in endpoint.query:
            status = 403 if name.lower() == "model" else 400
            raise RequestError(
                f"{name} is not accepted in the query string. Send it in the body.", name, "unknown_parameter", status
            )


def check_body(endpoint: Endpoint, body: object, limits: Limits) -> dict[str, object]:
    """The body to send on, without what no engine reads; `RequestError` where a client asks for more than it may."""
    if not isinstance(body, dict):
        raise RequestError("The body must be a JSON object.", None, "invalid_json")
    kept: dict[str, object] = {}
    for name, value in body.items():
        kind = endpoint.accepted.get(name) or (fields.ANY if name in limits.extra_fields else None)
        if kind is None and name not in endpoint.unused:
            raise RequestError(f"{name[:64]} is not accepted here.", name[:64], "unknown_parameter")
        if kind is None or value is None:
            continue
        if not kind.fits(value):
            raise RequestError(f"{name} must be {kind.title}.", name, "invalid_type")
        if _deep(value):
            raise RequestError(f"{name} must not be nested deeper than {MOST_DEPTH}.", name)
        kept[name] = value
    for name in endpoint.required:
        if name not in kept:
            raise RequestError(f"{name} is missing.", name, "missing_required_parameter")
    if not MODEL.fullmatch(str(kept["model"])):
        raise RequestError("model must be the name of one model.", "model")
    endpoint.check(kept, limits)
    caps.check(kept, limits.tools, limits.grammar_bytes, limits.grammar_entries)
    return kept


def check_form(endpoint: Endpoint, items: Iterable[tuple[str, object]], limits: Limits) -> None:
    """The fields of a form in their order; those that are no string are uploads. The form itself goes on as it is."""
    seen: set[str] = set()
    body: dict[str, object] = {}
    for name, value in items:
        if name in seen and not name.endswith("[]"):
            raise RequestError(f"{name[:64]} is sent twice.", name[:64])
        seen.add(name)
        if name != endpoint.file:
            body[name] = value
        elif isinstance(value, str):
            raise RequestError(f"{name} must be a file.", name, "invalid_type")
    if endpoint.file not in seen:
        raise RequestError(f"{endpoint.file} is missing.", endpoint.file, "missing_required_parameter")
    check_body(endpoint, body, limits)
