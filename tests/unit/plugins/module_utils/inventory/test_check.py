# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import check as inventory_check
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render

MODELS = [{"name": "chat", "source": "demo:", "aliases": ["gpt-4o"]}]


def found(models: Any = MODELS, keys: Any = None, **more: Any) -> list[str]:
    return [problem.sentence() for problem in inventory_check.check(models, keys, **more)]


def test_a_sound_inventory() -> None:
    keys = [{"alias": "team", "models": ["chat", "gpt-4o"], "rpm": 5, "expires": "2030-01-01"}, {"alias": "ops"}]
    assert found(keys=keys, machines={"h": {"distribution": "Debian", "distribution_version": "12.11"}}) == []


@pytest.mark.parametrize(
    ("distribution", "version", "supported"),
    [
        ("Debian", "12", True),
        ("Debian", "12.11", True),
        ("Debian", "13.1", True),
        ("Debian", "9.13", False),
        ("Debian", "120", False),
        ("Debian", "11.9", False),
        ("Debian", "trixie/sid", False),
        ("Debian", 13, True),
        ("Ubuntu", "24.04", True),
        ("Ubuntu", "24.10", False),
        ("Ubuntu", "24.4", True),
        ("Ubuntu", "26.04", True),
        ("Ubuntu", "26.10", False),
        ("Ubuntu", "22.04", False),
        ("Ubuntu", "2.404", False),
        ("Ubuntu", "24", False),
        ("Fedora", "43", False),
        (None, None, False),
    ],
)
def test_distributions(distribution: Any, version: Any, supported: bool) -> None:
    machines = {"gw": {"distribution": distribution, "distribution_version": version}}
    sentences = found(machines=machines)
    assert (sentences == []) == supported
    if not supported:
        assert f'gw: ansible_facts.distribution is "{distribution} {version}"' in sentences[0]
        assert "use Debian 12, Debian 13, Ubuntu 24.04, Ubuntu 26.04." in sentences[0]


@pytest.mark.parametrize("models", [[], None])
def test_nothing_to_serve(models: Any) -> None:
    (sentence,) = found(models=models)
    assert sentence.startswith(f"llm_models is {'missing' if models is None else '[]'}: there is no model; write what")


def test_models_and_keys_are_told_together() -> None:
    models = [*MODELS, {"name": "b", "source": "demo:", "replicas": 2}, {"name": "c", "source": "gopher:"}]
    sentences = found(models=models, keys=[{"alias": "k", "models": ["caht", "c"]}])
    assert [sentence.split(" is ")[0] for sentence in sentences] == [
        "llm_models[c].source",
        "litellm_keys[k].models",
        "litellm_keys[k].models",
    ]
    assert "did you mean chat" in sentences[1]


def test_keys() -> None:
    keys = [
        {"alias": "a", "value": "sk-canary-1"},
        {"alias": "a", "key": "sk-canary-1"},
        {"value": "sk-canary-2", "rpm": 0},
        {"alias": "verify"},
        "sk-canary-3",
        {"alias": "b", "valeu": "sk-canary-4"},
        {"alias": ["sk-canary"]},
    ]
    sentences = found(keys=keys)
    assert "canary-" not in render(inventory_check.check(MODELS, keys))
    assert [sentence.partition(": ")[0] for sentence in sentences] == [
        'litellm_keys[a].alias is "a"',
        'litellm_keys[a].value is "(hidden)"',
        "litellm_keys[2].rpm is 0",
        "litellm_keys[2].alias is missing",
        'litellm_keys[verify].alias is "verify"',
        'litellm_keys[4] is "(hidden)"',
        'litellm_keys[b].valeu is "(hidden)"',
        "litellm_keys[['sk-canary']].alias is [\"sk-canary\"]",
    ]
    (sentence,) = found(keys="sk-canary-5")
    assert "canary" not in sentence
