# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys


def test_a_key_with_a_value_of_its_own_is_generated_no_secret():
    names = client_keys.secret_names([{"alias": "a"}, {"alias": "b", "value": "sk-given"}], {"x": {"kind": "hex"}})
    assert names["litellm_key_a"] == {"kind": "key"}
    assert names["x"] == {"kind": "hex"}
    assert names["litellm_key_b"] == {"kind": "key", "given": "sk-given"}


def test_keys_carry_their_value_and_their_limits():
    secrets = {"litellm_key_a": "sk-a", "litellm_key_chat_page": "sk-c", "litellm_key_verify": "sk-v"}
    keys = client_keys.resolve_keys(
        [{"alias": "a", "rpm": 5}, {"alias": "b", "value": "sk-given", "models": ["chat"]}], secrets
    )
    assert keys[:2] == [{"alias": "chat-page", "key": "sk-c"}, {"alias": "verify", "key": "sk-v"}]
    assert keys[2:] == [{"alias": "a", "key": "sk-a", "rpm": 5}, {"alias": "b", "key": "sk-given", "models": ["chat"]}]


@pytest.mark.parametrize("persons", ["id", "email", "none", ""])
def test_only_the_key_of_the_chat_page_names_persons(persons: str) -> None:
    secrets = {"litellm_key_a": "sk-a", "litellm_key_chat_page": "sk-c", "litellm_key_verify": "sk-v"}
    keys = client_keys.resolve_keys([{"alias": "a", "person": "email"}], secrets, persons)
    named = {"person": persons} if persons in ("id", "email") else {}
    assert keys == [
        {"alias": "chat-page", "key": "sk-c", **named},
        {"alias": "verify", "key": "sk-v"},
        {"alias": "a", "key": "sk-a"},
    ]


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({"expires": datetime.date(2027, 1, 31)}, {"expires": "2027-01-31"}),
        ({"expires": datetime.datetime(2027, 1, 31, 18)}, {"expires": "2027-01-31T18:00:00"}),
        ({"expires": "2027-01-31"}, {"expires": "2027-01-31"}),
        ({"rpm": "60", "models": "chat"}, {"rpm": 60, "models": ["chat"]}),
        ({"rpm": None}, {"rpm": None}),
        # The gateway refuses these: a key never becomes one without limit.
        ({"expires": "tomorrow"}, {"expires": "tomorrow"}),
        ({"rpm": 0}, {"rpm": 0}),
    ],
)
def test_limits_have_the_form_that_the_gateway_reads(given: dict[str, Any], resolved: dict[str, Any]) -> None:
    secrets = {"litellm_key_chat_page": "sk-c", "litellm_key_verify": "sk-v"}
    (key,) = client_keys.resolve_keys([{"alias": "d", "key": "sk-d", **given}], secrets)[2:]
    assert key == {"alias": "d", "key": "sk-d", **resolved}


def test_no_two_aliases_share_a_secret():
    names = {client_keys.secret_name(alias) for alias in ("a-b", "a_b", "a.b", "a b", "ab")}
    assert len(names) == 5
    assert client_keys.secret_name("team-a") == "litellm_key_team_a"
