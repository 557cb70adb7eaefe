# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client may write: what passes, what ends here, and how a refusal names its cause."""

from __future__ import annotations

import json
from typing import Any

import gate_requests as requests
import pytest
from gate_content import RequestError

HELLO = [{"role": "user", "content": "hi"}]
PLAIN: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "chat", "messages": HELLO},
    "/v1/completions": {"model": "chat", "prompt": "hi"},
    "/v1/embeddings": {"model": "chat", "input": "hi"},
    "/v1/messages": {"model": "chat", "messages": HELLO, "max_tokens": 5},
    "/v1/messages/count_tokens": {"model": "chat", "messages": HELLO},
    "/v1/responses": {"model": "chat", "input": "hi"},
    "/v1/rerank": {"model": "chat", "query": "q", "documents": ["a", {"text": "b"}]},
    "/v1/score": {"model": "chat", "queries": "q", "documents": ["a", "b"]},
    "/tokenize": {"model": "chat", "prompt": "hi"},
    "/detokenize": {"model": "chat", "tokens": [1, 2]},
    "/v1/audio/speech": {"model": "chat", "input": "hi", "voice": "alloy"},
}
FORMS = ("/v1/audio/transcriptions", "/v1/audio/translations")
UPLOAD = object()
# Families of what LiteLLM, its providers, hooks and caches take from a body.
STEERING = [
    "custom_llm_provider",
    "api_base",
    "base_url",
    "api_key",
    "api_version",
    "api_type",
    "organization",
    "model_list",
    "model_info",
    "deployment_id",
    "specific_deployment",
    "gigachat_auth_url",
    "azure_ad_token",
    "tenant_id",
    "client_secret",
    "aws_access_key_id",
    "aws_region_name",
    "vertex_project",
    "vertex_credentials",
    "oci_key_file",
    "ssl_verify",
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "default_fallbacks",
    "disable_fallbacks",
    "num_retries",
    "max_retries",
    "retry_policy",
    "retry_strategy",
    "timeout",
    "request_timeout",
    "stream_timeout",
    "cooldown_time",
    "mock_response",
    "mock_tool_calls",
    "mock_testing_fallbacks",
    "mock_timeout",
    "mock_delay",
    "user_config",
    "router_settings_override",
    "litellm_metadata",
    "litellm_params",
    "litellm_params_metadata",
    "litellm_call_id",
    "litellm_trace_id",
    "litellm_session_id",
    "litellm_logging_obj",
    "litellm_credential_name",
    "litellm_agent_id",
    "proxy_server_request",
    "secret_fields",
    "extra_headers",
    "headers",
    "extra_query",
    "extra_body",
    "default_headers",
    "cache",
    "caching",
    "ttl",
    "no-log",
    "no_log",
    "logger_fn",
    "callbacks",
    "success_callback",
    "failure_callback",
    "langfuse_host",
    "langfuse_public_key",
    "guardrails",
    "guardrail_config",
    "disable_global_guardrails",
    "policies",
    "tags",
    "tag",
    "routing_strategy",
    "prompt_id",
    "prompt_variables",
    "prompt_label",
    "prompt_version",
    "input_cost_per_token",
    "output_cost_per_token",
    "custom_pricing",
    "rpm",
    "tpm",
    "max_parallel_requests",
    "max_budget",
    "budget",
    "priority",
    "allowed_openai_params",
    "drop_params",
    "additional_drop_params",
    "hf_model_name",
    "preset_cache_key",
    "stream_response",
    "initial_prompt_value",
    "roles",
    "final_prompt_value",
    "bos_token",
    "eos_token",
    "supports_system_message",
    "merge_reasoning_content_in_choices",
    "use_litellm_proxy",
    "use_in_pass_through",
    "vector_store_ids",
    "file_ids",
    "mcp_servers",
    "container",
    "skills",
    "web_search_options",
    "enable_json_schema_validation",
    "chat_template",
    "kv_transfer_params",
    "vllm_xargs",
    "mm_processor_kwargs",
    "request_id",
    "logits_processors",
    "prompt_embeds",
    "use_beam_search",
    "target_model_names",
    "key",
    "team_id",
    "user_id",
    "end_user_id",
    "background",
    "previous_response_id",
    "conversation",
    "prompt_cache_control_injection_points",
    "cache_control_injection_points",
    "kwargs",
    "model_group",
    "acompletion",
    "atext_completion",
    "client",
    "text_completion",
    "shared_session",
    "__proto__",
    "Model",
    "MODEL",
    "messages\x00",
    "custom-llm-provider",
]


def check(path: str, body: Any, **limits: Any) -> Any:
    return requests.check_body(requests.ENDPOINTS[path], body, requests.Limits(**limits))


def refusal(path: str, body: Any, **limits: Any) -> Any:
    with pytest.raises(RequestError) as caught:
        check(path, body, **limits)
    return caught.value


@pytest.mark.parametrize("path", PLAIN)
def test_a_plain_request_passes_as_it_is(path: str) -> None:
    assert check(path, PLAIN[path]) == PLAIN[path]


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize("name", STEERING)
def test_a_body_steers_nothing(path: str, name: str) -> None:
    for value in ("x", 1, True, {"a": "b"}, ["x"]):
        error = refusal(path, {**PLAIN[path], name: value})
        assert (error.status, error.code, error.param) == (400, "unknown_parameter", name)
        assert name in error.message


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("name", [*STEERING, "metadata", "user", "n", "file[]", "model[]"])
def test_a_form_steers_nothing(path: str, name: str) -> None:
    for value in ("x", UPLOAD):
        with pytest.raises(RequestError) as caught:
            requests.check_form(
                requests.ENDPOINTS[path], [("file", UPLOAD), ("model", "chat"), (name, value)], requests.Limits()
            )
        assert caught.value.param == name


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([("model", "chat")], "file"),
        ([("file", "text"), ("model", "chat")], "file"),
        ([("file", UPLOAD)], "model"),
        ([("file", UPLOAD), ("model", UPLOAD)], "model"),
        ([("file", UPLOAD), ("model", "a"), ("model", "b")], "model"),
        ([("file", UPLOAD), ("file", UPLOAD), ("model", "a")], "file"),
        ([("file", UPLOAD), ("model", "a,b")], "model"),
    ],
)
def test_a_form_names_one_model_and_one_file(path: str, items: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        requests.check_form(requests.ENDPOINTS[path], items, requests.Limits())
    assert caught.value.param == param


def test_a_form_may_have_lists() -> None:
    items = [("file", UPLOAD), ("model", "chat"), ("include[]", "a"), ("include[]", "b"), ("temperature", "0")]
    requests.check_form(requests.ENDPOINTS["/v1/audio/transcriptions"], items, requests.Limits())


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize("model", ["", "a,b", " ", "a b", "a\n", "a\x00", ["a"], {"a": 1}, 5, True, None, "x" * 300])
def test_a_model_is_the_name_of_one(path: str, model: Any) -> None:
    assert refusal(path, {**PLAIN[path], "model": model}).param == "model"


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize("body", [[1], 5, "text", None, True, [{"model": "chat"}]])
def test_a_body_is_an_object(path: str, body: Any) -> None:
    assert refusal(path, body).code == "invalid_json"


@pytest.mark.parametrize("path", PLAIN)
def test_what_no_engine_reads_ends_here(path: str) -> None:
    unused = {
        "metadata": {"tags": ["x"], "headers": {"a": "b"}},
        "user": {"id": "u"},
        "store": True,
        "service_tier": "x",
    }
    assert check(path, {**PLAIN[path], **unused}) == PLAIN[path]


def test_the_chat_pages_options_for_other_servers_end_here() -> None:
    path = "/v1/chat/completions"
    assert check(path, {**PLAIN[path], "num_ctx": 2048, "keep_alive": "5m", "temperature": None}) == PLAIN[path]


def test_what_clients_do_send() -> None:
    chat = {
        **PLAIN["/v1/chat/completions"],
        "temperature": 0.5,
        "n": 2,
        "stop": ["a"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "chat_template_kwargs": {"enable_thinking": False},
        "top_k": 20,
        "structured_outputs": {"choice": ["a", "b"]},
        "logit_bias": {"5": 1},
        "seed": 2**63,
    }
    assert check("/v1/chat/completions", chat) == chat
    claude = {
        **PLAIN["/v1/messages"],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "Read", "description": "d", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Fetch",
                                               "input": {"url": "https://x", "image_url": "http://y"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]}]},
        ],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }  # fmt: skip
    assert check("/v1/messages", claude) == claude
    codex = {
        **PLAIN["/v1/responses"],
        "instructions": "i",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "t"}]},
            {"role": "user", "content": "t"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "e"},
            {"type": "function_call", "call_id": "1", "name": "shell", "arguments": '{"url": "http://x"}'},
            {"type": "function_call_output", "call_id": "1", "output": "o"},
        ],
        "tools": [{"type": "function", "name": "shell", "parameters": {}, "strict": False}, {"type": "web_search"}],
        "include": ["reasoning.encrypted_content"],
    }
    assert check("/v1/responses", {**codex, "store": False, "client_metadata": {"a": "b"}}) == codex


URL = "http://169.254.169.254/latest"
PARTS: list[Any] = [
    {"type": "image_url", "image_url": {"url": URL}},
    {"type": "image_url", "image_url": URL},
    {"type": "image_url", "image_url": {"url": f" data:{URL}"}},
    {"type": "image_url", "image_url": {"url": ["data:"]}},
    {"type": "text", "text": "t", "image_url": URL},
    {"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}},
    {"type": "video_url", "video_url": {"url": "//host/x"}},
    {"type": "input_audio", "input_audio": {"url": URL}},
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "file", "file": {"file_data": URL}},
    {"type": "input_file", "file_url": URL},
    {"type": "input_file", "file_id": "file-1"},
    {"type": "input_image", "image_url": URL},
    {"type": "image", "source": {"type": "url", "url": URL}},
    {"type": "document", "source": {"type": "url", "url": URL}},
    {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"url": URL}}]}},
    {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]},
    {"type": "tool_result", "content": {"type": "image_url", "image_url": URL}},
    {"type": "container_upload", "file_id": "f"},
    {"type": "mcp_tool_use", "server_name": "s"},
    {"type": "image_embeds", "image_embeds": "x"},
    {"type": ["text"], "text": "t"},
    {"image_url": {"url": URL}},
    5,
    [{"type": "text"}],
]


@pytest.mark.parametrize("part", PARTS)
def test_content_is_brought_and_not_fetched(part: Any) -> None:
    messages = [*HELLO, {"role": "user", "content": [{"type": "text", "text": "t"}, part]}]
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"):
        assert refusal(path, {**PLAIN[path], "messages": messages}).param.startswith("messages[1].content[1]")
    assert refusal("/v1/messages", {**PLAIN["/v1/messages"], "system": [part]}).param.startswith("system[0]")
    error = refusal("/v1/responses", {"model": "chat", "input": messages})
    assert error.param.startswith("input[1].content[1]")


def test_content_that_is_brought_passes() -> None:
    data = "data:image/png;base64,AAAA"
    content = [
        {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}},
    ]
    path = "/v1/chat/completions"
    assert check(path, {**PLAIN[path], "messages": [{"role": "user", "content": content}]})


def test_nesting_has_an_end() -> None:
    deep: Any = [{"type": "text", "text": "t"}]
    for _level in range(500):
        deep = [{"type": "tool_result", "content": deep}]
    for path in ("/v1/chat/completions", "/v1/messages"):
        assert refusal(path, {**PLAIN[path], "messages": [{"role": "user", "content": deep}]}).param == "messages"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"a": deep}}}
    assert refusal("/v1/chat/completions", {**PLAIN["/v1/chat/completions"], "tools": [tool]}).param == "tools"


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        ("/v1/chat/completions", {"type": "mcp", "server_url": URL}),
        ("/v1/chat/completions", {"type": "file_search", "vector_store_ids": ["v"]}),
        ("/v1/chat/completions", {"type": "function", "function": {"name": "f"}, "server_url": "litellm_proxy"}),
        ("/v1/chat/completions", {"function": {"name": "f"}}),
        ("/v1/chat/completions", {"type": ["mcp"]}),
        ("/v1/messages", {"type": "web_search_20250305", "name": "web_search"}),
        ("/v1/messages", {"type": "mcp_toolset", "mcp_server_name": "s"}),
        ("/v1/messages", {"name": "a", "vector_store_ids": ["v"]}),
        ("/v1/responses", {"type": "mcp", "server_label": "l", "server_url": URL}),
        ("/v1/responses", {"type": "file_search", "vector_store_ids": ["v"]}),
        ("/v1/responses", {"type": "code_interpreter", "container": {"type": "auto"}}),
        ("/v1/responses", {"type": "image_generation"}),
        ("/v1/responses", {"type": "function", "name": "f", "headers": {}}),
        ("/v1/responses", {"type": "function", "name": "f", "tools": []}),
        ("/v1/responses", {"type": "namespace", "name": "n"}),
        ("/v1/responses", {"type": "namespace", "name": "n", "tools": {}}),
        ("/v1/responses", {"type": "namespace", "name": "n", "tools": [{"type": "mcp", "server_url": URL}]}),
        (
            "/v1/responses",
            {"type": "namespace", "name": "n", "tools": [{"type": "namespace", "name": "m", "tools": []}]},
        ),
        (
            "/v1/responses",
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "headers": {}}]},
        ),
        ("/v1/chat/completions", {"type": "namespace", "name": "n", "tools": []}),
    ],
)
def test_tools_lead_nowhere(path: str, tool: Any) -> None:
    assert refusal(path, {**PLAIN[path], "tools": [tool]}).param.startswith("tools[0]")


def test_a_group_of_tools_passes_and_its_tools_count() -> None:
    """Codex sends one by default."""
    path, inner = "/v1/responses", {"type": "function", "name": "f", "parameters": {}, "strict": False}
    group = {"type": "namespace", "name": "n", "description": "d", "tools": [inner] * 300}
    assert check(path, {**PLAIN[path], "tools": [group]})
    assert refusal(path, {**PLAIN[path], "tools": [group, group]}).param == "tools"


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "x"}, {"type": "mcp_call"}, {"id": "x"}, 5])
def test_items_of_a_response_refer_to_nothing_stored(item: Any) -> None:
    assert refusal("/v1/responses", {"model": "chat", "input": [item]}).param.startswith("input[0]")


@pytest.mark.parametrize("value", [0, 9, 4000, -1, 1.5, "2", True, [2], 10**400])
@pytest.mark.parametrize(
    ("path", "name"), [("/v1/chat/completions", "n"), ("/v1/completions", "n"), ("/v1/completions", "best_of")]
)
def test_one_request_is_a_few_sequences(path: str, name: str, value: Any) -> None:
    assert refusal(path, {**PLAIN[path], name: value}).param == name


def test_prompts_are_bounded_and_their_product_with_n() -> None:
    path = "/v1/completions"
    assert check(path, {"model": "chat", "prompt": ["a"] * 32})
    assert refusal(path, {"model": "chat", "prompt": ["a"] * 33}).param == "prompt"
    assert refusal(path, {"model": "chat", "prompt": ["a"] * 5, "n": 8}).param == "n"
    assert check(path, {"model": "chat", "prompt": ["a"] * 5, "n": 8}, prompts=40)
    assert refusal("/v1/embeddings", {"model": "chat", "input": ["a"] * 2049}).param == "input"
    assert refusal("/v1/rerank", {"model": "chat", "query": "q", "documents": ["a"] * 1001}).param == "documents"


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/v1/messages", {"messages": []}),
        ("/v1/messages", {"messages": "hi"}),
        ("/v1/messages", {"max_tokens": None}),
        ("/v1/messages/count_tokens", {"messages": "hi"}),
        ("/v1/completions", {"prompt": [1, "a"]}),
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"stream": "true"}),
        ("/v1/chat/completions", {"response_format": "json"}),
        ("/v1/chat/completions", {"messages": [[], []]}),
        ("/v1/chat/completions", {"messages": [{"content": "hi"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "assistant", "tool_calls": 5}]}),
        ("/v1/chat/completions", {"temperature": float("nan")}),
        ("/v1/chat/completions", {"tools": 5}),
        ("/v1/chat/completions", {"stream_options": {"include_usage": True, "x": 1}}),
        ("/v1/embeddings", {"input": [{"a": 1}]}),
        ("/v1/embeddings", {"input": []}),
        ("/v1/rerank", {"documents": "a"}),
        ("/v1/rerank", {"documents": [{"image_url": {"url": URL}}]}),
        ("/v1/responses", {"input": 5}),
    ],
)
def test_what_is_malformed_is_the_clients_mistake(path: str, change: dict[str, Any]) -> None:
    error = refusal(path, {**PLAIN[path], **change})
    assert error.status == 400
    assert error.param.split(".")[0].split("[")[0] in change


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "1", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "nobody", "content": "a"}, "role"),
        ({"role": "User", "content": "a"}, "role"),
        ({"role": 5, "content": "a"}, "role"),
        ({"role": None, "content": "a"}, "role"),
        ({"role": "user", "content": "a", "name": 5}, "name"),
        ({"role": "tool", "content": "a", "tool_call_id": ["a"]}, "tool_call_id"),
        ({"role": "user", "content": ["a"]}, "content[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "content[0].text"),
        ({"role": "assistant", "content": [{"type": "text", "text": ["a"]}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "thinking", "thinking": "a"}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "a"}]}, "content[0].type"),
        ({"role": "assistant", "content": [{"type": "thinking"}]}, "content[0].thinking"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "content[0].image_url"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "content[0].image_url.url"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "content[0].input_audio"),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": 5}}]},
            "content[0].input_audio.data",
        ),
        ({"role": "user", "content": [{"type": "file", "file": 5}]}, "content[0].file"),
        ({"role": "assistant", "tool_calls": [5]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [{}]}, "tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}, "tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [{**CALL, "type": 5}]}, "tool_calls[0].type"),
        ({"role": "assistant", "tool_calls": [{**CALL, "function": 5}]}, "tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}, "tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{**CALL, "function": {}}]}, "tool_calls[0].function.name"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
            "tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}, "tool_calls[0].custom"),
        ({"role": "assistant", "content": "a", "function_call": {"name": "f"}}, "function_call.arguments"),
    ],
)
def test_a_message_of_a_chat_that_is_malformed(message: dict[str, Any], param: str) -> None:
    path = "/v1/chat/completions"
    error = refusal(path, {**PLAIN[path], "messages": [*HELLO, message]})
    assert (error.status, error.param) == (400, f"messages[1].{param}")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "a"}, "role"),
        ({"role": "user", "content": ["a"]}, "content[0]"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "image"}]}, "content[0].source"),
        ({"role": "user", "content": [{"type": "image", "source": 5}]}, "content[0].source"),
        ({"role": "user", "content": [{"type": "image", "source": {}}]}, "content[0].source.type"),
        ({"role": "user", "content": [{"type": "document", "source": "a"}]}, "content[0].source"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "a"}]}, "content[0].tool_use_id"),
        ({"role": "user", "content": [{"type": "search_result"}]}, "content[0].source"),
        ({"role": "user", "content": [USE]}, "content[0].type"),
        ({"role": "assistant", "content": [{**USE, "id": 5}]}, "content[0].id"),
        ({"role": "assistant", "content": [{**USE, "name": 5}]}, "content[0].name"),
        ({"role": "assistant", "content": [{**USE, "input": "x"}]}, "content[0].input"),
        ({"role": "assistant", "content": [{"type": "redacted_thinking"}]}, "content[0].data"),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": 5}]}, "content[0].thinking"),
    ],
)
def test_a_message_of_anthropics_that_is_malformed(path: str, message: dict[str, Any], param: str) -> None:
    error = refusal(path, {**PLAIN[path], "messages": [*HELLO, message]})
    assert (error.status, error.param) == (400, f"messages[1].{param}")


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "nobody", "content": "a"}, "role"),
        ({"role": 5, "content": "a"}, "role"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "content[0].image_url"),
        ({"type": "function_call", "call_id": "1", "name": "f"}, "arguments"),
        ({"type": "function_call", "call_id": 5}, "call_id"),
        ({"type": "function_call_output", "output": "a"}, "call_id"),
    ],
)
def test_an_item_of_a_response_that_is_malformed(item: dict[str, Any], param: str) -> None:
    error = refusal("/v1/responses", {"model": "chat", "input": [*HELLO, item]})
    assert (error.status, error.param) == (400, f"input[1].{param}")


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/chat/completions", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ("/v1/chat/completions", {"tools": [{"type": "function", "function": {"name": 5}}]}, "tools[0].function.name"),
        (
            "/v1/chat/completions",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
            "tools[0].function.parameters",
        ),
        ("/v1/chat/completions", {"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ("/v1/chat/completions", {"tool_choice": "any"}, "tool_choice"),
        ("/v1/chat/completions", {"tool_choice": {}}, "tool_choice.type"),
        ("/v1/chat/completions", {"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ("/v1/chat/completions", {"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ("/v1/chat/completions", {"thinking": {"type": 5}}, "thinking.type"),
        ("/v1/chat/completions", {"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ("/v1/messages", {"tools": [{}]}, "tools[0].name"),
        ("/v1/messages", {"tools": [{"name": "f", "input_schema": 5}]}, "tools[0].input_schema"),
        ("/v1/messages", {"tool_choice": {"type": "function"}}, "tool_choice.type"),
        ("/v1/messages", {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ("/v1/messages", {"tool_choice": {"type": "tool", "name": 5}}, "tool_choice.name"),
        ("/v1/messages", {"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ("/v1/messages", {"system": [{"type": "text"}]}, "system[0].text"),
        ("/v1/responses", {"tools": [{"type": "function"}]}, "tools[0].name"),
        ("/v1/responses", {"tools": [{"type": "function", "name": "f", "parameters": 5}]}, "tools[0].parameters"),
        ("/v1/responses", {"tool_choice": {"type": "function"}}, "tool_choice.name"),
    ],
)
def test_tools_and_choices_that_are_malformed(path: str, change: dict[str, Any], param: str) -> None:
    error = refusal(path, {**PLAIN[path], **change})
    assert (error.status, error.param) == (400, param)


def test_calls_and_choices_that_clients_do_send() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": None, "parameters": {}}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": ""}]},
        {"role": "developer", "content": "a", "name": None},
    ]
    for choice in ("auto", "none", "required", {"type": "function", "function": {"name": "f"}}):
        body = {"model": "chat", "messages": messages, "tools": [tool], "tool_choice": choice}
        assert check("/v1/chat/completions", body) == body
    for choice in ({"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "f"}):
        assert check("/v1/messages", {**PLAIN["/v1/messages"], "tools": [{"name": "f"}], "tool_choice": choice})


def test_the_query_string_chooses_nothing() -> None:
    chat, messages = requests.ENDPOINTS["/v1/chat/completions"], requests.ENDPOINTS["/v1/messages"]
    requests.check_query(messages, ["beta"])
    requests.check_query(chat, [])
    for name, status in (("model", 403), ("MODEL", 403), ("beta", 400), ("target_model_names", 400), ("key", 400)):
        with pytest.raises(RequestError) as caught:
            requests.check_query(chat, [name])
        assert (caught.value.status, caught.value.param) == (status, name)


def test_the_operator_lets_a_field_of_his_through() -> None:
    path = "/v1/chat/completions"
    body = {**PLAIN[path], "vllm_xargs": {"a": 1}}
    assert check(path, body, extra_fields=frozenset(("vllm_xargs",))) == body


@pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]], [0]])
def test_a_prompt_is_texts_or_tokens(prompt: Any) -> None:
    body = {"model": "chat", "prompt": prompt}
    assert check("/v1/completions", body) == body


@pytest.mark.parametrize(
    "prompt", [[], [[]], [1, "a"], [[1], "a"], [[1], []], [True], [-1], [1.5], [[1.5]], {"a": 1}, 5]
)
def test_a_prompt_that_is_neither(prompt: Any) -> None:
    assert refusal("/v1/completions", {"model": "chat", "prompt": prompt}).param == "prompt"


def test_a_prompt_of_tokens_is_one_and_lists_of_them_are_many() -> None:
    path = "/v1/completions"
    assert check(path, {"model": "chat", "prompt": [7] * 5000, "n": 8})
    assert check(path, {"model": "chat", "prompt": [[7]] * 32})
    assert refusal(path, {"model": "chat", "prompt": [[7]] * 33}).param == "prompt"
    assert refusal(path, {"model": "chat", "prompt": [[7]] * 5, "n": 8}).param == "n"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({}, "queries"),
        ({"queries": "q"}, "queries"),
        ({"queries": "q", "documents": ["a"], "items": ["b"]}, "documents"),
        ({"queries": "q", "documents": ["a"], "text_1": "b", "text_2": "c"}, "documents"),
        ({"text_1": "q", "documents": ["a"]}, "documents"),
        ({"queries": "q", "documents": []}, "documents"),
        ({"queries": ["q"] * 1001, "documents": "a"}, "queries"),
        ({"queries": "q", "documents": [{"image_url": URL}]}, "documents"),
        ({"data_1": {"content": []}, "data_2": "a"}, "data_1"),
    ],
)
def test_a_score_is_of_one_pair_of_texts(change: dict[str, Any], param: str) -> None:
    assert refusal("/v1/score", {"model": "chat", **change}).param == param


@pytest.mark.parametrize(
    "pair", [("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2")]
)
def test_every_pair_of_texts_is_taken(pair: tuple[str, str]) -> None:
    body = {"model": "chat", pair[0]: "a", pair[1]: ["a", "b"]}
    assert check("/v1/score", body) == body


def test_what_is_tokenized_is_a_prompt_or_a_chat() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert check("/tokenize", {"model": "chat", "messages": HELLO, "tools": [tool]})
    assert refusal("/tokenize", {"model": "chat"}).param == "prompt"
    assert refusal("/tokenize", {"model": "chat", "prompt": "a", "messages": HELLO}).param == "prompt"
    assert refusal("/tokenize", {"model": "chat", "messages": [{"content": "a"}]}).param == "messages[0].role"
    assert refusal("/tokenize", {"model": "chat", "prompt": "a", "chat_template": "{{ x }}"}).param == "chat_template"
    for tokens in (["a"], [-1], 5, [[1]], [True]):
        assert refusal("/detokenize", {"model": "chat", "tokens": tokens}).param == "tokens"


def schema(entries: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"enum": [f"e{number}" for number in range(entries)]}}}


def consts(entries: int) -> dict[str, Any]:
    return {"anyOf": [{"const": number} for number in range(entries)]}


def structures(grammar: Any, choices: list[str]) -> list[tuple[str, dict[str, Any], str]]:
    """Every place in a request that becomes a grammar with these entries."""
    text = json.dumps(grammar)
    nested = json.dumps({"structures": [{"schema": text}]})
    tool = {"name": "f", "parameters": grammar}
    chat, messages, responses = "/v1/chat/completions", "/v1/messages", "/v1/responses"
    return [
        (chat, {"structured_outputs": {"choice": choices}}, "structured_outputs"),
        (chat, {"structured_outputs": {"json": grammar}}, "structured_outputs"),
        (chat, {"structured_outputs": {"json": text}}, "structured_outputs"),
        (
            chat,
            {"structured_outputs": {"json": text.replace("enum", "\\u0065num").replace("const", "\\u0063onst")}},
            "structured_outputs",
        ),
        (chat, {"structured_outputs": {"structural_tag": nested}}, "structured_outputs"),
        (
            chat,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": grammar}}},
            "response_format",
        ),
        (chat, {"tools": [{"type": "function", "function": tool}]}, "tools"),
        (chat, {"functions": [tool]}, "functions"),
        ("/v1/completions", {"response_format": {"type": "json_schema", "schema": grammar}}, "response_format"),
        (messages, {"tools": [{"name": "f", "input_schema": grammar}]}, "tools"),
        (messages, {"output_config": {"format": {"type": "json_schema", "schema": grammar}}}, "output_config"),
        (messages, {"output_format": {"type": "json_schema", "schema": grammar}}, "output_format"),
        (responses, {"tools": [{"type": "function", **tool}]}, "tools"),
        (responses, {"text": {"format": {"type": "json_schema", "schema": grammar}}}, "text"),
    ]


@pytest.mark.parametrize("kind", [schema, consts])
def test_a_grammar_has_a_number_of_entries(kind: Any) -> None:
    few, many = kind(500), kind(501)
    fine = structures(few, ["c"] * 500)
    for number, (path, change, param) in enumerate(structures(many, ["c"] * 501)):
        assert check(path, {**PLAIN[path], **fine[number][1]})
        error = refusal(path, {**PLAIN[path], **change})
        assert (error.status, error.param) == (400, param), change
        assert "500" in error.message
        assert check(path, {**PLAIN[path], **change}, grammar_entries=501)


def test_entries_of_all_places_count_together() -> None:
    path = "/v1/chat/completions"
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema(300)}}]
    assert check(path, {**PLAIN[path], "tools": tools})
    outputs = {"choice": ["c"] * 201}
    assert refusal(path, {**PLAIN[path], "tools": tools, "structured_outputs": outputs}).param == "tools"


def test_a_grammar_has_a_size() -> None:
    path = "/v1/chat/completions"
    long = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"description": "d" * (256 << 10)}}}
    error = refusal(path, {**PLAIN[path], "response_format": long})
    assert error.param == "response_format"
    assert "262144" in error.message
    assert check(path, {**PLAIN[path], "response_format": long}, grammar_bytes=300_000)
    half = {"name": "f", "description": "d" * (200 << 10)}
    body = {
        **PLAIN[path],
        "tools": [{"type": "function", "function": half}],
        "structured_outputs": {"regex": "a" * 100_000},
    }
    assert refusal(path, body).param == "tools"


def test_a_request_has_a_number_of_tools() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    path = "/v1/chat/completions"
    assert check(path, {**PLAIN[path], "tools": [tool] * 512})
    assert refusal(path, {**PLAIN[path], "tools": [tool] * 513}).param == "tools"
    assert refusal(path, {**PLAIN[path], "functions": [{"name": "f"}] * 513}).param == "functions"
    path = "/v1/messages"
    assert refusal(path, {**PLAIN[path], "tools": [{"name": "f"}] * 513}).param == "tools"


def test_schemas_in_strings_in_strings_have_an_end() -> None:
    path = "/v1/chat/completions"
    deep = "[" * 900 + '{"enum":[]}' + "]" * 900
    assert refusal(path, {**PLAIN[path], "structured_outputs": {"json": deep}}).status == 400
    example = {"type": "object", "default": {"json": "{not json", "enum": []}}
    assert check(path, {**PLAIN[path], "structured_outputs": {"json": example}})
