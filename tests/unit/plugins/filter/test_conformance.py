# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on a new instance: tables of what it and the old one passed, and of what their tokens took."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter import conformance

FILTERS = conformance.FilterModule().filters()
problems = FILTERS["conformance_problems"]
CHATS = ("chat", "chat streamed")


def entry(*passed: str, failed: tuple[str, ...] = (), mode: str = "chat", **seconds: Any) -> dict[str, Any]:
    checks = [{"name": name, "ok": True, "why": ""} for name in passed]
    checks += [{"name": name, "ok": False, "why": f"no {name}"} for name in failed]
    return {"instance": "m-1", "model": "m", "mode": mode, "checks": checks, **seconds}


@pytest.mark.parametrize(
    ("new", "old", "failed"),
    [
        # Without an old instance chats must work, and a completion where the engine has it.
        (entry(*CHATS), None, []),
        (entry(*CHATS), {}, []),
        (entry(*CHATS, "completion", failed=("tool call", "long prompt", "chats again")), None, []),
        (entry(*CHATS, failed=("completion",)), None, ["completion"]),
        (entry("chat", failed=("chat streamed",)), None, ["chat streamed"]),
        (entry(), None, ["chat", "chat streamed"]),
        (entry(failed=CHATS), None, ["chat", "chat streamed"]),
        (entry("embedding", mode="embedding"), None, []),
        (entry(failed=("embedding",), mode="embedding"), None, ["embedding"]),
        # With one, what it passed counts.
        (entry(*CHATS, "tool call"), entry(*CHATS, "tool call"), []),
        (entry(*CHATS, failed=("tool call",)), entry(*CHATS, "tool call"), ["tool call"]),
        (entry(*CHATS), entry(*CHATS, "tool call"), ["tool call"]),
        (entry(*CHATS, failed=("tool call",)), entry(*CHATS, failed=("tool call",)), []),
        (entry("chat", failed=("chat streamed",)), entry("chat", failed=("chat streamed",)), []),
        (entry(failed=("embedding",), mode="embedding"), entry("embedding", mode="embedding"), ["embedding"]),
        # Semantic probes must be passed in any case.
        (entry(*CHATS, failed=("prompt 2",)), None, ["prompt 2"]),
        (entry(*CHATS, failed=("prompt 2",)), entry(*CHATS, failed=("prompt 2",)), ["prompt 2"]),
        (entry(*CHATS), entry(*CHATS, "prompt 1"), ["prompt 1"]),
    ],
)
def test_checks_that_count(new: Any, old: Any, failed: list[str]) -> None:
    found = problems(new, old)
    assert [text.split("`")[1] for text in found] == failed


def test_a_sentence_has_the_reason() -> None:
    new, old = entry(*CHATS, failed=("tool call",)), entry(*CHATS, "tool call", "stop")
    assert problems(new, old) == [
        "m-1 fails the check `tool call`, which the old instance passes: no tool call",
        "m-1 fails the check `stop`, which the old instance passes: it was not made",
    ]
    assert problems(entry(*CHATS, failed=("prompt 1",))) == ["m-1 fails the check `prompt 1`: no prompt 1"]


@pytest.mark.parametrize(
    ("key", "new", "old", "slower", "words"),
    [
        ("first_token_seconds", [0.3] * 3, [0.1] * 3, 2.0, "takes 300.0 ms to the first token, more than 2 times"),
        ("first_token_seconds", [0.2] * 3, [0.1] * 3, 2.0, ""),
        ("first_token_seconds", [0.3] * 3, [0.1] * 3, 3.5, ""),
        ("first_token_seconds", [0.16] * 3, [0.1] * 3, 1.5, "more than 1.5 times the old instance's 100.0 ms"),
        # The median leaves single ones out.
        ("first_token_seconds", [0.1, 0.1, 9.0], [0.1] * 3, 2.0, ""),
        ("first_token_seconds", [0.1, 9.0, 9.0], [0.1] * 3, 2.0, "takes 9000.0 ms"),
        # Two say nothing, and little is noise.
        ("first_token_seconds", [9.0] * 2, [0.1] * 3, 2.0, ""),
        ("first_token_seconds", [9.0] * 3, [0.1] * 2, 2.0, ""),
        ("first_token_seconds", [0.025] * 3, [0.006] * 3, 2.0, ""),
        ("first_token_seconds", [0.027] * 3, [0.0] * 3, 2.0, "27.0 ms to the first token"),
        ("token_seconds", [0.0051] * 3, [0.0017] * 3, 2.0, "5.1 ms from one token to the next, more than 2 times"),
        ("token_seconds", [0.003] * 3, [0.0012] * 3, 2.0, ""),
        # What is no time does not count.
        ("token_seconds", [9.0, 9.0, float("nan")], [0.1] * 3, 2.0, ""),
        ("token_seconds", [9.0, 9.0, None, "x", True, -1, 1e999, [3]], [0.1] * 3, 2.0, ""),
        ("token_seconds", "999", {"a": 1}, 2.0, ""),
    ],
)
def test_tokens_that_take_too_long(key: str, new: Any, old: Any, slower: float, words: str) -> None:
    found = problems(entry(*CHATS, **{key: new}), entry(*CHATS, **{key: old}), slower)
    assert len(found) == bool(words)
    assert words in "".join(found)


@pytest.mark.parametrize(
    "checks", [None, "text", {"a": 1}, [None, 3, "x"], [{"ok": True}], [{"name": ["x"], "ok": "yes"}]]
)
def test_an_entry_with_anything_in_it_may_not_serve(checks: Any) -> None:
    assert len(problems({"instance": "m-1", "checks": checks})) == 2
    assert len(problems({"checks": checks}, entry(*CHATS))) == 2
    assert problems(entry(*CHATS), {"checks": checks}) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((None,), "its input is missing"),
        (([],), "its input is []"),
        ((entry(), "text"), "old is"),
        ((entry(), None, "fast"), "slower is"),
        ((entry(), None, 0.5), "slower is 0.5"),
        ((entry(), None, float("nan")), "slower is"),
    ],
)
def test_wrong_arguments_are_named(args: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match="filter conformance_problems: ") as told:
        problems(*args)
    assert words in str(told.value)


def test_instances_come_without_their_environment() -> None:
    one = {"name": "e-0", "model": "e", "engine": "vllm", "listen": "::1", "port": 8100, "max_model_len": None}
    other = {"name": "m-0", "model": "m", "port": 8101, "max_model_len": 64, "env": {"HF_TOKEN": "x"}, "args": {}}
    models = [{"name": "e", "mode": "embedding"}, {"name": "m", "mode": "chat"}]
    assert FILTERS["conformance_instances"]([one, other], models) == [
        {"name": "e-0", "model": "e", "engine": "vllm", "listen": "::1", "port": 8100, "mode": "embedding"},
        {"name": "m-0", "model": "m", "port": 8101, "max_model_len": 64, "mode": "chat"},
    ]
