# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent in a benchmark: a list of points, each a number of requests at a rate or at once. Pure functions.

The program `bench_serve.py` of an engine's role sends them in this order. It alone knows the rate that full load
reached, so the rates of a sweep are shares of it.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

ONE, FULL, CONTEXT = "one", "full", "context"
# Shares of the rate at full load: the last is more than the engine can carry.
SHARES = (0.25, 0.5, 0.75, 0.9, 1.25)
REQUESTS_ALONE = 4
# Prompts and answers whose lengths are not given.
INPUT_LEN, OUTPUT_LEN = 1024, 128
# Tokens of a context that stay free: tokenizers do not give random tokens back exactly, and some add one.
SPARE = 16
SPARE_SHARE = 50
SECONDS_TO_BEGIN = 60


def lengths(context: int, input_len: int | None, output_len: int | None) -> tuple[int, int]:
    """Return the tokens of prompts and of answers: those given, else what a context has room for twice."""
    return input_len or max(4, min(INPUT_LEN, context // 2)), output_len or max(2, min(OUTPUT_LEN, context // 8))


def at_once(instances: Sequence[Mapping[str, Any]], tokens: int) -> int:
    """Return how many requests of so many tokens the plan lets instances compute at once."""
    return sum(_capacity(one, tokens) for one in instances)


def _capacity(instance: Mapping[str, Any], tokens: int) -> int:
    sequences = int(instance.get("max_num_seqs") or 1)
    cache = instance.get("kv_cache_tokens")
    return max(1, min(sequences, int(cache) // tokens)) if cache else sequences


def promised(instances: Sequence[Mapping[str, Any]]) -> int:
    """Return how many requests of full context the plan promises to compute at once."""
    whole = (max(1, int(one.get("max_concurrency") or 1)) for one in instances)
    return sum(min(number, int(one.get("max_num_seqs") or number)) for number, one in zip(whole, instances))


def points(wanted: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], context: int) -> list[dict[str, Any]]:
    """Return the points: one request at a time; the rates that are given, or full load and a sweep; the whole context.

    :param wanted: `seconds`, `requests`, `rates`, `input_len` and `output_len`.
    :param context: tokens of a prompt and its answer together, at most.
    """
    seconds, most = wanted["seconds"], wanted["requests"]
    found: list[dict[str, Any]] = [{"name": ONE, "at_once": 1, "requests": REQUESTS_ALONE}]
    if wanted["rates"]:
        rates = wanted["rates"]
        found += [{"name": f"{rate:g}/s", "rate": rate, "requests": most, "seconds": seconds} for rate in rates]
    else:
        together = min(most, at_once(instances, wanted["input_len"] + wanted["output_len"]))
        found.append({"name": FULL, "at_once": together, "requests": most, "seconds": seconds})
        found += [{"name": f"{share:.0%}", "share": share, "requests": most, "seconds": seconds} for share in SHARES]
    together = min(most, promised(instances))
    whole = context - wanted["output_len"] - max(SPARE, context // SPARE_SHARE)
    if whole > wanted["input_len"]:
        found.append({"name": CONTEXT, "at_once": together, "requests": together, "input_len": whole})
    return found


def seconds(found: list[dict[str, Any]], of_rate: int) -> int:
    """Return the seconds in which all points have to end: twice those of each rate, and four times those of others."""
    return SECONDS_TO_BEGIN + sum(of_rate * (4 if "at_once" in point else 2) for point in found)
