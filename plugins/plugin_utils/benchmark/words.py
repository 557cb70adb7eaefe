# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of playbooks/benchmark.yml: their defaults, their bounds, and what is wrong with them. Pure functions."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils import digits, lists
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

FORMATS = ("table", "json")
MOST_RATES = 8
RATES = (0.01, 1000.0)
# Least and most of whole numbers.
BOUNDS = {"seconds": (1, 600), "requests": (4, 20_000), "input_len": (4, 1_000_000), "output_len": (2, 100_000)}
DEFAULTS = {"seconds": 30, "requests": 1000}


def read(words: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the words with their defaults, and what is wrong with them.

    `seconds` and `requests` are those of one rate at most, `rates` are requests per second (none asks for a sweep), and
    `input_len` and `output_len` are tokens or null.
    """
    problems = []
    found: dict[str, Any] = {name: str(words.get(name) or "") for name in ("model", "through")}
    if not found["model"]:
        problems.append(Problem("model", None, "nothing is measured", "write -e model=NAME, a name in llm_models"))
    form = words.get("format") or FORMATS[0]
    if form not in FORMATS:
        problems.append(Problem("format", form, "there is no such form", f"give one of {', '.join(FORMATS)}"))
    for name, (least, most) in BOUNDS.items():
        given = words.get(name)
        found[name] = DEFAULTS.get(name) if given in (None, "") else digits.whole(given)
        if given not in (None, "") and not least <= (found[name] or 0) <= most:
            remedy = f"give a whole number from {least} to {most}"
            problems.append(Problem(name, given, "it is out of bounds", remedy))
    found["rates"], wrong = _rates(words.get("rates"))
    return found, problems + wrong


def _rates(given: Any) -> tuple[list[float], list[Problem]]:
    """Return rates in rising order, and what is wrong with them."""
    names = lists.names(given)
    remedy = f"give up to {MOST_RATES} numbers from {RATES[0]:g} to {RATES[1]:g}, such as 1,2,4"
    try:
        rates = sorted({float(name) for name in names})
    except ValueError:
        return [], [Problem("rates", given, "it is no list of numbers", remedy)]
    # A comparison with what is no number is false.
    if len(rates) > MOST_RATES or not all(RATES[0] <= rate <= RATES[1] for rate in rates):
        return [], [Problem("rates", given, "it is out of bounds", remedy)]
    return rates, []
