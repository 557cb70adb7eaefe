# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in force on a gateway, without any secret."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import key_info
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import keyring
from load_file import load_file
from module_runner import run_module

GATE = load_file(Path(__file__).resolve().parents[4] / "roles" / "gate" / "files" / "gate_keyring.py")
KEYS: list[dict[str, Any]] = [
    {"alias": "b", "key": "sk-b-0123456789", "team": "research", "rpm": 60, "tags": ["cost-7"]},
    {"alias": "a", "key": "sk-a-0123456789", "team": "research", "priority": 0, "models": ["chat"]},
    {"alias": "old", "key": "sk-old-0123456789", "expires": "2020-01-31", "blocked": True},
]
TEAMS = [{"name": "research", "models": ["chat", "code"], "tpm": 5, "priority": 10}]


def test_it_tells_what_the_gates_own_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(keyring.keyring(KEYS, "sk-metrics-0123456789", TEAMS))
    (tmp_path / "keys.json").write_text(text)
    result = run_module(key_info.main, {"path": str(tmp_path / "keys.json")}, monkeypatch, capsys)
    assert [key["alias"] for key in result["client_keys"]] == ["a", "b", "old", "prometheus"]
    own, plain, old, metrics = result["client_keys"]
    assert (own["priority"], own["models"], own["team_models"]) == (0, ["chat"], ["chat", "code"])
    assert (plain["priority"], plain["rpm"], plain["tpm"], plain["tags"]) == (10, 60, None, ["cost-7"])
    assert (old["expired"], old["blocked"], old["team"]) == (True, True, None)
    assert (metrics["scope"], metrics["expired"]) == ("metrics", False)
    (team,) = result["teams"]
    assert team == {**TEAMS[0], "rpm": None, "max_parallel_requests": None, "budget": None}
    ring = GATE.parse(text)
    assert {one.alias: one.priority for one in ring.values()} == {
        one["alias"]: one["priority"] for one in result["client_keys"]
    }
    assert not [digest for digest in ring if digest in json.dumps(result)]
    assert "0123456789" not in json.dumps(result)


@pytest.mark.parametrize("expires", ["2030-01-31", "2030-01-31T12:00", "2030-01-31T12:00:00+02:00", "9999-12-31"])
@pytest.mark.parametrize("now", ["2030-01-31T09:59", "2030-01-31T10:00", "2030-01-31T12:00", "2030-02-01T00:00"])
def test_a_key_expires_when_the_gate_says_so(expires: str, now: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=timezone.utc)
    assert key_info.expired(expires, moment) == (moment >= GATE.parse_expiry(expires))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"keys": {}}'])
def test_what_is_no_file_of_keys_is_refused(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    result = run_module(key_info.main, {"host": "gw1", "path": str(path)}, monkeypatch, capsys)
    assert result["failed"]
    assert result["msg"].startswith("gw1: path is ")
    assert result["msg"].endswith("it is no file of a gate's keys; run site.yml --tags gate on this host.")
