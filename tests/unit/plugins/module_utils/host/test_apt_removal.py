# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Callable

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import apt_removal
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
    assert apt_removal.touched(SIMULATION) == {"postgresql-client-15", "libpq5", "libpq-dev"}
    assert apt_removal.touched("") == set()
    assert apt_removal.touched("", 100) == {apt_removal.REFUSED}


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
    assert apt_removal.decide(ours, apt(needs)) == apt_removal.Removal(removable, kept)


def test_what_apt_get_refuses_stays() -> None:
    found = apt_removal.decide(["a", "base"], lambda names: apt_removal.touched("Purg a []", int("base" in names)))
    assert found == apt_removal.Removal(["a"], {"base": [apt_removal.REFUSED]})


def test_nothing_is_asked_where_nothing_is_ours() -> None:
    assert apt_removal.decide([], lambda names: pytest.fail("asked")) == apt_removal.Removal([], {})


NAMES = "abcdef"


@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sets(st.sampled_from(NAMES), min_size=1), max_size=3)),
    st.sets(st.sampled_from(NAMES)),
)
def test_nothing_foreign_is_ever_touched(needs: dict[str, list[set[str]]], ours: set[str]) -> None:
    simulate = apt({name: [one & set(needs) or {"?"} for one in sets] for name, sets in needs.items()})
    names = sorted(ours & set(needs))
    found = apt_removal.decide(names, simulate)
    assert sorted([*found.removable, *found.kept]) == names
    if found.removable:
        assert simulate(found.removable) <= set(found.removable)
