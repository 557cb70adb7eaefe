# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate.limits_note import note, priorities

TWO = ["gw1", "gw2"]
TEAM = {"alias": "team", "rpm": 20, "tpm": "40000", "max_parallel_requests": 2}
(FREE,) = models.resolve([{"name": "chat", "source": "demo:"}])
(LIMITED,) = models.resolve([{"name": "chat", "source": "demo:", "limits": {"rpm": 60, "max_parallel_requests": 8}}])


def test_every_limit_is_told_times_the_gateways_in_one_line() -> None:
    keys = [TEAM, {"alias": "free"}, {"alias": "trial", "rpm": 5}]
    assert note(keys, [LIMITED], ["gw1", "gw2", "gw3"]) == (
        "Each of the 3 gateways counts limits for itself, so all of them together admit "
        "key team: rpm 60 (3 x 20), tpm 120000 (3 x 40000), max_parallel_requests 6 (3 x 2); "
        "key trial: rpm 15 (3 x 5); "
        "model chat: rpm 180 (3 x 60), max_parallel_requests 24 (3 x 8)."
    )


@pytest.mark.parametrize(
    ("keys", "some", "gateways"),
    [
        ([TEAM], [LIMITED], ["gw1"]),
        ([TEAM], [LIMITED], []),
        ([{"alias": "free", "rpm": None}], [FREE], TWO),
        ([], [], TWO),
    ],
)
def test_nothing_is_told_where_limits_are_exact(keys: Any, some: Any, gateways: list[str]) -> None:
    assert note(keys, some, gateways) == ""


@pytest.mark.parametrize("key", [{"alias": "a", "rpm": "many"}, {"rpm": True}, "a", None])
def test_what_is_no_limit_is_left_to_the_check_of_keys(key: Any) -> None:
    assert note([key], [], TWO) == ""


@pytest.mark.parametrize(
    ("obeying", "policy", "said"),
    [
        ({"chat": True, "embed": True}, "priority", ""),
        ({"chat": False, "embed": False}, "fcfs", ""),
        ({"chat": True, "embed": False}, "priority", "embed: not all of its engines"),
        ({"chat": False, "embed": False}, "priority", "chat, embed: not all of their engines"),
    ],
)
def test_models_whose_engines_know_no_priorities_are_named(obeying: dict[str, bool], policy: str, said: str) -> None:
    found = priorities([{"name": name, "priorities": value} for name, value in obeying.items()], policy)
    assert said in found
    assert bool(found) is bool(said)


def test_a_team_is_named_too() -> None:
    found = note([], [], TWO, [{"name": "research", "rpm": 10, "models": ["chat"]}])
    assert "team research: rpm 20 (2 x 10)" in found
