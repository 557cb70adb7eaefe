# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore would lose is told, with the number and the remedy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.filter.database import restore_problems

TAKEN = "2026-11-28T06:00:00Z"


def seen(
    present: dict[str, int], backup: dict[str, int], database: str = "llmfleet", tables: int = 4
) -> dict[str, Any]:
    places = {name: {"file": "a", "offset": 1, "lines": lines} for name, lines in backup.items()}
    return {"database": database, "taken": TAKEN, "places": places, "present": present, "tables": tables}


@pytest.mark.parametrize(
    ("present", "backup", "behind", "loses", "lost"),
    [
        # A fresh server has nothing, or what the program booked of the log.
        ({}, {"a": 900}, {"a": 100}, [], []),
        ({"a": 400}, {"a": 900}, {"a": 100}, [], []),
        ({"a": 1000}, {"a": 900}, {"a": 100}, [], []),
        # Files of the log are gone.
        ({"a": 1000}, {"a": 900}, {"a": 60}, [], [("a", 40)]),
        ({"a": 1000}, {"a": 900}, {"a": 60}, ["a"], []),
        # A gateway that the backup does not know, one that is away, and one that left the fleet.
        ({"a": 50, "b": 70}, {"a": 50}, {"a": 0, "b": 70}, [], []),
        ({"a": 50, "b": 70, "c": 5}, {"a": 50, "b": 60}, {"a": 0, "b": None}, [], [("b", 10), ("c", 5)]),
    ],
)
def test_what_is_in_neither_backup_nor_log_is_lost(
    present: dict[str, int], backup: dict[str, int], behind: dict[str, Any], loses: list[str], lost: list[Any]
) -> None:
    found = restore_problems(seen(present, backup), behind, loses, "llmfleet")
    assert [(one["host"], int(one["problem"].split()[0])) for one in found] == lost
    assert all(f"-e restore_loses={one['host']}" in one["remedy"] for one in found)
    assert all(TAKEN in one["problem"] for one in found)


def test_another_database_is_replaced_where_it_is_named_or_empty() -> None:
    full = seen({}, {}, "chats")
    assert "the database chats has 4 tables" in restore_problems(full, {}, [], "llmfleet")[0]["problem"]
    assert restore_problems(full, {}, ["chats"], "llmfleet") == []
    assert restore_problems(seen({}, {}, "chats", 0), {}, [], "llmfleet") == []
