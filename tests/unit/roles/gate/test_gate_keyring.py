# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway's keys: what a file may say, and that a bad one never locks anybody out."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import gate_keyring as keyring
import pytest

FILES = Path(__file__).resolve().parents[4] / "roles" / "gate" / "files"
SECRET = "sk-0123456789abcdef"


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def entry(alias: str = "team", secret: str = SECRET, **fields: Any) -> dict[str, Any]:
    return {"alias": alias, "sha256": sha256(secret), **fields}


def document(*entries: object) -> str:
    return json.dumps({"keys": list(entries)})


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ring:
    """A key ring over a file of this test, and the time that it sees."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.ring = keyring.Keyring(str(path), self.clock)

    def write(self, text: str) -> None:
        """As Ansible writes: a new file in the place of the old one."""
        other = self.path.with_suffix(".new")
        other.write_text(text)
        os.replace(other, self.path)

    def find(self, secret: str = SECRET, after: float = 1.0) -> Any:
        self.clock.now += after
        return self.ring.find(secret)


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    made = Ring(tmp_path / "keys.json")
    made.write(document(entry()))
    return made


def test_all_that_a_key_may_say() -> None:
    text = document(
        entry(
            models=["chat"],
            rpm=60,
            tpm=1000,
            max_parallel_requests=4,
            expires="2030-01-31",
            blocked=True,
            scope="metrics",
        )
    )
    assert keyring.parse(text)[sha256(SECRET)] == keyring.Key(
        alias="team",
        models=("chat",),
        rpm=60,
        tpm=1000,
        max_parallel_requests=4,
        expires=datetime(2030, 2, 1, tzinfo=timezone.utc),
        blocked=True,
        scope="metrics",
    )


def with_teams(teams: object, *entries: object) -> str:
    return json.dumps({"keys": list(entries), "teams": teams})


def test_all_that_a_team_may_say_and_its_key_of_it() -> None:
    team = {"name": "research", "models": ["chat"], "rpm": 60, "tpm": 5, "max_parallel_requests": 2, "priority": 10}
    key = entry(team="research", tags=["cost-7", "batch"])
    found = keyring.parse(with_teams([team, {"name": "sales"}], key))[sha256(SECRET)]
    assert found.team == keyring.Team("research", ("chat",), 60, 5, 2, 10)
    assert (found.tags, found.models, found.priority) == (("cost-7", "batch"), (), 10)
    assert keyring.parse(with_teams([], entry()))[sha256(SECRET)].team is None


@pytest.mark.parametrize(
    ("key", "team", "priority"),
    [({}, {}, 0), ({}, {"priority": -3}, -3), ({"priority": 0}, {"priority": 7}, 0), ({"priority": 5}, {}, 5)],
)
def test_the_priority_of_a_key_wins_over_its_teams(key: dict[str, int], team: dict[str, int], priority: int) -> None:
    text = with_teams([{"name": "research", **team}], entry(team="research", **key))
    assert keyring.parse(text)[sha256(SECRET)].priority == priority


def test_a_key_without_limits_is_an_inference_key_for_every_model() -> None:
    assert keyring.parse(document(entry()))[sha256(SECRET)] == keyring.Key(alias="team")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "not JSON"),
        ('{"keys": [', "not JSON"),
        ("[]", 'a list "keys"'),
        ('{"keys": {}}', 'a list "keys"'),
        (document("text"), "keys[0] must be an object"),
        (document({"sha256": sha256(SECRET)}), "alias is missing"),
        (document(entry(sha256="abc")), "sha256 must be 64 hex digits"),
        (document({"alias": "team", "sha256": SECRET}), "sha256 must be 64 hex digits"),
        (document(entry(rpm=0)), "rpm must be a whole number"),
        (document(entry(tpm="many")), "tpm must be a whole number"),
        (document(entry(max_parallel_requests=True)), "max_parallel_requests must be a whole number"),
        (document(entry(models="chat")), "models must be a list"),
        (document(entry(models=[1])), "models must be a list"),
        (document(entry(expires="soon")), "expires is not an ISO 8601"),
        (document(entry(blocked="no")), "blocked must be true or false"),
        (document(entry(scope="all")), "scope must be one of"),
        (document(entry(limit=3)), "unknown fields limit"),
        (document(entry("one"), entry("two")), "same value as one"),
        (document(entry(), entry(secret="sk-other")), "alias is used twice"),
        (document(entry(team="research")), "keys[0] (team): there is no team 'research'"),
        (document(entry(team=["research"])), "keys[0] (team): there is no team ['research']"),
        (document(entry(priority=1001)), "priority must be a whole number from -1000 to 1000, not 1001"),
        (document(entry(priority=True)), "priority must be a whole number"),
        (document(entry(priority=1.5)), "priority must be a whole number"),
        (document(entry(tags="batch")), "tags must be a list of names"),
        (document(entry(budget=5)), "keys[0] (team): budget must have amount and per"),
        (document(entry(budget={"amount": 0, "per": "day"})), "amount must be a number above 0 and at most 1000000000"),
        (document(entry(budget={"amount": -5, "per": "day"})), "amount must be a number above 0"),
        (document(entry(budget={"amount": 1e30, "per": "day"})), "not 1e+30"),
        (document(entry(budget={"amount": float("nan"), "per": "day"})), "not nan"),
        (document(entry(budget={"amount": True, "per": "day"})), "not True"),
        (document(entry(budget={"amount": "much", "per": "day"})), "not 'much'"),
        (document(entry(budget={"amount": 5, "per": "year"})), "per must be one of day, week, month, not 'year'"),
        (with_teams({}, entry()), "teams must be a list"),
        (with_teams(["research"], entry()), "teams[0] must be an object"),
        (with_teams([{}], entry()), "teams[0]: name is missing"),
        (with_teams([{"name": "a", "budget": 5}]), "teams[0] (a): budget must have amount and per"),
        (with_teams([{"name": "a", "rpm": 0}]), "teams[0] (a): rpm must be"),
        (with_teams([{"name": "a", "priority": "high"}]), "teams[0] (a): priority must be"),
        (with_teams([{"name": "a", "models": [7]}]), "teams[0] (a): models must be a list of names"),
        (with_teams([{"name": "a"}, {"name": "a"}]), "teams[1] (a): name is used twice"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(bad: str, said: str) -> None:
    with pytest.raises(keyring.KeyFileError, match=re.escape(said)):
        keyring.parse(bad)


def test_no_message_holds_a_key() -> None:
    with pytest.raises(keyring.KeyFileError) as refusal:
        keyring.parse(document({"alias": "team", "sha256": SECRET}))
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("expires", "last", "first_after"),
    [
        ("2030-01-31", "2030-01-31T23:59:59+00:00", "2030-02-01T00:00:00+00:00"),
        ("2030-01-31T12:00:00", "2030-01-31T11:59:59+00:00", "2030-01-31T12:00:00+00:00"),
        ("2030-01-31T12:00:00+02:00", "2030-01-31T09:59:59+00:00", "2030-01-31T10:00:00+00:00"),
    ],
)
def test_expiry(expires: str, last: str, first_after: str) -> None:
    key = keyring.parse(document(entry(expires=expires)))[sha256(SECRET)]
    assert not key.expired(datetime.fromisoformat(last))
    assert key.expired(datetime.fromisoformat(first_after))


@pytest.mark.parametrize("expires", ["9999-12-31", "99991231", "9999-12-31T23:59:59-12:00"])
def test_the_last_day_that_there_is_means_for_ever(expires: str) -> None:
    key = keyring.parse(document(entry(expires=expires)))[sha256(SECRET)]
    assert not key.expired(datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc))


def test_a_key_without_expiry_never_expires() -> None:
    assert not keyring.Key(alias="team").expired(datetime.now(timezone.utc) + timedelta(days=36500))


def test_a_key_is_found_by_its_value_alone(ring: Ring) -> None:
    assert ring.find().alias == "team"
    assert ring.find("sk-wrong") is None
    assert ring.find("") is None
    assert ring.find(sha256(SECRET)) is None
    assert ring.find("\udcff") is None


def test_a_rotated_key_works_within_a_second_and_the_old_one_no_longer(ring: Ring) -> None:
    assert ring.find().alias == "team"
    ring.write(document(entry(secret="sk-new")))
    assert ring.find(after=0.4).alias == "team"
    assert ring.find("sk-new", after=0.1).alias == "team"
    assert ring.find() is None


@pytest.mark.parametrize("bad", ["", '{"keys": [{"alias": "te', "[]", document(entry(), entry())])
def test_a_bad_file_leaves_the_last_good_keys_in_force(ring: Ring, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    assert ring.find()
    with caplog.at_level(logging.ERROR):
        ring.write(bad)
        assert ring.find().alias == "team"
        assert ring.find().alias == "team"
    assert len(caplog.records) == 1, "one message for one bad file"
    assert str(ring.path) in caplog.text
    assert "1 keys read before" in caplog.text
    ring.write(document(entry("again")))
    assert ring.find().alias == "again"


def test_a_file_that_is_gone_leaves_the_last_good_keys_in_force(ring: Ring) -> None:
    assert ring.find()
    ring.path.unlink()
    assert ring.find().alias == "team"


def test_without_a_file_nobody_gets_in_until_there_is_one(tmp_path: Path) -> None:
    made = Ring(tmp_path / "keys.json")
    assert made.find() is None
    made.write(document(entry()))
    assert made.find().alias == "team"


def test_the_file_is_not_read_while_it_stays_the_same(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ring.find()
    monkeypatch.setattr(keyring, "parse", lambda text: pytest.fail("read again"))
    assert ring.find()


def test_the_program_checks_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(document(entry()))
    bad.write_text(document(entry(rpm=-1)))
    program = [sys.executable, "-B", str(FILES / "gate_keyring.py")]
    assert subprocess.run([*program, str(good)], check=False).returncode == 0
    refused = subprocess.run([*program, str(good), str(bad)], check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "bad.json: keys[0] (team): rpm must be" in refused.stderr
