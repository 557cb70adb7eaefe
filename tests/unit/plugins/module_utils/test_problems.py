# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message shows the value that is wrong, but no user and password of a URL, however wrong the URL is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, without_credentials

SECRETS = (
    "canary",
    "it's a canary",
    'canary"',
    "$canary",
    "100%canary",
    "canary\\",
    "a/canary",
    "c@nary-canary",
    "ca:nary",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "url", ["https://me:{}@hub.example.com/v1", "ftp://me:{}@hub", "redis://:{}@h:6379/0", "https://{}@hub"]
)
@pytest.mark.parametrize("wrap", [lambda url: url, lambda url: [url], lambda url: {"url": url, "rpm": 1}])
def test_a_secret_in_a_url_is_hidden(secret: str, url: str, wrap: Any) -> None:
    said = Problem("llm_hf_endpoint", wrap(url.format(secret)), "it is wrong", "write another", "gpu1").sentence()
    assert "nary" not in said
    assert "(hidden)@h" in said


@pytest.mark.parametrize("secret", ["canary", "it's-canary", "$canary", "a/canary"])
def test_a_secret_without_a_scheme_is_hidden(secret: str) -> None:
    assert "canary" not in Problem("registry", [f"me:{secret}@host:5000"], "it is wrong", "write another").sentence()


@pytest.mark.parametrize(
    "value",
    [
        "hf://gpt2@main",
        "hf://meta-llama/Llama-3.1-8B@0e9e39f",
        "registry.example.com:5000/path/name:1.2@sha256:0123",
        "docker.io/vllm/vllm-openai:v0.32.0@sha256:0123",
        "https://hub.example.com:8443/v1",
        "admin@example.com",
        "[::1]:8080",
        "/srv/models/a@b",
    ],
)
def test_what_has_no_credentials_stays(value: str) -> None:
    assert without_credentials(value) == value
    assert value in Problem("llm_models", value, "it is wrong", "write another").sentence()
