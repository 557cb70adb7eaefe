# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A budget that nobody could hold is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import check

BUDGET = {"amount": 2.5, "per": "month"}
SHOWN = '{"amount": 2.5, "per": "month"}'
MODELS = [
    {"name": "chat", "source": "demo:", "aliases": ["gpt-4o"], "cost": {"output_per_token": 0.1}},
    {"name": "free", "source": "demo:"},
]
NO_COST = "no model that it is about has a cost, so nothing would ever be spent; give the models a cost in llm_models"


def found(
    keys: Any = None, teams: Any = None, cache: bool = True, models: list[dict[str, Any]] | None = None
) -> list[str]:
    return [one.sentence() for one in check.check(models or MODELS, keys, teams=teams, cache=cache)]


def test_without_a_cache_every_budget_is_refused() -> None:
    models = [{**MODELS[0], "limits": {"budget": BUDGET}}]
    said = found([{"alias": "a", "budget": BUDGET}], [{"name": "red", "budget": BUDGET}], False, models)
    assert said == [
        f"{name}.budget is {SHOWN}: there is no cache in which gateways count what was spent; give a host to the group "
        "llm_cache, or llm_cache_url, or leave the budget out."
        for name in ("litellm_keys[a]", "llm_teams[red]", "llm_models[chat].limits")
    ]
    assert found([{"alias": "a", "budget": BUDGET}], [{"name": "red", "budget": BUDGET}], True, models) == []


@pytest.mark.parametrize(
    ("key", "team", "refused"),
    [
        ({}, {}, False),
        ({"models": ["gpt-4o"]}, {}, False),
        ({"models": ["free"]}, {}, True),
        ({"models": "free"}, {}, True),
        ({"team": "red"}, {"models": ["chat"]}, False),
        ({"team": "red"}, {"models": ["free"]}, True),
        ({"team": "red", "models": ["chat"]}, {"models": ["free"]}, True),
    ],
)
def test_a_budget_needs_a_model_with_a_cost(key: dict[str, Any], team: dict[str, Any], refused: bool) -> None:
    said = found([{"alias": "a", "budget": BUDGET, **key}], [{"name": "red", **team}])
    assert [sentence.startswith(f"litellm_keys[a].budget is {SHOWN}: {NO_COST}") for sentence in said] == [
        True
    ] * refused


def test_a_model_without_a_cost_has_no_budget() -> None:
    (sentence,) = found(models=[{**MODELS[1], "limits": {"budget": BUDGET}}])
    assert sentence.startswith(f"llm_models[free].limits.budget is {SHOWN}: {NO_COST}")
