# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Callable

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import removal
from hypothesis import given
from hypothesis import strategies as st

SIMULATION = """\
Reading package lists...
The following packages will be REMOVED:
  libpq5* postgresql-client-15*
Purg postgresql-client-15 [15.18-0+deb12u1] [tcl8.6-dev:amd64 ]
Remv libpq5 [15.18-0+deb12u1]
Inst libpq-dev [15.18-0+deb12u1] (15.20-0+deb12u1 Debian-Security:12/oldstable-security [amd64]) []
Conf libpq-dev (15.20-0+deb12u1 Debian-Security:12/oldstable-security [amd64])
"""


def apt(needs: dict[str, list[set[str]]]) -> Callable[[list[str]], set[str]]:
    """Removal in a system of packages to what each needs: of each set at least one package has to be there."""

    def simulate(names: list[str]) -> set[str]:
        gone: set[str] = set()
        while more := {p for p, sets in needs.items() if p in names or any(one <= gone for one in sets)} - gone:
            gone |= more
        return gone

    return simulate


def test_what_apt_get_would_do() -> None:
    assert removal.touched(SIMULATION) == {"postgresql-client-15", "libpq5", "libpq-dev"}
    assert removal.touched("") == set()
    assert removal.touched("", 100) == {removal.REFUSED}


@pytest.mark.parametrize(
    ("needs", "removable", "kept"),
    [
        # Nobody else is there.
        ({"nginx": [{"libx"}], "libx": []}, ["nginx", "libx"], {}),
        # Somebody came to need one of them, and what that one needs.
        (
            {"nginx": [{"libx"}], "libx": [], "prometheus": [], "site": [{"nginx"}]},
            ["prometheus"],
            {"nginx": ["site"], "libx": ["site"]},
        ),
        # Either will do for somebody else.
        ({"a": [], "b": [], "site": [{"a", "b"}]}, [], {"a": ["site"], "b": ["site"]}),
    ],
)
def test_what_others_need_stays(
    needs: dict[str, list[set[str]]], removable: list[str], kept: dict[str, list[str]]
) -> None:
    ours = [name for name in needs if name != "site"]
    assert removal.decide(ours, apt(needs)) == removal.Removal(removable, kept)


def test_what_apt_get_refuses_stays() -> None:
    found = removal.decide(["a", "base"], lambda names: removal.touched("Purg a []", int("base" in names)))
    assert found == removal.Removal(["a"], {"base": [removal.REFUSED]})


def test_nothing_is_asked_where_nothing_is_ours() -> None:
    assert removal.decide([], lambda names: pytest.fail("asked")) == removal.Removal([], {})


NAMES = "abcdef"


@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sets(st.sampled_from(NAMES), min_size=1), max_size=3)),
    st.sets(st.sampled_from(NAMES)),
)
def test_nothing_foreign_is_ever_touched(needs: dict[str, list[set[str]]], ours: set[str]) -> None:
    simulate = apt({name: [one & set(needs) or {"?"} for one in sets] for name, sets in needs.items()})
    names = sorted(ours & set(needs))
    found = removal.decide(names, simulate)
    assert sorted([*found.removable, *found.kept]) == names
    if found.removable:
        assert simulate(found.removable) <= set(found.removable)


HOME = "/var/lib/llmfleet"
PASSWD = {
    "root": ["x", "0", "0", "root", "/root", "/bin/bash"],
    "llm-vllm": ["x", "990", "990", "", HOME, "/usr/sbin/nologin"],
    "ai-web": ["x", "991", "991", "", HOME, "/usr/sbin/nologin"],
    "llm-admin": ["x", "1001", "1001", "A person", "/home/llm-admin", "/bin/bash"],
    "llm-backup": ["x", "1002", "1002", "", HOME, "/bin/sh"],
    "llm-other": ["x", "992", "992", "", "/srv/other", "/usr/sbin/nologin"],
}


@pytest.mark.parametrize(
    ("recorded", "ours"),
    [
        # Of an earlier version there is no record: home and shell tell its accounts from those of people.
        ([], ["llm-vllm"]),
        (["llm-vllm"], ["llm-vllm"]),
        # A name of another beginning, and one that is gone already.
        (["ai-web", "llm-gone"], ["ai-web", "llm-vllm"]),
    ],
)
def test_accounts_of_people_stay(recorded: list[str], ours: list[str]) -> None:
    assert removal.accounts(PASSWD, recorded, HOME) == ours
