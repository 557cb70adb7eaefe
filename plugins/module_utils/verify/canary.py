# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a new instance by its share of real traffic, against what the old ones of its model did.

Pure functions over what happened (`flow.py`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.verify.flow import Flow, Times

GOOD, BAD, OPEN, UNJUDGED = "good", "bad", "open", "unjudged"
# The probability with which an instance is called bad, though it fails no more often than is allowed.
FALSE_ALARM = 0.001
# The quantile of the normal distribution for 95 %, the probability with which old ones fail no more often than assumed.
Z = 1.645
# So many values lie beyond a quantile, or it is not compared.
BEYOND = 5
QUANTILES = (0.5, 0.95)
# Differences in seconds that are noise, as for a trial (`verdict.py`).
NOISE_FIRST, NOISE_TOKEN = 0.02, 0.002
# Preemptions per request that an instance may have anyway.
PREEMPTIONS = 0.1


class Rules(NamedTuple):
    """What is asked for: requests at least, shares beyond the old ones', how many times slower, and how often in all it
    is looked at."""

    requests: int
    errors: float
    aborts: float
    slower: float
    looks: int = 1


def upper(count: int, total: int) -> float:
    """Return the share that is not exceeded with 95 %: the upper end of Wilson's score interval.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    """
    if not total:
        return 0.0
    share, square = count / total, Z * Z
    root = Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return min(1.0, (share + square / (2 * total) + root) / (1 + square / total))


def beyond(count: int, total: int, allowed: float, looks: int = 1) -> bool:
    """Return whether a share is certainly above what is allowed.

    With the allowed share p, so many of n events have a probability of at most exp(-n D), where D is the divergence
    x ln(x/p) + (1-x) ln((1-x)/(1-p)) of the share x seen: W. Hoeffding, "Probability inequalities for sums of bounded
    random variables", JASA 58 (1963), theorem 1. It is looked at several times, so each look has its part of
    :data:`FALSE_ALARM` (Boole's inequality).
    """
    if not total or count / total <= allowed:
        return False
    if allowed <= 0:
        return True
    share = count / total
    divergence = share * math.log(share / allowed)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - allowed))
    return total * divergence >= math.log(looks / FALSE_ALARM)


def judge(new: Flow, old: Flow, rules: Rules, last: bool) -> tuple[str, list[str]]:
    """Return the verdict on a new instance, and why it is :data:`BAD`, a phrase each.

    Failures and aborts count at each look; times at the last one alone, when there are most of them.

    :param old: what the old ones did; without requests, none are assumed to have failed.
    :param last: whether this is the last look.
    """
    found = [
        *_share("failed", new.errors, new.requests, old.errors, old.requests, rules.errors, rules.looks),
        *_share("aborted", new.aborts, new.requests, old.aborts, old.requests, rules.aborts, rules.looks),
    ]
    if found or not last:
        return (BAD if found else OPEN), found
    if new.requests < rules.requests:
        return UNJUDGED, []
    if old.requests >= rules.requests:
        found = [
            *_first_token(new.first_token, old.first_token, rules),
            *_token(new.token, old.token, rules),
            *_preempted(new, old, rules),
        ]
    return (BAD if found else GOOD), found


def _share(what: str, count: int, total: int, before: int, of: int, more: float, looks: int) -> list[str]:
    allowed = min(1.0, upper(before, of) + more)
    if not beyond(count, total, allowed, looks):
        return []
    than = f"old ones {before} of {of}" if of else "and there is nothing to compare it with"
    return [f"{count} of {total} requests {what}, {than}"]


def _first_token(new: Times, old: Times, rules: Rules) -> list[str]:
    """Return which quantile of the seconds to the first token is too high.

    Bounds of buckets are far apart. So either the buckets alone prove that it is, or both the interpolated quantile and
    the mean, which is exact, are.
    """
    for share in QUANTILES:
        if min(new.values, old.values) < max(rules.requests, round(BEYOND / (1 - share))):
            continue
        ours, theirs = new.quantile(share) or 0.0, old.quantile(share) or 0.0
        highest = old.bucket(share)[1]
        proven = highest is not None and new.bucket(share)[0] > rules.slower * highest
        likely = ours > rules.slower * theirs and (new.mean or 0) > rules.slower * (old.mean or 0)
        if (proven or likely) and ours - theirs > NOISE_FIRST:
            return [_slower(f"to the first token in {share:.0%} of requests", ours, theirs, rules)]
    return []


def _token(new: Times, old: Times, rules: Rules) -> list[str]:
    """Return whether the mean seconds from one token to the next are too many; the first bucket holds most of them."""
    ours, theirs = new.mean, old.mean
    if ours is None or theirs is None or min(new.values, old.values) < rules.requests:
        return []
    if ours <= rules.slower * theirs or ours - theirs <= NOISE_TOKEN:
        return []
    return [_slower("from one token to the next", ours, theirs, rules)]


def _slower(what: str, ours: float, theirs: float, rules: Rules) -> str:
    least = f"more than {rules.slower:g} times the old ones' {theirs * 1000:.1f} ms"
    return f"it takes up to {ours * 1000:.1f} ms {what}, {least}"


def _preempted(new: Flow, old: Flow, rules: Rules) -> list[str]:
    ours, theirs = new.preemptions / new.requests, old.preemptions / old.requests
    if ours <= rules.slower * theirs or ours - theirs <= PREEMPTIONS:
        return []
    return [f"{new.preemptions} preemptions in {new.requests} requests, old ones {old.preemptions} in {old.requests}"]


def figures(one: Flow) -> dict[str, Any]:
    """Return what is told of a flow: requests, shares, preemptions, and seconds, null where they are not known."""
    half, most = (one.first_token.quantile(share) for share in QUANTILES)
    return {
        "requests": one.requests,
        "error_share": _rounded(one.errors / one.requests if one.requests else None),
        "abort_share": _rounded(one.aborts / one.requests if one.requests else None),
        "preemptions": one.preemptions,
        "first_token_p50": _rounded(half),
        "first_token_p95": _rounded(most),
        "token_seconds": _rounded(one.token.mean),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def told(new: dict[str, Any], old: dict[str, Any]) -> str:
    """Return figures of both as one line."""
    rows = [
        ("requests", "{}", 1),
        ("error_share", "{:.1f} % failed", 100),
        ("first_token_p50", "first token p50 {:.1f} ms", 1000),
        ("first_token_p95", "p95 {:.1f} ms", 1000),
        ("token_seconds", "{:.1f} ms from one token to the next", 1000),
        ("preemptions", "{} preemptions", 1),
    ]

    def line(one: dict[str, Any]) -> str:
        return ", ".join(text.format(one[key] * times) for key, text, times in rows if one[key] is not None)

    return f"requests: new {line(new)}; old {line(old)}"
