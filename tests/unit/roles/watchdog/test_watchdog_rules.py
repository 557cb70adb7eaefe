# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the watchdog concludes from readings of an engine, in a row of looks with a clock of its own."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger, run_lock
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "watchdog" / "files"
rules = load_file(FILES / "watchdog_rules.py")

VLLM = registry.interface_of({"engine": "vllm"})
ECHO = registry.interface_of({"engine": "echo"})
RULES = {
    "stall_seconds": 90,
    "start_seconds": 3600,
    "pauses": [60, 300, 900],
    "per_hour": 3,
    "prompt_interval": 600,
    "prompt_failures": 3,
}
NOW = 1_800_000_000.0


def metrics(running: int = 0, waiting: int = 0, prompt: int = 0, tokens: int = 0, cache: float = 0.0) -> str:
    return f"""# HELP vllm:num_requests_running Number of requests
vllm:num_requests_running{{engine="0",model_name="chat"}} {running}.0
vllm:num_requests_waiting{{engine="0",model_name="chat"}} {waiting}.0
vllm:prompt_tokens_total{{engine="0",model_name="chat"}} {prompt}.0
vllm:generation_tokens_total{{engine="0",model_name="chat"}} {tokens}.0
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="chat"}} 3.0
vllm:request_success_total{{engine="0",finished_reason="length",model_name="chat"}} 1.0
vllm:kv_cache_usage_perc{{engine="0",model_name="chat"}} {cache}
"""


class Engine:
    """An engine as the watchdog sees and remembers it, one look after another."""

    def __init__(self, interface: dict[str, Any] | None = None) -> None:
        self.memory, self.now, self.interface = rules.fresh(), NOW, interface or VLLM
        self.pid, self.began = "17", NOW

    def looks(self, seconds: int, healthy: bool = True, text: str | None = metrics(), running: bool = True) -> int:
        """Look every 20 seconds; return how many looks asked for a proof."""
        asked = 0
        for _ in range(0, seconds, 20):
            self.now += 20
            seen = rules.Seen(running, self.pid, self.began, healthy, text)
            asked += rules.observe(self.memory, seen, self.interface, RULES, self.now)
        return asked


def ready() -> Engine:
    engine = Engine()
    assert engine.looks(40) == 0
    return engine


def test_an_engine_without_requests_is_left_alone() -> None:
    assert ready().looks(7200) == 0


def test_requests_without_progress_ask_for_a_proof() -> None:
    engine = ready()
    assert engine.looks(100, text=metrics(running=1, prompt=5)) == 0
    assert engine.looks(40, text=metrics(running=1, prompt=5)) >= 1


def test_requests_that_wait_without_progress_do_too() -> None:
    engine = ready()
    assert engine.looks(200, text=metrics(waiting=4)) > 1


@pytest.mark.parametrize("what", ["tokens", "prompt", "cache"])
def test_each_kind_of_progress_is_a_sign_of_life(what: str) -> None:
    """During the prefill of a long prompt only the share of the KV cache grows."""
    engine = ready()
    for number in range(60):
        assert engine.looks(20, text=metrics(running=1, **{what: number / 60 if what == "cache" else number})) == 0


@pytest.mark.parametrize(("healthy", "text"), [(False, metrics()), (True, None), (False, None)])
def test_an_engine_that_does_not_answer_has_to_prove_itself(healthy: bool, text: str | None) -> None:
    engine = ready()
    assert engine.looks(80, healthy, text) == 0
    assert engine.looks(20, healthy, text) == 1


def test_an_engine_that_tells_no_progress_lives_as_long_as_it_answers() -> None:
    engine = Engine(ECHO)
    assert engine.looks(7200, text="echo_up 1\n") == 0
    assert engine.looks(200, healthy=False, text=None) > 0


def test_an_engine_without_all_of_the_metrics_lives_as_long_as_it_answers() -> None:
    engine = ready()
    text = "".join(line for line in metrics(running=1).splitlines(True) if "prompt_tokens" not in line)
    assert engine.looks(600, text=text) == 0


def test_an_engine_that_starts_is_left_alone_until_its_deadline() -> None:
    engine = Engine()
    assert engine.looks(3600, healthy=False, text=None) == 0
    assert engine.looks(20, healthy=False, text=None) == 1


def test_a_new_process_is_a_new_start() -> None:
    engine = ready()
    engine.looks(60, healthy=False, text=None)
    engine.pid, engine.began = "18", engine.now
    assert engine.looks(600, healthy=False, text=None) == 0


def test_a_service_that_is_stopped_or_starts_is_left_alone() -> None:
    engine = ready()
    assert engine.looks(600, healthy=False, text=None, running=False) == 0
    assert engine.memory["pid"] == ""


def test_an_old_process_that_was_told_to_end_gets_the_time_of_a_start() -> None:
    engine = ready()
    engine.now += 9000
    rules.restarted(engine.memory, rules.WRONG, engine.now)
    assert engine.looks(600, healthy=False, text=None) == 0


def test_time_in_which_nobody_looked_does_not_count() -> None:
    engine = ready()
    engine.looks(80, healthy=False, text=None)
    rules.forget_times(engine.memory, engine.now)
    assert engine.looks(80, healthy=False, text=None) == 0


def test_a_clock_that_was_set_back_forbids_nothing() -> None:
    memory = {**rules.fresh(), "restarts": [NOW + 9999]}
    rules.forget_times(memory, NOW)
    assert memory["restarts"] == []


def test_restarts_have_pauses_and_a_limit() -> None:
    """Every second, an engine that never comes back wants a restart."""
    memory = rules.fresh()
    done, said = [], set()
    for second in range(2 * 3600):
        verdict = rules.permission(memory["restarts"], RULES, NOW + second)
        if verdict == rules.RESTART:
            rules.restarted(memory, rules.STILL, NOW + second)
            done.append(second)
        said.add(verdict)
    assert done == [0, 60, 360, 3600, 4500, 5400]
    assert said == {rules.RESTART, rules.WAIT, rules.GIVE_UP}
    assert memory["counts"] == {rules.STILL: 6}


def test_a_row_of_restarts_ends_after_a_quiet_hour() -> None:
    old = [NOW - 9000, NOW - 8000, NOW - 7000]
    assert rules.permission(old, RULES, NOW) == rules.RESTART
    assert rules.permission([*old, NOW - 61], RULES, NOW) == rules.RESTART
    assert rules.permission([*old, NOW - 59], RULES, NOW) == rules.WAIT
    assert rules.permission([NOW - 1], {**RULES, "pauses": []}, NOW) == rules.RESTART
    assert rules.permission([], {**RULES, "per_hour": 0}, NOW) == rules.GIVE_UP


def test_restarts_are_remembered_for_a_day() -> None:
    memory = {**rules.fresh(), "restarts": [NOW - 90000, NOW - 80000]}
    rules.restarted(memory, rules.STILL, NOW)
    assert memory["restarts"] == [NOW - 80000, NOW]


def test_a_semantic_probe_is_due_of_an_engine_that_lives() -> None:
    engine = ready()
    assert rules.is_due(engine.memory, RULES, engine.now)
    assert not rules.is_due(engine.memory, {**RULES, "prompt_interval": 0}, engine.now)
    engine.memory["asked"] = engine.now
    assert not rules.is_due(engine.memory, RULES, engine.now)
    engine.looks(600)
    assert rules.is_due(engine.memory, RULES, engine.now)
    engine.looks(20, healthy=False, text=None)
    assert not rules.is_due(engine.memory, RULES, engine.now)


def test_wrong_answers_restart_once_and_are_then_left_to_people() -> None:
    memory = rules.fresh()

    def wrong(times: int) -> list[str]:
        return [rules.judge_answer(memory, False, RULES, NOW) for _ in range(times)]

    assert wrong(2) == ["", ""]
    assert rules.judge_answer(memory, True, RULES, NOW) == ""
    assert wrong(3) == ["", "", rules.RESTART]
    assert wrong(6) == ["", "", rules.GIVE_UP, "", "", ""]
    assert memory["failing"]
    rules.judge_answer(memory, True, RULES, NOW)
    assert not memory["failing"]
    memory["restarts"] = [NOW - 1]
    assert wrong(4) == [""] * 4, "a pause holds for this reason, too"


@pytest.mark.parametrize("seconds", [-5, 0, 599, 600, 9000])
def test_a_lock_is_that_of_a_run_that_is_alive_as_for_other_runs(seconds: int) -> None:
    moment = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
    renewed = ledger.stamp(moment - datetime.timedelta(seconds=seconds))
    quiet = run_lock.seconds_since(renewed, moment)
    assert rules.holds({"id": "1", "renewed": renewed}, NOW) is (quiet < run_lock.STALE_SECONDS)


@pytest.mark.parametrize("lock", [None, {}, {"renewed": "soon"}, [], "text"])
def test_no_lock_and_one_that_says_nothing_hold_nothing(lock: Any) -> None:
    assert rules.holds(lock, NOW) is False


def test_metrics_say_what_was_done() -> None:
    memory = {**rules.fresh(), "counts": {"still": 2}, "gave_up": True, "wrong": 1, "failing": True}
    labels = {"model": 'a"b\\c', "replica": 0, "service": "vllm-a-0"}
    text = rules.exposition([{"labels": labels, "memory": memory}], NOW, True)
    shown = 'model="a\\"b\\\\c",replica="0",service="vllm-a-0"'
    assert f'llmfleet_watchdog_restarts_total{{{shown},reason="still"}} 2\n' in text
    assert f'llmfleet_watchdog_restarts_total{{{shown},reason="wrong"}} 0\n' in text
    assert f"llmfleet_watchdog_gave_up{{{shown}}} 1\n" in text
    assert f"llmfleet_watchdog_wrong_answers{{{shown}}} 1\n" in text
    assert f"llmfleet_watchdog_semantic_probe_failing{{{shown}}} 1\n" in text
    assert "llmfleet_watchdog_paused 1\n" in text
    assert f"llmfleet_watchdog_last_run_timestamp_seconds {NOW:.0f}\n" in text


def test_values_are_summed_and_broken_lines_left_out() -> None:
    text = 'a{x="1"} 1\na{x="2"} 2.5\nb NaN\nb nonsense\nc 1 1700000000\n# a 5\n'
    assert rules.values(text, ["a", "b"]) == [3.5, 0.0]
    assert rules.values(text, ["a", "d"]) is None
    assert rules.values(text, []) is None
    assert rules.values(None, ["a"]) is None
