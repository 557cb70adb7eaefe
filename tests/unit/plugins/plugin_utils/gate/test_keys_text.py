# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys are in force, as a table and as JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from ansible_collections.llmfleet.serving.plugins.modules import key_info
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import keys_text

TEAMS = [{"name": "research", "models": ["chat", "code"], "tpm": 5000, "priority": 10}]
KEYS: list[dict[str, Any]] = [
    {"alias": "nightly", "sha256": "x" * 64},
    {"alias": "notebook", "sha256": "x" * 64, "team": "research", "rpm": 60, "models": ["chat", "other"]},
    {"alias": "old", "sha256": "x" * 64, "expires": "2020-01-31", "blocked": True},
    {"alias": "prometheus", "sha256": "x" * 64, "scope": "metrics"},
]


def known(keys: list[dict[str, Any]], teams: list[dict[str, Any]]) -> dict[str, Any]:
    """What key_info says of these."""
    named = {one["name"]: key_info.team(one) for one in teams}
    now = datetime.now(timezone.utc)
    return {"client_keys": [key_info.key(one, named, now) for one in keys], "teams": list(named.values())}


def test_gateways_that_know_the_same_are_one_table() -> None:
    text = keys_text.text({"gw2": known(KEYS, TEAMS), "gw1": known(KEYS, TEAMS), "gw3": {}}, "table")
    lines = text.splitlines()
    assert lines[0] == "gw1, gw2:"
    assert lines[1].split() == ["alias", "team", "models", "rpm", "priority", "expires", "state"]
    assert [line.split()[0] for line in lines[3:7]] == ["nightly", "notebook", "old", "prometheus"]
    assert lines[3].split() == ["nightly", "-", "all", "-", "0", "-", "in", "force"]
    # Of the key's models the team may use one.
    assert lines[4].split()[:4] == ["notebook", "research", "chat", "60"]
    assert lines[5].endswith("blocked, expired")
    assert lines[6].split() == ["prometheus", "-", "none", "-", "0", "-", "metrics", "only"]
    assert lines[8].split() == ["name", "models", "tpm", "priority"]
    assert "xxxx" not in text


def test_gateways_that_differ_are_told_apart() -> None:
    text = keys_text.text({"gw1": known(KEYS, []), "gw2": known(KEYS[:1], [])}, "table")
    assert text.count("alias") == 2
    assert text.endswith("The gateways do not know the same keys: run site.yml --tags gate for all of them.")
    assert keys_text.NO_KEYS in keys_text.text({"gw1": known([], [])}, "table")


def test_json_has_everything() -> None:
    told = json.loads(keys_text.text({"gw1": known(KEYS, TEAMS)}, "json"))
    assert [one["alias"] for one in told["gateways"]["gw1"]["keys"]] == [one["alias"] for one in KEYS]
    assert told["gateways"]["gw1"]["teams"][0]["tpm"] == 5000


def test_an_unknown_form_is_refused() -> None:
    (problem,) = keys_text.problems("csv")
    assert problem.sentence() == 'format is "csv": there is no such form; give one of table, json.'
    assert keys_text.problems("json") == []
