# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import secrets as fleet_secrets
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.secrets import (
    Outcome,
    SecretsError,
    Stored,
    Wish,
    decide,
    parse_stored,
    parse_wishes,
)

PATH = "/inventory/.llm_secrets.yml"
OURS = "11111111-1111-4111-8111-111111111111"
THEIRS = "22222222-2222-4222-8222-222222222222"
KEY = Wish("key", "key", 32)
PASSWORD = Wish("password", "password", 24)
GIVEN = Wish("password", "password", 24, given="mine-and-long-enough")
ABSENT = Stored(PATH)
STORED = Stored(PATH, True, False, OURS, {"key": "sk-stored", "password": "stored"})


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [("key", r"sk-[A-Za-z0-9_-]{32}"), ("password", r"[A-Za-z0-9]{32}"), ("hex", r"[0-9a-f]{32}")],
)
def test_generate(kind: str, pattern: str) -> None:
    values = {fleet_secrets.generate(kind, 32) for _round in range(50)}
    assert len(values) == 50
    assert all(re.fullmatch(pattern, value) for value in values)


def test_wishes_have_defaults() -> None:
    wishes = parse_wishes({"a": {}, "b": {"kind": "hex", "length": "20", "given": None}, "c": {"given": 12345678}})
    assert wishes == [Wish("a", "password", 24), Wish("b", "hex", 20), Wish("c", "password", 24, "12345678")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("hunter2hunter2", "names.a is .* no dictionary; give one of"),
        ({"kind": "rsa"}, "names.a.kind is .* no such kind; give one of hex, key, password"),
        ({"value": "hunter2hunter2"}, "unknown options: value"),
        ({"length": "long"}, "names.a.length is .* no number; give a number from 16 on"),
        ({"length": 8}, "names.a.length is 8: so short a secret can be guessed; use 16 or more"),
        ({"given": "hunter2hunter2\n"}, "names.a.given is .* a line break"),
    ],
)
def test_wishes_are_checked(options: Any, words: str) -> None:
    with pytest.raises(SecretsError, match=words) as failure:
        parse_wishes({"a": options})
    assert "hunter2" not in str(failure.value)


def test_stored_values_are_strings_and_empty_ones_are_missing() -> None:
    stored = parse_stored(PATH, {"id": OURS, "secrets": {"a": 1234, "b": None, "c": "", "d": "x"}}, False)
    assert stored == Stored(PATH, True, False, OURS, {"a": "1234", "d": "x"})
    assert parse_stored(PATH, None, False) == Stored(PATH, True)


def test_names_are_names() -> None:
    with pytest.raises(SecretsError, match="letters, digits and underscores"):
        parse_wishes({"a: b": {}})


@pytest.mark.parametrize(
    "document",
    [["hunter2"], {"secrets": {"hunter2: x": "y"}}, {"secrets": ["hunter2"]}, {"secrets": {"a": {"b": "hunter2"}}}],
)
def test_a_malformed_file(document: Any) -> None:
    with pytest.raises(SecretsError, match=re.escape(PATH)) as failure:
        parse_stored(PATH, document, False)
    assert "hunter2" not in str(failure.value)


def test_the_first_run_makes_everything() -> None:
    outcome = decide([KEY, PASSWORD], ABSENT)
    assert uuid.UUID(outcome.identity).version == 4
    assert outcome.created == ["key", "password"]
    assert outcome.write
    assert outcome.values == outcome.stored
    assert outcome.values["key"].startswith("sk-")


def test_a_second_run_changes_nothing() -> None:
    outcome = decide([KEY, PASSWORD], STORED, fleet_ids=[OURS, "", OURS])
    assert outcome == Outcome(OURS, dict(STORED.values), [], False, dict(STORED.values))


def test_a_new_name_is_added_and_an_old_one_kept() -> None:
    outcome = decide([KEY, Wish("new", "hex", 64)], STORED, fleet_ids=[OURS])
    assert outcome.created == ["new"]
    assert outcome.values["key"] == "sk-stored"
    assert set(outcome.stored) == {"key", "password", "new"}
    assert set(outcome.values) == {"key", "new"}


def test_given_wins_and_is_not_stored() -> None:
    outcome = decide([KEY, GIVEN], STORED)
    assert outcome.values["password"] == GIVEN.given
    assert outcome.stored["password"] == "stored"
    outcome = decide([KEY, GIVEN], ABSENT)
    assert outcome.created == ["key"]
    assert "password" not in outcome.stored


def test_a_file_without_an_id_gets_one() -> None:
    outcome = decide([KEY], Stored(PATH, True, values={"key": "sk-stored"}))
    assert outcome.write
    assert outcome.created == []
    assert outcome.identity


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (ABSENT, f"this control node lacks the fleet's secrets: {PATH} is absent"),
        (STORED, f"holds the secrets of another fleet ({OURS})"),
        (Stored(PATH, True, values={"key": "sk-stored"}), "holds the secrets of another fleet (no id)"),
    ],
)
def test_a_fleet_with_other_secrets_is_left_alone(stored: Stored, words: str) -> None:
    with pytest.raises(SecretsError) as failure:
        decide([KEY, PASSWORD], stored, fleet_ids=[THEIRS])
    message = str(failure.value)
    assert words in message
    assert THEIRS in message
    assert f"Copy {PATH} from the control node that made them" in message
    assert "give the values of key, password" in message
    assert "-e llm_secrets_adopt=true" in message
    assert "stored" not in message


def test_hosts_that_disagree_are_a_failure() -> None:
    with pytest.raises(SecretsError, match=f"fleet {THEIRS}, and"):
        decide([KEY], STORED, fleet_ids=[OURS, THEIRS])


def test_adopting_keeps_what_is_there_and_makes_the_rest() -> None:
    assert decide([KEY], STORED, fleet_ids=[THEIRS], adopt=True).identity == OURS
    outcome = decide([KEY], ABSENT, fleet_ids=[THEIRS], adopt=True)
    assert outcome.created == ["key"]
    assert outcome.identity not in ("", THEIRS)


def test_with_everything_given_no_file_is_needed() -> None:
    assert decide([GIVEN], ABSENT) == Outcome("", {"password": GIVEN.given}, [], False, {})
    assert decide([GIVEN], ABSENT, fleet_ids=[THEIRS]).identity == THEIRS
    assert decide([GIVEN], STORED, fleet_ids=[THEIRS]).identity == OURS


def test_rotation_makes_one_value_new() -> None:
    outcome = decide([KEY, PASSWORD], STORED, fleet_ids=[OURS], rotate=["key", ""])
    assert outcome.created == ["key"]
    assert outcome.write
    assert outcome.values["key"] not in ("", "sk-stored")
    assert outcome.stored == {"key": outcome.values["key"], "password": "stored"}
    assert outcome.identity == OURS


@pytest.mark.parametrize(
    ("rotate", "words"),
    [
        (["typo"], r'rotate is \["typo"\]: this fleet has no such secrets; choose of key, password'),
        (["password"], "your inventory gives these secrets; give new values there instead"),
    ],
)
def test_rotation_of_what_cannot_be_rotated(rotate: list[str], words: str) -> None:
    with pytest.raises(SecretsError, match=words):
        decide([KEY, GIVEN], STORED, rotate=rotate)


ENCRYPTED = Stored(PATH, True, True, OURS, {"key": "sk-stored"})


@pytest.mark.parametrize(
    ("stored", "rotate", "words"),
    [
        (ENCRYPTED, [], "these are to be set: secrets.password. Add them: ansible-vault edit " + PATH),
        (ENCRYPTED, ["key"], "secrets.key, secrets.password. Add them"),
        (Stored(PATH, True, True, OURS, {"key": "x", "password": "y"}), ["key"], "secrets.key. Replace them"),
        (Stored(PATH, True, True, "", {"key": "x", "password": "y"}), [], "set: id: <a new UUID>. Add them"),
    ],
)
def test_an_encrypted_file_is_never_written(stored: Stored, rotate: list[str], words: str) -> None:
    with pytest.raises(SecretsError) as failure:
        decide([KEY, PASSWORD], stored, rotate=rotate)
    assert words in str(failure.value)


def test_an_encrypted_file_that_has_everything() -> None:
    assert decide([KEY], ENCRYPTED, fleet_ids=[OURS]).values == {"key": "sk-stored"}


REVOKED = Stored(PATH, True, False, OURS, {"key": "sk-stored", "key_b": "sk-b", "key_c": "sk-c", "other": "x"})


@pytest.mark.parametrize(
    ("prune", "keep", "unused"),
    [("", [], []), ("key_", [], ["key_b", "key_c"]), ("key_", ["key_c"], ["key_b"]), ("key", [], ["key_b", "key_c"])],
)
def test_values_that_nothing_asks_for_go_where_that_is_wanted(prune: str, keep: list[str], unused: list[str]) -> None:
    outcome = decide([KEY], REVOKED, [OURS], prune=prune, keep=keep)
    assert (outcome.unused, outcome.write, outcome.created) == (unused, bool(unused), [])
    assert set(REVOKED.values) - set(outcome.stored) == set(unused)
    assert outcome.values == {"key": "sk-stored"}


def test_a_key_whose_value_is_set_keeps_the_stored_one() -> None:
    """It is in use as soon as the value is not set any more."""
    outcome = decide([KEY, Wish("key_b", "key", 32, "mine"), Wish("key_c", "key", 32, "mine")], REVOKED, prune="key_")
    assert (outcome.unused, outcome.write) == ([], False)


def test_a_name_that_returns_gets_a_new_value() -> None:
    outcome = decide([KEY], REVOKED, prune="key_")
    again = decide([KEY, Wish("key_b", "key", 32)], Stored(PATH, True, False, OURS, outcome.stored), prune="key_")
    assert again.created == ["key_b"]
    assert again.values["key_b"] != "sk-b"


def test_an_encrypted_file_keeps_what_nothing_asks_for_and_says_so() -> None:
    encrypted = Stored(PATH, True, True, OURS, REVOKED.values)
    outcome = decide([KEY], encrypted, prune="key_")
    assert (outcome.unused, outcome.write) == (["key_b", "key_c"], False)
    assert outcome.stored == REVOKED.values


def test_secrets_of_another_fleet_are_not_pruned() -> None:
    with pytest.raises(SecretsError):
        decide([KEY], REVOKED, [THEIRS], prune="key_")
