# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened between two readings of an engine's counters, and the verdict on a new one."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.verify import canary, flow
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.flow import Flow, Times

# The buckets of vLLM's histogram of seconds to the first token, up to ten seconds.
BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
RULES = canary.Rules(requests=20, errors=0.02, aborts=0.2, slower=3.0, looks=20)


def times(*values: float) -> Times:
    return Times(len(values), sum(values), {bound: sum(one <= bound for one in values) for bound in BOUNDS})


def reading(requests: int = 0, **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("errors", "aborts", "failed_answers", "preemptions"), 0)
    return {"started": None, "first_token": None, "token": None, "requests": requests, **counts, **more}


def test_what_happened_is_the_difference_of_two_readings() -> None:
    first = {"count": 2, "total": 0.2, "buckets": [[0.1, 1], [0.5, 2]]}
    later = {"count": 5, "total": 1.4, "buckets": [[0.1, 1], [0.5, 4]]}
    found = flow.between(reading(7, first_token=first), reading(12, first_token=later, preemptions=2))
    assert (found.requests, found.preemptions, found.token) == (5, 2, Times())
    assert found.first_token.values == 3
    assert found.first_token.mean == pytest.approx(0.4)
    assert dict(found.first_token.buckets) == {0.1: 0, 0.5: 2}
    assert flow.between(None, reading(12)).requests == 12


@pytest.mark.parametrize(
    ("now", "requests", "errors"),
    [
        # An answer of 500 that the engine itself calls an error is one, and one that it never saw is a request, too.
        (reading(10, errors=2, failed_answers=2), 10, 2),
        (reading(10, errors=0, failed_answers=3), 13, 3),
        # A stream that had begun ends with an error after its status.
        (reading(10, errors=3, failed_answers=1), 10, 3),
    ],
)
def test_an_error_is_counted_once(now: dict[str, Any], requests: int, errors: int) -> None:
    found = flow.between(reading(), now)
    assert (found.requests, found.errors) == (requests, errors)


@pytest.mark.parametrize(
    ("began", "now", "expected"),
    [
        (reading(5), reading(5), False),
        (reading(5), reading(4), True),
        (reading(5, failed_answers=1), reading(6), True),
        (reading(5, started=100.0), reading(9, started=100.0), False),
        # It has counted more since its new start than before.
        (reading(5, started=100.0), reading(9, started=130.0), True),
    ],
)
def test_a_reset_of_the_counters_is_seen(began: dict[str, Any], now: dict[str, Any], expected: bool) -> None:
    assert flow.restarted(began, now) is expected


def test_flows_of_several_instances_are_added() -> None:
    one, other = Flow(3, 1, first_token=times(0.05, 0.3)), Flow(4, 0, 2, 1, times(0.3))
    both = flow.together([one, other, Flow()])
    assert both[:4] == (7, 1, 2, 1)
    assert both.first_token == times(0.05, 0.3, 0.3)
    # Those of another version may have other bounds.
    odd = Flow(first_token=Times(1, 0.2, {0.1: 0, 0.3: 1}))
    assert dict(flow.together([one, odd]).first_token.buckets) == {0.1: 1}


def test_a_quantile_is_interpolated_in_its_bucket() -> None:
    assert Times(4, 1.0, {0.1: 0, 0.5: 4}).quantile(0.5) == pytest.approx(0.3)
    assert Times(4, 99.0, {0.1: 0, 0.5: 1}).quantile(0.95) == 0.5
    assert Times().quantile(0.5) is None


def verdict(new: Flow, old: Flow, last: bool = True) -> str:
    return canary.judge(new, old, RULES, last)[0]


OLD = Flow(500, 1, first_token=times(*[0.09] * 500), token=Times(5000, 25.0))


def fast(requests: int, **more: Any) -> Flow:
    seconds = {"first_token": times(*[0.09] * requests), "token": Times(requests * 10, requests * 0.05)}
    return Flow(requests, **{**seconds, **more})


@pytest.mark.parametrize(
    ("new", "old", "last", "expected"),
    [
        # Nothing yet, and nothing at the end.
        (Flow(), OLD, False, canary.OPEN),
        (Flow(), OLD, True, canary.UNJUDGED),
        (Flow(19), OLD, True, canary.UNJUDGED),
        (fast(40), OLD, False, canary.OPEN),
        (fast(40), OLD, True, canary.GOOD),
        # Tiny counts: one failure, or two, are no proof; a handful without one success is.
        (Flow(1, 1), OLD, False, canary.OPEN),
        (Flow(2, 2), OLD, False, canary.OPEN),
        (Flow(5, 5), OLD, False, canary.BAD),
        (Flow(200, 60), OLD, False, canary.BAD),
        (fast(200, errors=4), OLD, True, canary.GOOD),
        # The old ones fail as often.
        (Flow(200, 60), Flow(1000, 300), False, canary.OPEN),
        # Nothing to compare with: the allowance counts alone.
        (Flow(6, 6), Flow(), False, canary.BAD),
        (fast(40), Flow(), True, canary.GOOD),
        # Clients that leave are another matter than errors.
        (fast(40, aborts=6), OLD, True, canary.GOOD),
        (fast(40, aborts=36), OLD, True, canary.BAD),
        # Preemptions.
        (fast(40, preemptions=3), OLD, True, canary.GOOD),
        (fast(40, preemptions=30), OLD, True, canary.BAD),
        (fast(40, preemptions=30), Flow(500, preemptions=400), True, canary.GOOD),
    ],
)
def test_the_verdict(new: Flow, old: Flow, last: bool, expected: str) -> None:
    assert verdict(new, old, last) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([0.09] * 40, [0.09] * 400, canary.GOOD),
        ([0.9] * 40, [0.09] * 400, canary.BAD),
        # Twice as slow is allowed here.
        ([0.18] * 40, [0.09] * 400, canary.GOOD),
        # The next bucket is three times as wide, so interpolation alone would call this slow.
        ([0.101] * 40, [0.079] * 400, canary.GOOD),
        # The old ones are slow, and the new one is, too.
        ([2.0] * 40, [1.9] * 400, canary.GOOD),
        ([0.05] * 40, [1.9] * 400, canary.GOOD),
        # Two kinds of requests in both: short ones and long ones.
        ([0.05] * 60 + [2.0] * 60, [0.05] * 300 + [2.0] * 300, canary.GOOD),
        ([0.05] * 30 + [2.0] * 10, [0.05] * 300 + [2.0] * 100, canary.GOOD),
        # One very slow answer among few moves the mean, and no quantile that is compared.
        ([0.05] * 39 + [9.0], [0.05] * 400, canary.GOOD),
        # A tenth is very slow, which the 95th percentile shows where there are enough.
        ([0.05] * 180 + [9.0] * 20, [0.05] * 400, canary.BAD),
        # Differences that a busy machine makes.
        ([0.018] * 40, [0.0009] * 400, canary.GOOD),
    ],
)
def test_the_seconds_to_the_first_token(new: list[float], old: list[float], expected: str) -> None:
    found = verdict(Flow(len(new), first_token=times(*new)), Flow(len(old), first_token=times(*old)))
    assert found == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.005, canary.GOOD), (0.014, canary.GOOD), (0.02, canary.BAD), (0.5, canary.BAD)]
)
def test_the_seconds_between_tokens(seconds: float, expected: str) -> None:
    assert verdict(fast(40, token=Times(400, 400 * seconds)), OLD) == expected


def test_a_reason_has_the_figures() -> None:
    why = canary.judge(Flow(6, 6), Flow(54), RULES, False)[1]
    assert why == ["6 of 6 requests failed, old ones 0 of 54"]
    why = canary.judge(fast(40, token=Times(400, 12.0)), OLD, RULES, True)[1]
    assert why == ["it takes up to 30.0 ms from one token to the next, more than 3 times the old ones' 5.0 ms"]
    text = canary.told(canary.figures(Flow(6, 6)), canary.figures(OLD))
    assert text.startswith("requests: new 6, 100.0 % failed, 0 preemptions; old 500, 0.2 % failed, first token p50")


@pytest.mark.parametrize(("count", "total"), [(0, 20), (10, 100), (99, 100), (3, 5)])
def test_the_bound_of_wilson_is_so_many_deviations_away(count: int, total: int) -> None:
    """It is the share p of which the one seen is Z standard deviations away: the equation that Wilson solves."""
    bound = canary.upper(count, total)
    assert bound - count / total == pytest.approx(canary.Z * math.sqrt(bound * (1 - bound) / total))


def test_nothing_is_assumed_of_old_ones_without_requests() -> None:
    assert canary.upper(0, 0) == 0


def test_a_good_version_is_hardly_ever_called_bad() -> None:
    """It fails exactly as often as is allowed, and is looked at again and again."""
    dice, wrong, runs = random.Random(1), 0, 1000
    for _run in range(runs):
        failed = 0
        for look in range(1, RULES.looks + 1):
            failed += sum(dice.random() < 0.05 for _request in range(10))
            if canary.beyond(failed, look * 10, 0.05, RULES.looks):
                wrong += 1
                break
    assert wrong <= runs * canary.FALSE_ALARM * 3
