# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of overheads against what starts took that their users published: data/measured/public-logs.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils import estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import estimates, sizing

GIB = 1024**3
LOGS = json.loads((Path(__file__).parents[1] / "data" / "measured" / "public-logs.json").read_text())["starts"]
CARDS: dict[str, tuple[tuple[int, int], float]] = {
    "L40S": ((8, 9), 44.4),
    "A100": ((8, 0), 39.4),
    "RTX A6000": ((8, 6), 47.5),
    "H100": ((9, 0), 79.1),
    "H200": ((9, 0), 139.8),
    "B200": ((10, 0), 178.4),
    "RTX 5060 Ti": ((12, 0), 15.5),
    "RTX 5090": ((12, 0), 31.4),
    "RTX PRO 6000": ((12, 0), 95.0),
}


def kind(hidden: int, layers: int, vocabulary: int = 151_936, *types: str, **more: Any) -> dict[str, Any]:
    """Return the facts of a model that overheads depend on."""
    said = [{"type": name, "count": 1} for name in types or ("full_attention",)]
    return {"hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": vocabulary, "layers": said, **more}


KINDS = {
    "dense-8b": kind(4096, 32, 128_256),
    "dense-14b": kind(5120, 40),
    "dense-32b": kind(5120, 64),
    "dense-70b": kind(8192, 80, 128_256),
    "moe-235b": kind(4096, 94, num_experts=128),
    "mla-671b": kind(7168, 61, 129_280, "mla", num_experts=256),
    "sparse-750b": kind(6144, 78, 154_880, "mla", "indexer", num_experts=256),
    "hybrid-27b": kind(5120, 64, 248_320, "full_attention", "linear_attention", multimodal=True),
    "hybrid-9b": kind(4096, 32, 248_320, "full_attention", "linear_attention", multimodal=True),
    "gemma-3-4b": kind(2560, 34, 262_208, multimodal=True, model_type="gemma3"),
    "gemma-4-26b": kind(2816, 30, 262_144, multimodal=True, model_type="gemma4", num_experts=128),
}


class Card:
    """A card of a log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.capability, total = CARDS[name]
        self.total = int(total * GIB)


def parts(log: dict[str, Any]) -> tuple[Card, dict[str, Estimate], int]:
    """Return the card of a log, the estimates for its start, and the sampling in them, which vLLM's log lacks."""
    card, facts = Card(log["card"]), KINDS[log["kind"]]
    args = {} if log["images"] else {"language-model-only": True}
    if log.get("eager"):
        args["enforce-eager"] = True
    found = sizing.overheads(facts, args, card, None, log["tensor"], log["tokens"], log["sequences"])
    return card, found, sizing.logits(facts, log["sequences"])


def named(log: dict[str, Any]) -> str:
    return f"{log['kind']} on {log['tensor']} x {log['card']}, {log['tokens']} tokens, {log['gib']} GiB"


@pytest.mark.parametrize("log", LOGS, ids=named)
def test_no_start_took_more_than_estimate_and_margin(log: dict[str, Any]) -> None:
    card, found, sampling = parts(log)
    planned = sum(part.planned for part in found.values()) - sampling
    margin = estimate.margin(found.values()) + card.total // 100
    # CUDA's context is planned with 2 % of the card and took a third of it where it was measured.
    assert log["gib"] * GIB <= planned + margin
    # Nothing is promised where a log tells less than half: a start with two sequences, or without compiling anew.
    whole = estimate.together(found.values())
    assert whole.low - sampling // sizing.LOGITS_COPIES <= log["gib"] * GIB <= whole.high


def test_the_margin_is_no_flat_share() -> None:
    shares = {}
    for log in LOGS:
        card, found, _sampling = parts(log)
        shares[named(log)] = estimate.margin(found.values()) / card.total + 0.01
    assert min(shares.values()) < 0.02
    assert max(shares.values()) > 0.04


def test_every_row_of_the_table_can_be_reached_and_is_told() -> None:
    kinds = [set(), *({name} for name in estimates.NAMES)]
    classes = (estimates.HOPPER, estimates.BLACKWELL, estimates.RTX, estimates.OLDER, estimates.ANY)
    reached = {estimates.row(one.part, of, card) for one in estimates.TABLE for of in kinds for card in classes}
    assert reached == set(estimates.TABLE)
    for one in estimates.TABLE:
        assert 0 < one.low <= 1 <= one.high
        assert one.source
        assert one.kind in (estimates.ANY, *estimates.NAMES)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ((7, 5), "OLDER"),
        ((8, 9), "OLDER"),
        ((9, 0), "HOPPER"),
        ((10, 3), "BLACKWELL"),
        ((11, 0), "BLACKWELL"),
        ((12, 0), "RTX"),
        ((12, 1), "ANY"),
        ((13, 0), "OLDER"),
    ],
)
def test_cards_are_of_a_class(card: tuple[int, int], name: str) -> None:
    assert estimates.card_class(card) == getattr(estimates, name)


def test_a_row_of_a_later_release_counts_from_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    later = estimates.row(estimates.GRAPHS, (), estimates.HOPPER)._replace(since=(0, 40), low=0.5)
    monkeypatch.setattr(estimates, "TABLE", (*estimates.TABLE, later))
    assert estimates.row(estimates.GRAPHS, (), estimates.HOPPER, (0, 39)).low == 0.1
    assert estimates.row(estimates.GRAPHS, (), estimates.HOPPER, (0, 41)) == later


def test_activations_grow_with_tokens_and_shrink_with_ranks() -> None:
    dense, experts, card = KINDS["dense-8b"], KINDS["moe-235b"], Card("H100")

    def taken(facts: dict[str, Any], tensor: int, tokens: int, sequences: int) -> int:
        return sizing.overheads(facts, {}, card, None, tensor, tokens, sequences)["activation"].planned

    assert taken(dense, 1, 2048, 256) == 2 * 2048 * 4096 * 11 + 3 * 256 * 128256 * 4
    assert taken(dense, 2, 2048, 0) == int(2 * 2048 * 4096 * 6.5)
    # Widths between the measured ones are taken as the next smaller one.
    assert taken(dense, 3, 2048, 0) == taken(dense, 2, 2048, 0)
    assert taken(dense, 16, 2048, 0) == taken(dense, 8, 2048, 0)
    assert taken(experts, 1, 2048, 0) == 2 * 2048 * 4096 * 22
    assert taken(experts, 8, 2048, 0) == 2 * 2048 * 4096 * 20


@pytest.mark.parametrize(
    ("card", "of", "gib"),
    [
        ((9, 0), "gemma-3-4b", 4.0),
        ((10, 0), "hybrid-27b", 4.0),
        ((9, 0), "hybrid-27b", 1.0),
        ((12, 0), "hybrid-27b", 7.2),
        ((12, 1), "gemma-3-4b", 4.0),
        ((12, 0), "gemma-4-26b", 1.0),
        ((9, 0), "gemma-4-26b", 4.0),
    ],
)
def test_encoders_of_images_by_card(card: tuple[int, int], of: str, gib: float) -> None:
    kinds = estimates.traits(KINDS[of])
    found = estimates.sized(estimates.ENCODER, kinds, estimates.card_class(card), 8192)
    assert found.planned == pytest.approx(gib * GIB, rel=1e-6)


def test_errors_of_different_causes_do_not_add_up() -> None:
    said = [Estimate(10, 5, 13), Estimate(10, 9, 14), Estimate(10, 1, 10), Estimate(10, 1, 8)]
    assert estimate.margin(said) == 5
    assert estimate.margin([]) == 0
    assert estimate.together(said) == Estimate(40, 16, 45, "", "")
    assert estimate.exact(100) == Estimate(100, 95, 105)
