# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines with cards that nobody has yet: how they are written, and what they would tell of themselves.

    cards    = part { "+" part }
    part     = [ NUMBER "x" ] CARD | [ NUMBER "x" ] "(" inside ")"
    inside   = [ NUMBER "x" ] CARD { "+" [ NUMBER "x" ] CARD }

What stands in parentheses is one machine; what stands outside is in one machine together. Pure functions.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.cards import SWITCHED, Card
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError

EXAMPLES = 'write it like "8 x H200", "2 x L40S + 1 x H100" or "2 x (8 x H100)"'
MOST_CARDS, MOST_MACHINES = 16, 64
# Nobody plans a machine whose processors and memory are too small for its cards: these numbers limit nothing.
VCPUS, HOST_MEMORY_MIB = 64, 1024 * 1024
_COUNTED = re.compile(r"(?:(\d{1,9})\s*[x×*]\s*)?(.*)", re.IGNORECASE | re.DOTALL)


class _RefusedError(ValueError):
    """A part of the text cannot be read: why, and the remedy."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def parse(text: Any, variable: str = "cards") -> list[list[Card]]:
    """Return the cards of each machine that a text names.

    :param variable: how messages name the text.
    :raises ProblemsError: it cannot be read, or names a card that is not in the table.
    """
    try:
        return _machines(str(text))
    except _RefusedError as refused:
        raise ProblemsError([Problem(variable, text, refused.problem, refused.remedy)]) from refused


def _machines(text: str) -> list[list[Card]]:
    together: list[Card] = []
    machines: list[list[Card]] = []
    for part in _parts(text):
        times, rest = _counted(part)
        if rest.startswith("(") and rest.endswith(")"):
            inside = [card for one in _parts(rest[1:-1]) for card in _cards(one)]
            if times > MOST_MACHINES:
                raise _RefusedError(f"{times} machines are more than {MOST_MACHINES}", "ask for fewer")
            machines += [inside] * times
        else:
            together += _cards(part)
    found = ([together] if together else []) + machines
    if len(found) > MOST_MACHINES:
        raise _RefusedError(f"{len(found)} machines are more than {MOST_MACHINES}", "ask for fewer")
    for machine in found:
        _check(machine)
    return found


def _parts(text: str) -> list[str]:
    """Return the parts between plus signs that stand outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth not in (0, 1):
            raise _RefusedError("its parentheses do not match", EXAMPLES)
        if letter == "+" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth or not all(part.strip() for part in parts):
        raise _RefusedError("its parentheses do not match" if depth else "a card is missing", EXAMPLES)
    return [part.strip() for part in parts]


def _counted(part: str) -> tuple[int, str]:
    match = _COUNTED.fullmatch(part)
    number, rest = match.groups() if match else (None, part)
    times = 1 if number is None else int(number)
    if times < 1 or not rest.strip():
        raise _RefusedError("it asks for no card" if times < 1 else "a card is missing", EXAMPLES)
    return times, rest.strip()


def _cards(part: str) -> list[Card]:
    times, name = _counted(part)
    card = cards.find(name)
    if card is None:
        raise _RefusedError(f"no card is known as {name}", _nearest(name))
    if times > MOST_CARDS:
        raise _RefusedError(f"a machine has no {times} cards", _split(card, times))
    return [card] * times


def _nearest(name: str) -> str:
    """Return the advice for an unknown card: the nearest names."""
    known = {cards.key(one): one for one in cards.names()}
    own = cards.key(name)
    close = [known[one] for one in known if own and one.startswith(own)] or [
        known[one] for one in difflib.get_close_matches(own, known, n=3, cutoff=0.5)
    ]
    if close:
        return f"did you mean {' or '.join(close[:6])}"
    return f"{EXAMPLES}; known are {', '.join(cards.names())}"


def _check(machine: list[Card]) -> None:
    """Refuse a machine that cannot be built."""
    if len(machine) > MOST_CARDS:
        raise _RefusedError(f"a machine has no {len(machine)} cards", EXAMPLES)
    for card in dict.fromkeys(machine):
        count = machine.count(card)
        whole = card.joined == SWITCHED or card.per_machine == 1
        if whole and count > card.per_machine:
            text = f"one machine has {card.per_machine} x {card.name} at most"
            raise _RefusedError(text, _split(card, count))


def _split(card: Card, count: int) -> str:
    """Return the advice for more cards than a machine has: how several machines are written."""
    machines = -(-count // card.per_machine)
    return f'write several machines as "{machines} x ({card.per_machine} x {card.name})"'


def host(machine: list[Card], name: str) -> dict[str, Any]:
    """Return what a machine would tell of itself, as the plan takes it.

    :param name: its name, from which the uuids of its cards are made.
    """
    gpus = [cards.gpu(card, index, f"GPU-{name}-{index}") for index, card in enumerate(machine)]
    unified = next((card.memory_mib for card in machine if card.unified), HOST_MEMORY_MIB)
    return {
        "device": "cuda",
        "address": "127.0.0.1",
        "gpus": [],
        "gpu_facts": {"gpus": gpus, "topology": {"matrix": cards.links(machine)}, "error": None},
        "cpu": {"cores": "", "vcpus": VCPUS, "memory_mib": unified},
        "own_pids": [],
        "instances": [],
        "measured": [],
    }


def hosts(machines: list[list[Card]], prefix: str = "machine") -> dict[str, dict[str, Any]]:
    """Return what these machines would tell of themselves, by name."""
    names = [prefix] if len(machines) == 1 else [f"{prefix}-{number + 1}" for number in range(len(machines))]
    return {name: host(machine, name) for name, machine in zip(names, machines)}


def written(machines: list[list[Card]]) -> str:
    """Return machines in the form in which they are asked for."""
    texts = [
        " + ".join(f"{machine.count(card)} x {card.name}" for card in dict.fromkeys(machine)) for machine in machines
    ]
    if len(texts) == 1:
        return texts[0]
    return " + ".join(f"{texts.count(one)} x ({one})" for one in dict.fromkeys(texts))
