# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits: exact, and a refused request uses up nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from gate_limits import LimitReachedError, Limits, Side, Slot
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_000_020.0  # The 20th second of a minute is one before: 1_000_020 is a multiple of 60.


@dataclass(frozen=True)
class Some:
    """Limits of a key, a team or a model."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None


FREE = Some()


def sides(key: Some, model: Some, alias: str = "k", name: str = "m", **teams: Some) -> tuple[Side, ...]:
    """Those of one request."""
    between = (Side("team", team, limits) for team, limits in teams.items())
    return (Side("key", alias, key), *between, Side("model", name, model))


def admit(
    limits: Limits, key: Some = FREE, model: Some = FREE, now: float = NOW, alias: str = "k", name: str = "m"
) -> Slot:
    return admitted(limits, sides(key, model, alias, name), now)


def admitted(limits: Limits, of: tuple[Side, ...], now: float = NOW) -> Slot:
    slot = limits.slot(of)
    limits.admit(slot, now)
    return slot


def reached(
    limits: Limits, key: Some = FREE, model: Some = FREE, now: float = NOW, alias: str = "k", name: str = "m"
) -> LimitReachedError:
    with pytest.raises(LimitReachedError) as caught:
        admitted(limits, sides(key, model, alias, name), now)
    return caught.value


def test_a_minute_has_a_number_of_requests() -> None:
    limits, key = Limits(), Some(rpm=3)
    for _number in range(3):
        limits.end(admit(limits, key), 0, NOW)
    error = reached(limits, key, now=NOW + 40.5)
    assert (error.limit, error.retry_after) == ("rpm", 20)
    assert "k has had its 3 requests" in error.message
    assert reached(limits, key, now=NOW + 59.999).retry_after == 1
    assert reached(limits, key, now=NOW).retry_after == 60
    admit(limits, key, now=NOW + 60)


def test_coming_back_after_the_time_told_is_enough() -> None:
    key = Some(rpm=1)
    for second in range(600):
        limits, now = Limits(), NOW + second / 10
        admit(limits, key, now=now)
        admit(limits, key, now=now + reached(limits, key, now=now).retry_after)


def test_a_minute_has_a_number_of_tokens() -> None:
    limits, key = Limits(), Some(tpm=100)
    first, second = admit(limits, key), admit(limits, key)
    limits.end(first, 99, NOW)
    third = admit(limits, key)
    limits.end(second, 1, NOW)
    assert reached(limits, key).limit == "tpm"
    limits.end(third, 50, NOW + 60)
    # The tokens of a request are those of the minute in which they are known.
    limits.end(admit(limits, key, now=NOW + 61), 50, NOW + 61)
    assert reached(limits, key, now=NOW + 62).limit == "tpm"
    admit(limits, key, now=NOW + 120)


@pytest.mark.parametrize("limit", [{"rpm": 1}, {"tpm": 1}, {"max_parallel_requests": 1}])
def test_models_have_the_same_limits_for_all_keys_together(limit: dict[str, int]) -> None:
    limits, model = Limits(1.0), Some(**limit)
    slot = admit(limits, model=model, alias="a")
    if "tpm" in limit:
        limits.end(slot, 1, NOW)
    error = reached(limits, model=model, alias="b")
    assert "The model m" in error.message
    assert error.limit == next(iter(limit))
    admit(limits, alias="b", name="other")


@pytest.mark.parametrize(
    ("key", "model"),
    [
        (Some(rpm=1), FREE),
        (Some(), Some(rpm=1)),
        (Some(max_parallel_requests=1), FREE),
        (Some(), Some(max_parallel_requests=1)),
        (Some(), Some(max_parallel_requests=2)),
    ],
)
def test_a_refused_request_uses_up_nothing(key: Some, model: Some) -> None:
    limits = Limits()
    slot = admit(limits, key, model)
    watched = (limits._requests.counts(NOW), limits._tokens.counts(NOW), limits._running, limits._running)
    before = [Counter(counts) for counts in watched]
    for _number in range(20):
        reached(limits, key, model)
    assert [Counter(counts) for counts in watched] == before
    limits.end(slot, 5, NOW)
    assert not limits._running
    assert not limits._running


def test_a_key_without_a_limit_has_a_share_of_the_slots() -> None:
    limits, model = Limits(0.5), Some(max_parallel_requests=5)
    assert [limits.share(FREE, Some(max_parallel_requests=most)) for most in (1, 2, 3, 5, 16)] == [1, 1, 1, 2, 8]
    slots = [admit(limits, model=model) for _number in range(2)]
    error = reached(limits, model=model)
    assert (error.limit, error.retry_after) == ("key_share", 1)
    # Another key has room, another model too, and a key with a limit of its own has that.
    admit(limits, model=model, alias="other")
    admit(limits, model=model, name="n")
    mine = Some(max_parallel_requests=4)
    assert limits.share(mine, model) is None
    limits.end(slots[0], 0, NOW)
    admit(limits, model=model)
    assert limits.share(FREE, FREE) is None


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"rpm": 1}, "The team research has had its 1 requests of this minute."),
        ({"tpm": 1}, "The team research has had its 1 tokens of this minute."),
        ({"max_parallel_requests": 1}, "The team research has its 1 requests at once."),
    ],
)
def test_a_team_has_limits_for_all_its_keys_together(limit: dict[str, int], said: str) -> None:
    limits, team = Limits(), Some(**limit)
    slot = admitted(limits, sides(FREE, FREE, "a", research=team))
    if "tpm" in limit:
        limits.end(slot, 1, NOW)
    with pytest.raises(LimitReachedError) as caught:
        admitted(limits, sides(FREE, FREE, "b", research=team))
    assert (caught.value.message, caught.value.limit) == (said, next(iter(limit)))
    # Another team has its own counts, and a key of no team has none of them.
    admitted(limits, sides(FREE, FREE, "b", sales=team))
    admitted(limits, sides(FREE, FREE, "b"))


def test_what_its_team_refuses_is_counted_for_no_key_and_no_model() -> None:
    limits, team, one = Limits(), Some(rpm=1), Some(rpm=2)
    admitted(limits, sides(one, one, research=team))
    for _number in range(5):
        with pytest.raises(LimitReachedError, match="team"):
            admitted(limits, sides(one, one, research=team))
    admitted(limits, sides(one, one))
    assert reached(limits, one, one).limit == "rpm"


def test_a_clock_that_is_set_back_a_little_forgets_nothing() -> None:
    limits, key = Limits(), Some(rpm=1)
    admit(limits, key, now=NOW + 5)
    assert reached(limits, key, now=NOW - 5).limit == "rpm"
    assert reached(limits, key, now=NOW + 5).limit == "rpm"


def test_a_clock_that_was_far_ahead_locks_nobody_out() -> None:
    limits, key = Limits(), Some(rpm=1, tpm=1)
    limits.end(admit(limits, key, now=NOW + 86_400 * 365), 5, NOW + 86_400 * 365)
    admit(limits, key)
    assert reached(limits, key).limit == "rpm"
    admit(limits, key, now=NOW + 60)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("mn"),
            st.booleans(),
            st.integers(0, 40),
            st.floats(0, 30, allow_nan=False),
        ),
        max_size=60,
    )
)
def test_counts_are_those_of_a_plain_list(steps: list[tuple[str, str, bool, int, float]]) -> None:
    """Against a model that keeps everything that happened and counts anew each time."""
    limits, now = Limits(0.5), NOW
    key, model = Some(rpm=4, tpm=60), Some(rpm=6, tpm=90, max_parallel_requests=4)
    started: list[tuple[float, str, str]] = []
    booked: list[tuple[float, str, str, int]] = []
    running: list[Slot] = []
    for alias, name, ends, tokens, passed in steps:
        now += passed
        minute = now // 60
        if ends and running:
            slot = running.pop(0)
            limits.end(slot, tokens, now)
            booked.append((now, slot.key, slot.model, tokens))
            continue
        requests = [(who, what) for at, who, what in started if at // 60 == minute]
        used = [(who, what, count) for at, who, what, count in booked if at // 60 == minute]
        fits = (
            sum(who == alias for who, _what in requests) < 4
            and sum(what == name for _who, what in requests) < 6
            and sum(count for who, _what, count in used if who == alias) < 60
            and sum(count for _who, what, count in used if what == name) < 90
            and sum(slot.model == name for slot in running) < 4
            and sum((slot.key, slot.model) == (alias, name) for slot in running) < 2
        )
        try:
            running.append(admitted(limits, sides(key, model, alias, name), now))
        except LimitReachedError:
            assert not fits
        else:
            assert fits
            started.append((now, alias, name))
    for slot in running:
        limits.end(slot, 0, now)
    assert not limits._running
    assert not limits._running
