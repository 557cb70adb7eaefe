# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other way round: which cards serve a model for so many users at a context. Pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.cards import CARDS, Card
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import answer, machines
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.question import Question

# Numbers of replicas that are tried.
REPLICAS = (1, 2, 3, 4, 6, 8, 12, 16)


def choices(question: Question) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the cards that serve what is asked, the fewest and smallest first, and the others with the reasons.

    Each entry of the first list has `card`, `cards` (how many), `machines`, `memory_gib` of all of them, and what
    `answer.served` tells.
    """
    fitting, others = [], []
    model = question.model()
    for card in CARDS:
        found, reason = _fewest(question, model, card)
        if found is None:
            others.append({"card": card.name, "reason": reason})
        else:
            fitting.append(found)
    fitting.sort(key=lambda one: (one["cards"], one["memory_gib"], one["card"]))
    return fitting, others


def _fewest(question: Question, model: dict[str, Any], card: Card) -> tuple[dict[str, Any] | None, str]:
    """Return the fewest cards of a kind that serve what is asked, else why none do.

    Replicas do not share cards, so that the plan of one tells how many each of them takes.
    """
    hosts = machines.hosts([[card] * card.per_machine])
    users, own = model["concurrency"], question.raw.get("replicas")
    numbers = [int(own)] if own else [number for number in REPLICAS if number <= (users or 1)]
    plans = {numbers[-1]: _plan(question, model, hosts, users, numbers[-1])}
    if plans[numbers[-1]]["problems"]:
        # Even the smallest share of the users does not fit.
        return None, _reason(plans[numbers[-1]])
    low, high = 0, len(numbers) - 1
    while low < high:
        # The more replicas, the smaller the share of each.
        middle = (low + high) // 2
        plans[numbers[middle]] = _plan(question, model, hosts, users, numbers[middle])
        low, high = (low, middle) if not plans[numbers[middle]]["problems"] else (middle + 1, high)
    best = _entry(card, plans[numbers[low]], numbers[low])
    for replicas in numbers[low + 1 :]:
        if replicas >= best["cards"]:
            break
        other = _entry(card, plans.get(replicas) or _plan(question, model, hosts, users, replicas), replicas)
        best = other if other["cards"] < best["cards"] else best
    return best, ""


def _reason(plan: dict[str, Any]) -> str:
    return str(plan["unplaced"][0]["reason"] if plan["unplaced"] else plan["problems"][0]["problem"])


def _plan(
    question: Question, model: dict[str, Any], hosts: dict[str, Any], users: int | None, replicas: int
) -> dict[str, Any]:
    """Return the plan of one of several replicas, with its share of the users."""
    share = -(-users // replicas) if users else None
    return question.plan({**model, "replicas": 1, "concurrency": share}, hosts)


def _entry(card: Card, plan: dict[str, Any], replicas: int) -> dict[str, Any]:
    told = answer.served(plan)
    each = told["cards_per_replica"]
    used = replicas * each
    at_once = told["concurrency"]
    return {
        **told,
        "card": card.name,
        "cards": used,
        "cards_used": used,
        "machines": -(-replicas // (card.per_machine // each)),
        "memory_gib": round(used * card.memory_gib, 1),
        "replicas": replicas,
        "concurrency": None if at_once is None else round(replicas * at_once, 4),
    }
