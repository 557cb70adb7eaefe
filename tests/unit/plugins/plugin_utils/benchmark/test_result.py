# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark has found: saturation, the promise, the comparison, the speed, and the report of all of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import (
    comparison,
    identity,
    page,
    points,
    result,
    text,
)

WHEN = "2026-11-28T10:00:00Z"


def said(requests: int, seconds: float, e2e: float = 100.0, failed: int = 0, **more: Any) -> dict[str, Any]:
    """Return a result as vLLM gives it, with times in milliseconds."""
    times = {f"p{part}_{name}_ms": e2e for part in result.PERCENTILES for name in result.TIMES.values()}
    answered = requests - failed
    rates = {"request_throughput": answered / seconds, "output_throughput": 8 * answered / seconds}
    return {"requests": requests, "completed": answered, "duration": seconds, "errors": [], **times, **rates, **more}


def instance(**more: Any) -> dict[str, Any]:
    return {"engine": "vllm", "source": "hf://a/b", "model": "chat", "max_num_seqs": 8, "kv_cache_tokens": 9000, **more}


def wanted(*instances: dict[str, Any], **more: Any) -> dict[str, Any]:
    each = list(instances) or [instance()]
    words = {"seconds": 10, "requests": 1000, "rates": [], "input_len": 64, "output_len": 8}
    return {
        "model": "chat",
        "through": "gateway",
        "client": "gpu1",
        "context": 2048,
        "input_len": 64,
        "output_len": 8,
        "instances": [identity.of_instance(one) for one in each],
        "points": points.points(words, each, 2048),
        "planned": {"full": 8, "context": 4},
        **more,
    }


def told(**more: dict[str, Any]) -> dict[str, Any]:
    found = {
        "one": {"at_once": 1, "result": said(4, 0.4)},
        "full": {"at_once": 8, "result": said(24, 1.2, 400.0)},
        "25%": {"rate": 5.0, "result": said(50, 10.1)},
        "90%": {"rate": 18.0, "result": said(180, 10.4, 200.0)},
        "125%": {"rate": 25.0, "result": said(250, 13.0, 1500.0)},
        "context": {"at_once": 4, "result": said(4, 2.0, 900.0)},
        **more,
    }
    return {"points": [{"name": name, **one} for name, one in found.items()], "release": "0.32.0", "files": "c0ffee"}


def run(order: dict[str, Any] | None = None, **more: dict[str, Any]) -> dict[str, Any]:
    return result.run(order or wanted(), told(**more), WHEN)


@pytest.mark.parametrize(
    ("requests", "seconds", "carried"),
    [
        # 10 requests per second are sent for 10 s, and an answer takes 0.1 s.
        (100, 10.1, True),
        (100, 11.5, True),
        (100, 12.0, False),
        (100, 20.0, False),
    ],
)
def test_a_rate_is_carried_if_answers_come_as_fast_as_requests(requests: int, seconds: float, carried: bool) -> None:
    one = {"name": "one", "at_once": 1, "result": said(4, 0.4)}
    rows = result.rows([one, {"name": "10/s", "rate": 10.0, "result": said(requests, seconds, 5000.0)}], 64)
    assert [row["carried"] for row in rows] == [None, carried]


def test_requests_that_failed_are_not_carried() -> None:
    (row,) = result.rows([{"name": "10/s", "rate": 10.0, "result": said(100, 10.1, failed=30)}], 64)
    assert (row["sent"], row["failed"], row["carried"]) == (100, 30, False)


def test_saturation_lies_between_the_rates_that_were_carried_and_lost() -> None:
    assert run()["saturation"] == {"carried": 18.0, "lost": 25.0, "most": "full"}


def test_a_rate_above_one_that_was_lost_does_not_count_as_carried() -> None:
    rows = [
        {"name": str(rate), "rate": rate, "carried": good, "answered": 1, "tokens_per_second": 1.0}
        for rate, good in ((1.0, True), (2.0, False), (3.0, True))
    ]
    assert result.saturation(rows)["carried"] == 1.0


@pytest.mark.parametrize(("failed", "kept"), [(0, True), (1, False), (4, False)])
def test_the_promise_is_kept_if_all_requests_of_full_context_are_answered(failed: int, kept: bool) -> None:
    done = run(context={"at_once": 4, "result": said(4, 2.0, failed=failed)})
    assert done["promise"] == {"context": 2048, "at_once": 4, "kept": kept}


def test_a_promise_of_which_less_was_sent_is_not_measured() -> None:
    assert run(wanted(planned={"full": 8, "context": 5}))["promise"]["kept"] is None


def test_the_speed_is_that_of_one_instance_at_full_load() -> None:
    speed = result.speed(run(wanted(instance(), instance())))
    assert speed is not None
    assert (speed["tokens_per_second"], speed["at_once"], speed["of_one"]) == (80.0, 4, 2.5)
    assert speed["release"] == "0.32.0"


@pytest.mark.parametrize(
    "done",
    [
        run(full={"at_once": 8, "result": said(24, 1.2, failed=1)}),
        run(full={"error": "it was not done"}),
        run(wanted(instance(), instance(dtype="float16"))),
        run(wanted(planned={"full": 9, "context": 4})),
    ],
)
def test_no_speed_is_remembered_of_a_load_that_failed_or_of_different_replicas(done: dict[str, Any]) -> None:
    assert result.speed(done) is None


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"max_num_seqs": 16}, "max_num_seqs was 8 and is 16"),
        ({"product_name": "NVIDIA H200"}, 'product_name was null and is "NVIDIA H200"'),
        ({"args": {"enforce-eager": True}}, 'args was null and is {"enforce-eager": true}'),
        ({"launch": {"package": "environment 2"}}, 'launch_package was null and is "environment 2"'),
        ({"env": {"VLLM_X": "secret-value"}}, 'variables was [] and is ["VLLM_X"]'),
    ],
)
def test_different_plans_are_not_compared(changed: dict[str, Any], difference: str) -> None:
    found = comparison.compare(run(wanted(instance(**changed))), run())
    assert (found["different"], found["ratios"]) == ([difference], {})
    assert "secret-value" not in json.dumps(found)


def test_another_release_or_commit_is_another_plan() -> None:
    other = result.run(wanted(), {**told(), "release": "0.33.0", "files": "beef"}, WHEN)
    assert comparison.compare(other, run())["different"] == [
        "release was 0.32.0 and is 0.33.0",
        "files was c0ffee and is beef",
    ]
    assert "is of another plan: replicas was 1 and is 2" in " ".join(
        text.comparison(comparison.compare(run(wanted(instance(), instance())), run()))
    )


def test_one_of_the_same_plan_is_compared_point_by_point() -> None:
    found = comparison.compare(run(full={"at_once": 8, "result": said(24, 2.4, 800.0)}), run())
    assert found["with"] == WHEN
    assert found["ratios"]["full"] == {"tokens_per_second": 0.5, "ttft_ms": 2.0, "itl_ms": 2.0, "e2e_ms": 2.0}
    assert found["ratios"]["one"]["tokens_per_second"] == 1.0
    assert text.comparison(comparison.compare(run(), None)) == [text.FIRST]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [str(value) for name, value in attrs if name in ("src", "href")]


def test_the_report_says_what_was_found_and_loads_nothing() -> None:
    evil = "<script>alert(1)</script>"
    failed = {"rate": 25.0, "result": {**said(250, 13.0, failed=3), "errors": [{"error": evil, "requests": 3}]}}
    done = run(**{"125%": failed})
    done["comparison"] = comparison.compare(done, None)
    shown = text.text(done, "table")
    assert "Saturated: at 25 requests per second" in shown
    assert "the highest rate that was carried is 18 per second" in shown
    assert "The plan's promise was kept: 4 requests of 2048 tokens at once, all answered." in shown
    assert f"125%: 3 requests failed: {evil}" in shown
    assert json.loads(text.text(done, "json"))["saturation"]["lost"] == 25.0
    reader = Reader()
    reader.feed(page.benchmark_page(done))
    assert reader.tags.count("svg") == 3
    assert "script" not in reader.tags
    assert not reader.urls


def test_a_run_in_which_nothing_was_answered_has_a_report_too() -> None:
    order = wanted()
    given = {"points": [{"name": "one", "error": "Unauthorized"}], "release": "0.32.0", "files": "c0ffee"}
    done = result.run(order, given, WHEN)
    done["comparison"] = comparison.compare(done, run())
    assert "one: all requests failed: Unauthorized" in text.text(done, "table")
    assert "The plan's promise was not measured: " in text.text(done, "table")
    assert "<svg" not in page.benchmark_page(done)
