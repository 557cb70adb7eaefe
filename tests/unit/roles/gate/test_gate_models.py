# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models by their names, and the answers that list them."""

from __future__ import annotations

import json

from gate_models import Directory, may_use
from gate_settings import Model

CHAT = Model("chat", ("gpt-4o", "team/large"), context=4096)
GUIDE = Model("guide")
ALL = Directory((CHAT, GUIDE))


def test_a_model_has_several_names() -> None:
    assert [ALL.find(name) for name in ("chat", "gpt-4o", "team/large", "guide")] == [CHAT, CHAT, CHAT, GUIDE]
    assert [ALL.find(name) for name in ("Chat", "", "gpt", "chat ")] == [None] * 4


def test_a_key_sees_what_it_may_use() -> None:
    assert ALL.names(()) == ["chat", "gpt-4o", "team/large", "guide"]
    assert ALL.names(("chat",)) == ["chat", "gpt-4o", "team/large"]
    assert ALL.names(("gpt-4o",)) == ["gpt-4o"]
    assert ALL.names(("none",)) == []
    # A team's models and its key's own, where both allow it.
    assert ALL.names((), ("chat",)) == ["chat", "gpt-4o", "team/large"]
    assert ALL.names(("gpt-4o", "guide"), ("chat",)) == ["gpt-4o"]
    assert ALL.names(("guide",), ("chat",)) == []
    for allowed in ((), ("chat",), ("gpt-4o",), ("guide", "gpt-4o"), ("none",)):
        for name in ALL.names(()):
            model = ALL.find(name)
            assert model
            assert may_use(allowed, name, model) == (name in ALL.names(allowed))


def test_the_list_has_the_shape_of_each_api() -> None:
    openai = json.loads(ALL.listing(ALL.names(()), False))
    assert openai["object"] == "list"
    assert {entry["object"] for entry in openai["data"]} == {"model"}
    assert openai["data"][0]["max_model_len"] == 4096
    assert "max_model_len" not in openai["data"][3]
    anthropic = json.loads(ALL.listing(ALL.names(()), True))
    assert (anthropic["first_id"], anthropic["last_id"], anthropic["has_more"]) == ("chat", "guide", False)
    assert {entry["type"] for entry in anthropic["data"]} == {"model"}
    empty = json.loads(ALL.listing([], True))
    assert empty == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    for anthropic_shape in (False, True):
        entries = json.loads(ALL.listing(ALL.names(()), anthropic_shape))["data"]
        assert [json.loads(ALL.entry(entry["id"], anthropic_shape)) for entry in entries] == entries
