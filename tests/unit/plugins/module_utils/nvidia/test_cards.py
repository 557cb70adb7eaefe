# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of cards: names that find them, and numbers that agree with recorded output of nvidia-smi."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import islands

RECORDED = Path(__file__).parents[1] / "data/nvidia_smi"


@pytest.mark.parametrize("card", cards.CARDS, ids=lambda card: card.name)
def test_all_names_of_a_card_find_it(card: cards.Card) -> None:
    for name in (card.name, card.product_name, card.name.lower(), card.name.replace(" ", ""), *card.also):
        assert cards.find(name) == card, name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("5090", "RTX 5090"),
        ("4090", "RTX 4090"),
        ("GeForce RTX 3090", "RTX 3090"),
        ("nvidia l40s", "L40S"),
        ("H100 SXM5", "H100"),
        ("A100-80GB", "A100 80GB"),
        ("A100 SXM4 40 GB", "A100 40GB"),
        ("RTX PRO 6000 Blackwell", "RTX PRO 6000"),
        ("DGX Spark", "GB10"),
    ],
)
def test_people_write_names_in_many_ways(text: str, name: str) -> None:
    found = cards.find(text)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("text", ["", "NVIDIA", "A100", "H300", "100", "RTX", "x"])
def test_what_names_no_card_or_several_finds_none(text: str) -> None:
    assert cards.find(text) is None


def test_the_table_has_what_was_recorded() -> None:
    seen = set()
    # The lost GPU is of a stand-in for NVML, whose memory is made up.
    for path in sorted(set(RECORDED.glob("*.xml")) - {RECORDED / "gb200-lost.xml"}):
        for element in re.findall(r"<gpu id=.*?</gpu>", path.read_text(), re.S):
            element = re.sub(r"<mig_devices>.*?</mig_devices>", "", element, flags=re.S)
            name = re.findall(r"<product_name>(.*?)</product_name>", element)
            memory = re.search(r"<fb_memory_usage>.*?</fb_memory_usage>", element, re.S)
            total = re.search(r"<total>(\d+) MiB</total>", memory.group(0)) if memory else None
            reserved = re.search(r"<reserved>(\d+) MiB</reserved>", memory.group(0)) if memory else None
            card = cards.find(name[0]) if name else None
            # Drivers before 510 told the memory without what is reserved.
            if card is None or total is None or reserved is None:
                continue
            assert (card.product_name, card.memory_mib) == (name[0], int(total.group(1))), path.name
            if card.reserved_mib is not None:
                # Older drivers keep less.
                assert int(reserved.group(1)) <= card.reserved_mib, path.name
            seen.add(card.name)
    assert {"H100", "L40S", "T4", "RTX 3080", "A100 80GB"} <= seen


def test_links_are_those_of_switches_bridges_and_nothing() -> None:
    h100, a6000, l4 = (cards.find(name) for name in ("H100", "RTX A6000", "L4"))
    assert h100 is not None
    assert a6000 is not None
    assert l4 is not None
    assert islands(4, {"matrix": cards.links([h100] * 4)}) == [0, 0, 0, 0]
    assert islands(4, {"matrix": cards.links([a6000] * 4)}) == [0, 0, 2, 2]
    assert islands(3, {"matrix": cards.links([l4] * 3)}) == [0, 1, 2]
    assert islands(3, {"matrix": cards.links([h100, l4, h100])}) == [0, 1, 0]
