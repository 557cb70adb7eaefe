# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How cards are written, and what machines with them would tell of themselves."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import machines


def names(text: str) -> list[list[str]]:
    return [[card.name for card in machine] for machine in machines.parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L4", [["L4"]]),
        ("2 x L4", [["L4", "L4"]]),
        ("2xL4", [["L4", "L4"]]),
        ("2 X l4", [["L4", "L4"]]),
        ("2 × L4", [["L4", "L4"]]),
        ("2*L4", [["L4", "L4"]]),
        ("4090", [["RTX 4090"]]),
        ("2 x 4090", [["RTX 4090", "RTX 4090"]]),
        ("1 x L40S + 2 x H100", [["L40S", "H100", "H100"]]),
        ("2 x (2 x H100)", [["H100", "H100"], ["H100", "H100"]]),
        ("(L4 + T4) + (L4)", [["L4", "T4"], ["L4"]]),
        ("T4 + 2 x (L4)", [["T4"], ["L4"], ["L4"]]),
        ("2 x (GB10)", [["GB10"], ["GB10"]]),
    ],
)
def test_the_grammar(text: str, expected: list[list[str]]) -> None:
    assert names(text) == expected
    assert names(machines.written(machines.parse(text))) in (expected, sorted(expected))


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("8 x H300", "no card is known as H300", "did you mean H"),
        ("A100", "no card is known as A100", "A100 40GB or A100 40GB PCIe or A100 80GB"),
        ("2 x Radeon", "no card is known as Radeon", "write it like"),
        ("", "a card is missing", "8 x H200"),
        ("2 x", "a card is missing", "8 x H200"),
        ("L4 +", "a card is missing", "8 x H200"),
        ("0 x L4", "it asks for no card", "8 x H200"),
        ("2 x (L4", "its parentheses do not match", "2 x (8 x H100)"),
        ("L4)", "its parentheses do not match", "2 x (8 x H100)"),
        ("((L4))", "its parentheses do not match", "2 x (8 x H100)"),
        ("16 x H100", "one machine has 8 x H100 at most", 'write several machines as "2 x (8 x H100)"'),
        ("2 x GB10", "one machine has 1 x GB10 at most", 'write several machines as "2 x (1 x GB10)"'),
        ("64 x L4", "a machine has no 64 cards", 'write several machines as "8 x (8 x L4)"'),
        ("9 x L4 + 9 x T4", "a machine has no 18 cards", "write it like"),
        ("99 x (L4)", "99 machines are more than 64", "ask for fewer"),
        ("40 x (L4) + 40 x (T4)", "80 machines are more than 64", "ask for fewer"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        machines.parse(text, "add_hosts")
    (found,) = caught.value.problems
    assert (found.variable, found.value) == ("add_hosts", text)
    assert problem in found.problem
    assert remedy in found.remedy


def test_uuids_are_unique_and_names_short() -> None:
    hosts = machines.hosts(machines.parse("2 x (2 x L4)"), "added")
    assert list(hosts) == ["added-1", "added-2"]
    uuids = [gpu["uuid"] for host in hosts.values() for gpu in host["gpu_facts"]["gpus"]]
    assert len(set(uuids)) == 4
    assert list(machines.hosts(machines.parse("L4"), "added")) == ["added"]
