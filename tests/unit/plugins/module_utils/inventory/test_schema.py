# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import schema as inventory_schema
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import (
    Problem,
    ProblemsError,
    line,
    nearest,
    on_host,
    plain,
    render,
    shown,
)
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_one_problem_is_one_sentence_that_names_everything() -> None:
    problem = Problem("litellm_port", 4000, "in use by python3 (pid 7)", "choose another port", "gpu1")
    assert render([problem]) == "gpu1: litellm_port is 4000: in use by python3 (pid 7); choose another port."


def test_more_problems_are_a_list() -> None:
    problems = [Problem("a", None, "every model needs it", "add it"), Problem("b", {"x": [1]}, "wrong", "mend it")]
    assert str(ProblemsError(problems)).splitlines() == [
        "2 problems:",
        "  - a is missing: every model needs it; add it.",
        '  - b is {"x": [1]}: wrong; mend it.',
    ]
    assert render([]) == ""


@pytest.mark.parametrize(
    ("host", "parts", "said"),
    [
        ("gpu1", ("found", "a cause.", "do this."), "gpu1: cuda of chat-0: found; a cause; do this."),
        ("gpu1", ("found", "", ""), "gpu1: cuda of chat-0: found."),
        ("", ("found", "do this"), "cuda of chat-0: found; do this."),
    ],
)
def test_every_failure_has_one_form(host: str, parts: tuple[str, ...], said: str) -> None:
    assert line(host, "cuda of chat-0", *parts) == said


def test_a_problem_names_the_host_that_it_is_found_on() -> None:
    both = [Problem("a", 1, "wrong", "mend it"), Problem("b", 2, "wrong", "mend it", "gpu2")]
    assert [problem.host for problem in on_host("gpu1", both)] == ["gpu1", "gpu2"]


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 500)) == 120


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("replcas", ["replicas", "name"], "did you mean replicas"),
        ("zzz", ["b", "a"], "known are a, b"),
        ("x", [], "remove it"),
    ],
)
def test_the_nearest_name(name: str, known: list[str], advice: str) -> None:
    assert nearest(name, known) == advice


@given(JSON)
def test_plain_copies_keep_values_and_can_be_shown(value: Any) -> None:
    copy = plain(value)
    assert shown(copy) == shown(value)
    assert copy is not value or not isinstance(value, (list, dict))


@pytest.mark.parametrize(("source", "remedy"), [("hf://a/b/c", "write hf://ORGANISATION/MODEL"), (7, "use hf://")])
def test_a_source_that_is_none(source: Any, remedy: str) -> None:
    clean, (problem,) = inventory_schema.apply(inventory_schema.MODEL, {"source": source}, "m")
    assert clean == {}
    assert (problem.variable, problem.value) == ("m.source", source)
    assert remedy in problem.remedy


@pytest.mark.parametrize("source", ["demo:", "path:/srv/models/x", "hf://org/model", "hf://gpt2"])
def test_a_source(source: str) -> None:
    assert inventory_schema.apply(inventory_schema.MODEL, {"source": source}, "m") == ({"source": source}, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("replicas", 0),
        ("replicas", "two"),
        ("replicas", True),
        ("replicas", 1.5),
        ("replicas", float("nan")),
        ("replicas", [1]),
        ("context", "long"),
        ("context", 0),
        ("context", {"max": 4}),
        ("context", {"min": 0}),
        ("concurrency", -1),
        ("load", "on_demand"),
        ("load", "sometimes"),
        ("mode", "rerank"),
        ("name", "Chat"),
        ("name", "a" * 49),
        ("name", "-a"),
        ("aliases", ["with space"]),
        ("aliases", {"a": 1}),
        ("hosts", [""]),
        ("limits", [1]),
        ("limits", {"rpm": 0}),
        ("limits", {"rps": 1}),
        ("request_defaults", {"temperature": 3}),
        ("request_defaults", {"top_p": 1.1}),
        ("cost", {"input_per_token": -1}),
        ("cost", {"input_per_token": float("inf")}),
        ("args", ["--x"]),
        ("engine", "SGLang"),
        ("engine", ["vllm"]),
        ("env", "A=b"),
        ("env", {"A-B": 1}),
        ("env", {"A": "b\nC=d"}),
        ("env", {"A": ["b"]}),
        ("args", {"served-model-name": "a\nb"}),
        ("args", {"x": datetime.date(2027, 1, 31)}),
        ("args", {"x": {"y": [b"z"]}}),
        ("aliases", ["gpt", 8]),
        ("name", datetime.date(2027, 1, 31)),
        ("replica", 1),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any) -> None:
    clean, (problem,) = inventory_schema.apply(inventory_schema.MODEL, {key: value}, "llm_models[m]")
    assert clean in ({}, {key: {}})
    assert problem.variable.startswith(f"llm_models[m].{key}")
    assert problem.remedy


def test_values_that_fit_are_cleaned() -> None:
    raw = {
        "replicas": "2",
        "aliases": "gpt-4o",
        "context": {"min": "8192"},
        "args": {"--max_num_seqs": 8, "enable-prefix-caching": None},
        "env": {"A": 1, "B": None},
        "cost": {"input_per_token": "0.5"},
        "load": "always",
        "revision": None,
        "limits": {"rpm": 5, "tpm": None},
    }
    clean, problems = inventory_schema.apply(inventory_schema.MODEL, raw, "m")
    assert problems == []
    assert clean == {
        "replicas": 2,
        "aliases": ["gpt-4o"],
        "context": {"min": 8192},
        "args": {"max-num-seqs": 8, "enable-prefix-caching": None},
        "env": {"A": "1", "B": None},
        "cost": {"input_per_token": 0.5},
        "load": "always",
        "limits": {"rpm": 5},
    }


def test_secrets_are_never_shown() -> None:
    _, misspelt = inventory_schema.apply(inventory_schema.KEY, {"valeu": "sk-canary"}, "k", hidden=True)
    _, environment = inventory_schema.apply(inventory_schema.MODEL, {"env": {"HF-TOKEN": "hf_canary"}}, "m")
    assert "canary" not in render(misspelt + environment)


@given(JSON)
def test_any_input_gives_problems_and_no_traceback(raw: Any) -> None:
    for schema in (inventory_schema.MODEL, inventory_schema.KEY, inventory_schema.DEFAULTS):
        clean, problems = inventory_schema.apply(schema, raw, "v")
        assert isinstance(clean, dict)
        assert all(isinstance(problem, Problem) for problem in problems)


@given(st.dictionaries(st.sampled_from(sorted(inventory_schema.MODEL)), JSON))
def test_any_value_of_a_known_key_gives_problems_and_no_traceback(raw: dict[str, Any]) -> None:
    clean, problems = inventory_schema.apply(inventory_schema.MODEL, raw, "v")
    assert render(problems) or all(key in clean for key, value in raw.items() if value is not None)
