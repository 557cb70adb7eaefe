# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.lookup.variable_problems import read_specs
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import variables

SPECS = read_specs()


def told(name: str, value: Any) -> list[str]:
    return [one.sentence() for one in variables.value_problems(name, value, SPECS[name], "gw")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llm_canary_seconds", 0),
        ("llm_serial", 2),
        ("llm_serial", "25%"),
        ("llm_serial", [1, "100%"]),
        ("llm_cores", "2-7"),
        ("llm_cores", 3),
        ("llm_rotate", "litellm_master_key,vllm_api_key"),
        ("llm_replan", ["chat"]),
        ("prometheus_scrape_interval", "1m30s"),
        ("prometheus_retention_size", "20GB"),
        ("litellm_memory_max", "1.5G"),
        ("litellm_redis_url", "rediss://gateway:secret@10.0.0.5:6379/0"),
        ("nginx_tls_certificate", "-----BEGIN CERTIFICATE-----\r\nAAAA\n-----END CERTIFICATE-----\n"),
        ("nginx_tls_certificate", ""),
        ("nvidia_driver_user_space_only", False),
        ("nvidia_driver_fabric_manager", "auto"),
        ("vllm_args", {"max_num_seqs": 8, "--seed": 1, "compilation-config": None}),
        ("vllm_api_paths", ["/v1/models", "/tokenize"]),
        ("llm_engines_extra", {"echo": {"role": "echo", "file": "/x.py"}, "bare": None}),
        ("llm_engines_extra", {"echo": {"role": "echo", "file": "/x.py", "api_paths": ["/v1/chat/completions"]}}),
        ("llm_media_domains", ["img.example.com", "192.0.2.1"]),
        ("vllm_env", {"FLAG": True, "GONE": None, "NUMBER": 1}),
        ("nvidia_driver_version", 580.95),
        ("nvidia_driver_mig", [{"card": 0, "profiles": []}]),
        ("gate_translated_paths", ["/v1/messages", "/v1/responses"]),
        ("gate_extra_fields", []),
        ("gate_probe_interval", 0),
        ("llm_gpus", ["GPU-12ab-34", "MIG-12ab"]),
        ("llm_egress_networks", ["192.0.2.0/28", "2001:db8::7"]),
        ("llm_private_networks", ["192.0.2.0/28", "fd00::/8"]),
        ("llm_private_networks", ["any"]),
        ("litellm_egress", ["any"]),
        ("gate_egress", ["192.0.2.0/28"]),
        ("open_webui_trusted_proxies", ["127.0.0.1", "192.0.2.0/28", "2001:db8::/64"]),
        ("container_engine_insecure_registries", ["registry.example.com:5000", "[::1]:5000"]),
        (
            "service_proxy_environment",
            {"https_proxy": "http://me:word@proxy:3128", "no_proxy": "127.0.0.1,.example.com"},
        ),
    ],
)
def test_what_is_right(name: str, value: Any) -> None:
    assert told(name, value) == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("llm_canary_seconds", -1, "gw: llm_canary_seconds is -1: it is out of range; give a whole number from 0"),
        (
            "llm_canary_percent",
            100,
            "gw: llm_canary_percent is 100: it is out of range; give a whole number from 1 to 99",
        ),
        ("llm_canary_errors", 5, "gw: llm_canary_errors is 5: it is out of range; give a number from 0 to 1"),
        ("llm_canary_slower", 0.5, "gw: llm_canary_slower is 0.5: it is out of range; give a number from 1 up"),
        ("llm_serial", 0, "gw: llm_serial is 0: it is neither a number nor a share of hosts; give a number of hosts,"),
        ("llm_serial", [1, "x"], 'gw: llm_serial[1] is "x": it is neither a number nor a share of hosts; give'),
        ("llm_cores", "2..7", 'gw: llm_cores is "2..7": it is not a valid list of cores; give numbers and ranges'),
        ("llm_rotate", {"a": 1}, 'gw: llm_rotate is {"a": 1}: a list is needed; write a list, such as [a, b]'),
        (
            "llm_engine_port_base",
            65000,
            "gw: llm_engine_port_base is 65000: it is out of range; give a whole number from",
        ),
        ("litellm_port", None, "gw: litellm_port is missing: it has no value; give it a value, or remove the line"),
        ("litellm_port", "", 'gw: litellm_port is "": it is empty; give it a value, or remove the line'),
        ("litellm_master_key", "", 'gw: litellm_master_key is "": it is empty; give it a value, or remove the line'),
        ("litellm_keys", None, "gw: litellm_keys is missing: it has no value; give it a value, or remove the line"),
        (
            "prometheus_scrape_interval",
            15,
            "gw: prometheus_scrape_interval is 15: it is not a valid duration; give a number and",
        ),
        (
            "prometheus_retention_size",
            "20G",
            'gw: prometheus_retention_size is "20G": it is not a valid size; give a number and',
        ),
        (
            "litellm_memory_max",
            "1 GB",
            'gw: litellm_memory_max is "1 GB": it is not a valid size; give a number of bytes',
        ),
        (
            "litellm_redis_url",
            "swordfish",
            'gw: litellm_redis_url is "(hidden)": it is not a valid URL of a Redis; write rediss://',
        ),
        (
            "service_proxy_environment",
            {"no_proxy": ["a", "b"]},
            'is "(hidden)": a text is needed; write one text instead of',
        ),
        (
            "vllm_args",
            {"--api_key": "swordfish"},
            'gw: vllm_args[api-key] is "(hidden)": api-key cannot be set here; it is made by the collection',
        ),
        ("vllm_args", {"middleware": "a.B"}, "middleware cannot be set here; leave it out"),
        (
            "llm_media_domains",
            ["https://img.example.com"],
            'llm_media_domains[0] is "https://img.example.com": it is not a valid name of a host; give it',
        ),
        ("gate_max_choices", 0, "gw: gate_max_choices is 0: it is out of range; give a whole number from 1 up"),
        ("gate_max_tools", 0, "gw: gate_max_tools is 0: it is out of range; give a whole number from 1 up"),
        ("gate_max_grammar_kib", "256k", 'gw: gate_max_grammar_kib is "256k": a whole number is needed'),
        ("gate_max_grammar_entries", -1, "gw: gate_max_grammar_entries is -1: it is out of range"),
        ("gate_max_json_mib", 0, "gw: gate_max_json_mib is 0: it is out of range"),
        (
            "gate_probe_timeout",
            0,
            "gw: gate_probe_timeout is 0: it is out of range; give a whole number from 1 up",
        ),
        ("gate_usage_log_files", 0, "gw: gate_usage_log_files is 0: it is out of range"),
        ("vllm_args", [], "gw: vllm_args is []: a dictionary is needed"),
        ("vllm_api_paths", ["/v1/"], 'gw: vllm_api_paths[0] is "/v1/": it is not a valid path; write it as /a/b'),
        (
            "vllm_env",
            {"A-B": "swordfish"},
            'gw: vllm_env[A-B] is "(hidden)": this is not a valid name of an environment variable;',
        ),
        (
            "nvidia_driver_mig",
            [{"crad": 0}],
            "gw: nvidia_driver_mig[0].crad is 0: there is no such key; did you mean card",
        ),
        ("container_engine_registries", [{"host": "a", "pasword": "swordfish"}], "did you mean password"),
        ("vllm_api_paths", ["/v1/.."], 'gw: vllm_api_paths[0] is "/v1/..": it is not a valid path; write it as /a/b'),
        (
            "llm_engines_extra",
            {"echo": {"api_paths": "/v1/models"}},
            'gw: llm_engines_extra[echo].api_paths is "/v1/models": a list is needed; write a list, such as [a, b]',
        ),
        (
            "llm_engines_extra",
            {"echo": {"api_paths": ["/v1/models", "/v1/chat;"]}},
            'gw: llm_engines_extra[echo].api_paths[1] is "/v1/chat;": it is not a valid path; write it as /a/b',
        ),
        ("gate_translated_paths", [""], 'gw: gate_translated_paths[0] is "": it is not a valid path; write it as /a/b'),
        (
            "gate_translated_paths",
            ["/v1/a,/b"],
            'gw: gate_translated_paths[0] is "/v1/a,/b": it is not a valid path; write it as /a/b',
        ),
        ("gate_key_share", 2, "gw: gate_key_share is 2: it is out of range"),
        (
            "gate_extra_fields",
            ["a,b"],
            'gw: gate_extra_fields[0] is "a,b": it is not a valid name of a field; use letters',
        ),
        ("llm_gpus", ["GPU-1,GPU-2"], 'gw: llm_gpus[0] is "GPU-1,GPU-2": it is not a valid UUID; give it as'),
        (
            "open_webui_trusted_proxies",
            ["127.0.0.1,*"],
            "it is neither an address nor a network; give an address or a network",
        ),
        ("open_webui_api_key", "sk-swordfish;0123456789", "Open WebUI splits it at a semicolon; give a key of ASCII"),
        (
            "open_webui_api_base_url",
            "http://a/v1;http://b",
            "Open WebUI splits it at a semicolon; give a URL without ;",
        ),
        (
            "container_engine_registry_mirrors",
            ["https://me:swordfish@a"],
            "there is a user or a password in it; write the",
        ),
        ("container_engine_insecure_registries", ["a b"], "it is not a valid registry; give it as HOST:PORT"),
        (
            "litellm_environment",
            {"A": "x\nB=swordfish"},
            "line break or another control character; write it on one line",
        ),
        ("litellm_log_level", "debug", 'gw: litellm_log_level is "debug": there is no such choice; '),
    ],
)
def test_what_is_refused(name: str, value: Any, sentence: str) -> None:
    found = told(name, value)
    assert any(sentence in one for one in found), found
    assert "swordfish" not in str(found)


def test_what_a_wrong_kind_brings_about_is_told_once() -> None:
    kind, other = Problem("llm_api_port", "http", "a port is needed", "x"), Problem("nginx_listen", 1, "y", "z")
    after = [kind._replace(value=0), kind._replace(variable="llm_api_port[0]"), other, other]
    assert variables.together([kind], after) == [kind, other]


def test_the_same_problem_of_several_hosts_names_them() -> None:
    one = Problem("litellm_port", 0, "it is out of range", "give another", "gw1")
    hosts = [one._replace(host=f"gw{number}") for number in range(1, 11)]
    (merged,) = variables.across_hosts(hosts)
    assert merged.host == "gw1, gw2, gw3, gw4, gw5, gw6, gw7, gw8 and 2 more"
    (fleet,) = variables.across_hosts([one._replace(host=""), one._replace(host="")])
    assert fleet.sentence() == "litellm_port is 0: it is out of range; give another."


def test_the_spec_with_a_default_of_its_own_wins() -> None:
    first = {"argument_specs": {"main": {"options": {"a": {"type": "int"}}}}}
    second = {"argument_specs": {"main": {"options": {"a": {"type": "str", "choices": ["x"]}}}, "other": {}}}
    assert variables.specs([first, second]) == {"a": {"type": "int", "choices": ["x"]}}
