# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's settings: what a file may say, and that a mistake is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gate_settings import Model, Settings, SettingsError, parse

PLAIN: dict[str, Any] = {
    "keys_file": "/keys.json",
    "engine_key_file": "/engine_key",
    "engines_url": "http://127.0.0.1:4100",
    "translator_url": "http://[::1]:4000",
    "usage_log": "/usage.jsonl",
}


def read(**change: Any) -> Settings:
    return parse(json.dumps({**PLAIN, **change}))


def test_all_but_a_few_have_defaults() -> None:
    assert read() == Settings(**PLAIN)
    assert read().models == ()
    assert "/v1/messages" in read().translated_paths
    assert "/v1/messages/count_tokens" not in read().translated_paths


def test_models_are_read() -> None:
    given = {
        "name": "chat",
        "aliases": ["gpt-4o", "team/large"],
        "context": 4096,
        "rpm": 5,
        "tpm": None,
        "max_parallel_requests": 16,
        "request_defaults": {"temperature": 0.5},
    }
    model = read(models=[given]).models[0]
    assert model == Model(**{**given, "aliases": ("gpt-4o", "team/large")})
    assert read(models=[{"name": "openai/gpt-4o", "translated": True}]).models[0].translated


@pytest.mark.parametrize("name", list(PLAIN))
def test_what_is_missing_is_named(name: str) -> None:
    text = json.dumps({key: value for key, value in PLAIN.items() if key != name})
    with pytest.raises(SettingsError, match=f"settings: {name} is missing"):
        parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prot": 1}, "settings: unknown fields prot"),
        ({"models": [{"name": "a", "cost": {"input": "1"}}]}, "models.0.: cost: unknown fields input"),
        (
            {"models": [{"name": "a", "cost": {"input_per_token": 1}}]},
            "must be a number in a text, not 1",
        ),
        ({"models": [{"name": "a", "cost": {"input_per_token": "NaN"}}]}, "must be a number in a text, not 'NaN'"),
        ({"models": [{"name": "a", "cost": {"output_per_token": "-1"}}]}, "must be a number in a text, not '-1'"),
        ({"models": [{"name": "a", "cost": "1"}]}, "cost must be Price, not '1'"),
        ({"models": [{"name": "a", "replicas": ["0/x"]}]}, "'0/x' cannot be the number of a replica"),
        ({"models": [{"name": "a", "replicas": [0]}]}, "replicas must be a list of names"),
        ({"probe_interval": -1}, "probe_interval must be at least 0, not -1"),
        ({"probe_timeout": 0}, "probe_timeout must be at least 0.001, not 0"),
        ({"port": "4200"}, "port must be int, not '4200'"),
        ({"port": True}, "port must be int, not True"),
        ({"port": 0}, "port must be at least 1 and at most 65535, not 0"),
        ({"port": 65536}, "port"),
        ({"key_share": 0}, "key_share must be at least 0.001 and at most 1"),
        ({"key_share": 1.5}, "key_share"),
        ({"max_choices": 0}, "max_choices must be at least 1, not 0"),
        ({"max_json_bytes": -1}, "max_json_bytes"),
        ({"request_timeout": 0}, "request_timeout"),
        ({"usage_log_files": 0}, "usage_log_files"),
        ({"engines_url": "127.0.0.1:4100"}, "engines_url"),
        ({"engines_url": "http://h/"}, "engines_url"),
        ({"translator_url": "http://h?x"}, "translator_url"),
        ({"extra_fields": "a"}, "extra_fields"),
        ({"extra_fields": [1]}, "extra_fields must be a list of names"),
        ({"translated_paths": [""]}, "translated_paths must be a list of names"),
        ({"models": {}}, "models"),
        ({"models": ["chat"]}, r"models\[0\] must be an object"),
        ({"models": [{}]}, r"models\[0\]: name is missing"),
        ({"models": [{"name": "a"}, {"name": "b", "x": 1}]}, r"models\[1\]: unknown fields x"),
        ({"models": [{"name": "a", "rpm": 0}]}, r"models\[0\]: rpm must be at least 1"),
        ({"models": [{"name": "a", "tpm": 1.5}]}, "tpm"),
        ({"models": [{"name": "a", "context": -1}]}, "context must be at least 0"),
        ({"models": [{"name": "a", "translated": 1}]}, "translated"),
        ({"models": [{"name": "a/b"}]}, "cannot be the name of a model"),
        ({"models": [{"name": "../a"}]}, "cannot be the name of a model"),
        ({"models": [{"name": "a?b"}]}, "cannot be the name of a model"),
        ({"models": [{"name": "a b", "translated": True}]}, "cannot be the name of a model"),
        ({"models": [{"name": "a", "aliases": ["b,c"]}]}, "cannot be the name of a model"),
        ({"models": [{"name": "a", "aliases": [""]}]}, "aliases must be a list of names"),
        ({"models": [{"name": "a"}, {"name": "a"}]}, "models: a stands for more than one model"),
        ({"models": [{"name": "a"}, {"name": "b", "aliases": ["a", "c", "c"]}]}, "models: a, c stands for"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read(**change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"port": NaN}',
        '{"port": 1e999}',
        '{"port": -Infinity}',
        f'{{"port": {2**64}}}',
        '{"listen": "\\ud800"}',
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse(text)
