# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import client_keys, key_checks
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import keyring
from load_file import load_file

HOOK = Path(__file__).resolve().parents[5] / "roles" / "gate" / "files" / "gate_keyring.py"
MODELS = ["chat", "gpt-4o"]
VALUE = "sk-canary-0123456789"


TEAMS: list[dict[str, Any]] = [{"name": "research", "rpm": "60", "priority": "-5"}, {"name": "sales", "models": "chat"}]


def found(keys: Any, secrets: Any = None, resolved: bool = False, teams: Any = None) -> list[str]:
    given = TEAMS if teams is None else teams
    sentences = [problem.sentence() for problem in key_checks.problems(keys, MODELS, secrets, resolved, given)]
    assert "canary-" not in "".join(sentences)
    return sentences


GOOD: list[dict[str, Any]] = [
    {},
    {"value": VALUE},
    {"key": VALUE, "models": ["chat", "gpt-4o"]},
    {"models": "chat", "rpm": "60", "tpm": 1, "max_parallel_requests": 1},
    {"rpm": None, "models": None, "expires": None},
    {"expires": datetime.date(2027, 1, 31)},
    {"expires": datetime.datetime(2027, 1, 31, 18, 0, tzinfo=datetime.timezone.utc)},
    {"expires": "2027-01-31"},
    {"expires": "2027-01-31 18:00"},
    {"expires": "2027-01-31T18:00:00+02:00"},
    {"expires": "2027-01-31T18:00:00.5Z"},
    {"expires": "9999-12-31"},
    {"expires": datetime.date.max},
    {"team": "research"},
    {"team": "sales", "priority": 0, "tags": ["cost-7", "batch"]},
    {"priority": "-1000", "tags": "batch"},
]


@pytest.mark.parametrize("fields", GOOD)
def test_what_passes_is_taken_by_the_gateway(fields: dict[str, Any]) -> None:
    keys = [{"alias": "team", **fields}]
    assert found(keys) == []
    secrets = {name: f"sk-{name}-0123456789" for name in client_keys.secret_names([{"alias": "team"}], {})}
    resolved = client_keys.resolve_keys(keys, secrets)
    assert found(resolved, {"litellm_master_key": "sk-master-0123456789"}, resolved=True) == []
    ring = load_file(HOOK).parse(json.dumps(keyring.keyring(resolved, "sk-metrics-0123456789", TEAMS)))
    assert {key.alias for key in ring.values()} == {"chat-page", "verify", "team", "prometheus"}


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"expires": "tomorrow"}, 'litellm_keys[team].expires is "tomorrow": it is neither a date nor a time in ISO'),
        ({"expires": "2027-02-30"}, "litellm_keys[team].expires"),
        ({"expires": "2027-01-31T25:00"}, "litellm_keys[team].expires"),
        ({"expires": "20270131"}, "litellm_keys[team].expires"),
        ({"expires": "31.1.2027"}, "litellm_keys[team].expires"),
        ({"expires": ""}, "litellm_keys[team].expires"),
        ({"expires": "２０２７-01-31"}, "litellm_keys[team].expires"),
        ({"expires": 2027}, "litellm_keys[team].expires is 2027"),
        ({"expires": True}, "litellm_keys[team].expires is true"),
        ({"rpm": 0}, "litellm_keys[team].rpm is 0"),
        ({"rpm": "many"}, "litellm_keys[team].rpm"),
        ({"Rpm": 5}, 'litellm_keys[team].Rpm is "(hidden)": there is no such key; did you mean rpm.'),
        (
            {"models": ["chat", 7]},
            "litellm_keys[team].models[1] is 7: a text is needed; write a text; put quotes around",
        ),
        (
            {"alias": datetime.date(2027, 1, 31)},
            'litellm_keys[0].alias is "2027-01-31": a text is needed; write a text',
        ),
        ({"models": ["caht"]}, 'litellm_keys[team].models is "caht": there is no such model; did you mean chat.'),
        ({"models": {"chat": 1}}, "litellm_keys[team].models"),
        ({"value": "sk-canary-"}, 'litellm_keys[team].value is "(hidden)": it has fewer than 16 characters'),
        ({"value": "sk-canary- 0123456789"}, 'litellm_keys[team].value is "(hidden)": it has a space'),
        ({"key": "sk-canary-ü0123456789"}, "litellm_keys[team].value"),
        ({"value": ["sk-canary-0123456789"]}, 'litellm_keys[team].value is "(hidden)": a text is needed'),
        ({"valeu": VALUE}, 'litellm_keys[team].valeu is "(hidden)": there is no such key; did you mean value.'),
        ({"blocked": True}, "litellm_keys[team].blocked"),
        ({"alias": "prometheus"}, "litellm_keys[prometheus].alias"),
        ({"alias": "verify"}, "litellm_keys[verify].alias"),
        ({"alias": "chat-page"}, "litellm_keys[chat-page].alias"),
        ({"alias": "a b"}, "litellm_keys[a b].alias"),
        ({"alias": None}, "litellm_keys[0].alias is missing"),
        ({"team": "reserch"}, 'litellm_keys[team].team is "reserch": there is no such team; did you mean research.'),
        ({"team": ["sales"]}, 'litellm_keys[team].team is ["sales"]: a text is needed'),
        ({"team": 5}, "litellm_keys[team].team is 5: a text is needed"),
        ({"priority": 1001}, "litellm_keys[team].priority is 1001: it is out of range; give a whole number from -1000"),
        ({"priority": "high"}, 'litellm_keys[team].priority is "high": a whole number is needed'),
        ({"priority": 1.5}, "litellm_keys[team].priority is 1.5: a whole number is needed"),
        ({"priority": True}, "litellm_keys[team].priority is true: a whole number is needed"),
        ({"tags": ["a b"]}, 'litellm_keys[team].tags[0] is "a b": it has the wrong form'),
        ({"tags": {"a": 1}}, 'litellm_keys[team].tags is {"a": 1}: a list is needed'),
        ({"budget": 5}, "litellm_keys[team].budget is 5: a budget has an amount and a period; write it as {amount"),
        ({"budget": {"amount": 5}}, 'litellm_keys[team].budget is {"amount": 5}: a budget has an amount and a period'),
        ({"budget": {"amount": 0, "per": "day"}}, "litellm_keys[team].budget.amount is 0: it is out of range"),
        ({"budget": {"amount": -1, "per": "day"}}, "litellm_keys[team].budget.amount is -1: it is out of range"),
        ({"budget": {"amount": 1e30, "per": "day"}}, "litellm_keys[team].budget.amount is 1e+30: it is out of range"),
        ({"budget": {"amount": "NaN", "per": "day"}}, 'litellm_keys[team].budget.amount is "NaN": a number is needed'),
        ({"budget": {"amount": True, "per": "day"}}, "litellm_keys[team].budget.amount is true: a number is needed"),
        (
            {"budget": {"amount": 5, "per": "year"}},
            'litellm_keys[team].budget.per is "year": there is no such choice; choose day or week or month',
        ),
        ({"Team": "research"}, 'litellm_keys[team].Team is "(hidden)": there is no such key; did you mean team.'),
    ],
)
def test_what_is_wrong_with_one_key(fields: dict[str, Any], start: str) -> None:
    (sentence,) = found([{"alias": "team", **fields}])
    assert sentence.startswith(start)


def test_a_team_where_there_are_none() -> None:
    (sentence,) = found([{"alias": "a", "team": "research"}], teams=[])
    assert sentence == (
        'litellm_keys[a].team is "research": there is no such team; add it to llm_teams, or leave it out.'
    )


@pytest.mark.parametrize(
    ("teams", "start"),
    [
        ({"name": "a"}, 'llm_teams is {"name": "a"}: a list is needed; write a list of {name: ...}.'),
        (["research"], 'llm_teams[0] is "research": a dictionary is needed; known keys are budget, max_parallel'),
        ([{}], "llm_teams[0].name is missing: every team needs it; give a name, which keys name as team."),
        ([{"name": "a b"}], 'llm_teams[a b].name is "a b": it has the wrong form; use letters, digits'),
        ([{"name": "a"}, {"name": "a"}], 'llm_teams[a].name is "a": another team has it; give every team a name'),
        ([{"name": "a", "rpm": 0}], "llm_teams[a].rpm is 0: it is out of range; give a whole number from 1 up."),
        ([{"name": "a", "tpm": "x"}], 'llm_teams[a].tpm is "x": a whole number is needed'),
        ([{"name": "a", "max_parallel_requests": -1}], "llm_teams[a].max_parallel_requests is -1: it is out of"),
        ([{"name": "a", "priority": 5000}], "llm_teams[a].priority is 5000: it is out of range; give a whole number"),
        ([{"name": "a", "models": ["caht"]}], 'llm_teams[a].models is "caht": there is no such model; did you mean'),
        (
            [{"name": "a", "parallel": 3}],
            "llm_teams[a].parallel is 3: there is no such key; known are budget, max_parallel_",
        ),
        (
            [{"name": "a", "budget": {"amount": 5, "per": "minute"}}],
            'llm_teams[a].budget.per is "minute": there is no such choice; choose day or week or month.',
        ),
    ],
)
def test_what_is_wrong_with_a_team(teams: Any, start: str) -> None:
    (sentence,) = found([], teams=teams)
    assert sentence.startswith(start)


def test_no_two_keys_share_an_alias_or_a_value() -> None:
    keys = [
        {"alias": "a", "value": VALUE},
        {"alias": "a", "key": VALUE},
        "sk-canary-3",
        {"alias": "b", "value": "sk-canary-master-key"},
    ]
    assert [sentence.partition(";")[0] for sentence in found(keys, {"litellm_master_key": "sk-canary-master-key"})] == [
        'litellm_keys[a].alias is "a": another key has it',
        'litellm_keys[a].value is "(hidden)": litellm_keys[a] has the same value',
        'litellm_keys[2] is "(hidden)": a dictionary is needed',
        'litellm_keys[b].value is "(hidden)": litellm_master_key has the same value',
    ]
    (sentence,) = found("sk-canary-5")
    assert sentence.startswith('litellm_keys is "(hidden)"')


@pytest.mark.parametrize("value", ["short", "sk canary- 0123456789", 5])
def test_the_fleets_own_keys(value: Any) -> None:
    (sentence,) = found([], {"litellm_master_key": value, "litellm_metrics_key": "", "vllm_api_key": None})
    assert sentence.startswith('litellm_master_key is "(hidden)": it has ')
    assert sentence.endswith("give a long random value, such as the output of openssl rand -hex 24.")


def test_the_role_names_its_own_variable_and_takes_the_collections_keys() -> None:
    keys = [{"alias": "verify", "key": VALUE, "blocked": False}, {"alias": "prometheus", "key": "x"}]
    assert [sentence.partition(" is ")[0] for sentence in found(keys, resolved=True)] == [
        "gate_keys_resolved[prometheus].alias",
        "gate_keys_resolved[prometheus].value",
    ]


def test_no_value_is_in_the_text_for_a_run() -> None:
    keys = [{"alias": ["sk-canary"]}, {"value": VALUE, "rpm": 0}, {"alias": "b", "valeu": VALUE}]
    assert "canary-" not in render(key_checks.problems(keys, MODELS))


@pytest.mark.parametrize(
    ("keys", "teams", "policy"),
    [
        ([], [], "fcfs"),
        ([{"alias": "a"}, {"alias": "b", "priority": 0}], [{"name": "t", "priority": "0"}], "fcfs"),
        ([{"alias": "a", "priority": -1}], [], "priority"),
        ([{"alias": "a"}], [{"name": "t", "priority": "10"}], "priority"),
        # What is wrong is told by the checks.
        ([{"priority": "high"}, "a", {"priority": [1]}], {"priority": 5}, "fcfs"),
        (None, "x", "fcfs"),
    ],
)
def test_engines_order_requests_by_priority_where_somebody_has_one(keys: Any, teams: Any, policy: str) -> None:
    assert client_keys.scheduling_policy(keys, teams) == policy
