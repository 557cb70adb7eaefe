# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shipped table of an engine's answers: for what it counts, and what the plan makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report, serving_plan, shipped
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import Shape
from ansible_collections.llmfleet.serving.tests.unit.plugins.module_utils.plan.plan_fixtures import (
    L4,
    machine,
    model,
)

ROOT = Path(__file__).resolve().parents[5]
FOLDER = ROOT / "plugins/plugin_utils"
TABLE: dict[str, Any] = json.loads((FOLDER / "fleet/answers.json").read_text())
FACTS: dict[str, Any] = json.loads((FOLDER / "whatif/facts.json").read_text())
CATALOG = yaml.safe_load((ROOT / "group_vars/all/llm_catalog.yml").read_text())["llm_catalog"]
DEFAULTS = ROOT / "roles/fleet_defaults/defaults/main"
PINNED = yaml.safe_load((DEFAULTS / "doctor.yml").read_text())["llm_releases"]["vllm"]["version"]
RELEASES = {"vllm": "0.32.0"}
GIB = 1024**3
SENTENCE = "Total number of attention heads must be divisible by tensor parallel size."


def test_the_table_is_of_the_pinned_release() -> None:
    assert (TABLE["engine"], TABLE["release"]) == ("vllm", PINNED), "run make answers"
    assert all(f"=={TABLE['release']}\n" in path.read_text() for path in (ROOT / "roles/vllm/files").glob("vllm-*.in"))


def test_the_table_is_about_the_shipped_models_as_they_are() -> None:
    known = {name: entry for entry in TABLE["entries"] for name in entry["models"]}
    assert set(known) <= set(FACTS)
    wrong = [
        name
        for name, entry in known.items()
        if (entry["config"], entry["shape"]) != (FACTS[name]["config_digest"], shipped.shape_of(FACTS[name]))
        or entry["flags"] != shipped.flags_of(resolved(name))
    ]
    assert wrong == [], "run make answers"
    assert (FOLDER / "fleet/answers.json").stat().st_size < 500_000


def resolved(name: str, **asked: Any) -> dict[str, Any]:
    """Return a model of the catalogue with its shipped facts."""
    (one,) = inventory_models.resolve([{"name": "m", "source": f"hf://{name}", **asked}], CATALOG)
    return {**one, "facts": FACTS[name]}


@pytest.mark.parametrize("entry", TABLE["entries"], ids=[entry["models"][0] for entry in TABLE["entries"]])
def test_what_the_table_says_is_what_the_arithmetic_says_or_wins_over_it(entry: dict[str, Any]) -> None:
    checked = 0
    for card in cards.CARDS:
        hosts = {
            "h": {"device": "cuda", "gpu_facts": {"gpus": [cards.gpu(card, 0, "GPU-0")]}, "cpu": {"memory_mib": 99999}}
        }
        for kv_cache_dtype in ("auto", "fp8"):
            one = resolved(entry["models"][0], args={"kv-cache-dtype": kv_cache_dtype})
            told = shipped.answers(TABLE, [one], hosts, {"vllm": TABLE["release"]})
            known = Answers(told, {"vllm": TABLE["release"]})
            (device,) = shipped.kinds(hosts)
            for said in [said for said in told if said["accepted"]][:1]:
                sizes = said["tensor_parallel_size"], 1, 1
                shape = Shape(one, device, sizes, said["max_num_batched_tokens"], 64, [], known)
                assert shape.weights == said["weights"]
                if said["bytes_per_block"]:
                    assert shape.geometry.bytes_per_block == said["bytes_per_block"]
                    lengths = {int(length): many for length, many in said["blocks"].items()}
                    assert {length: shape.geometry.blocks_for(length) for length in lengths} == lengths
                checked += 1
    assert checked or not entry["rows"]


FACT: dict[str, Any] = {"accepted": True, "max_model_len": 131072, "bytes_per_block": None, "blocks": {}}
ONE = "8.9/1/bfloat16/auto/*"


def table(*rows: dict[str, Any]) -> dict[str, Any]:
    """A table about one model."""
    asked = chat()
    entry = {"shape": shipped.shape_of(asked["facts"]), "flags": shipped.flags_of(asked), "rows": list(rows)}
    return {"engine": "vllm", "release": "0.32.0", "entries": [entry]}


def chat(**more: Any) -> dict[str, Any]:
    asked = model("chat", context=8192, concurrency=4, **more)
    return {**asked, "facts": {**asked["facts"], "config_digest": "748f836ae4e3"}}


def row(*asked: str, **said: Any) -> dict[str, Any]:
    return {"asked": list(asked), "said": {**FACT, **said}}


def planned(rows: list[dict[str, Any]], *own: dict[str, Any]) -> dict[str, Any]:
    """Plan one model on four cards with a table, and with answers of hosts, which count more."""
    hosts = {"gpu1": machine(4, L4)}
    answers = Answers([*own, *shipped.answers(table(*rows), [chat()], hosts, RELEASES)], RELEASES)
    plan = serving_plan.plan([chat()], hosts, answers=answers)
    changes = report.changes(plan["instances"], [])
    said = plan_asked.verdicts([chat()], plan["instances"], changes, answers)
    return {**plan, "said": said, "problems": plan_asked.problems(plan["instances"], changes, said)}


def test_the_plan_takes_the_tables_figures_and_says_so() -> None:
    plan = planned([row(ONE, weights=15 * GIB + 1)])
    assert plan["instances"][0]["memory"]["weights"] == 15 * GIB + 1
    assert plan_asked.lines(plan["said"]) == ["vLLM 0.32.0 starts chat-0 (by the shipped table of its answers)"]
    # Where the engine is installed, it is asked all the same.
    assert [one["name"] for one in plan_asked.questions(plan["instances"], plan["said"])] == ["chat-0"]


def test_what_the_table_refuses_is_not_chosen() -> None:
    plan = planned([{"asked": [ONE], "said": {"accepted": False, "max_model_len": 2048, "sentence": SENTENCE}}])
    assert plan["instances"][0]["tensor_parallel_size"] == 2
    assert plan["problems"] == []


def test_the_answer_of_a_host_wins_over_the_table() -> None:
    first = planned([])
    (question,) = plan_asked.questions(first["instances"], first["said"])
    own = {**question["key"], **FACT, "sentence": "", "weights": 15 * GIB, "asked_on": "gpu1"}
    refused = {"asked": [ONE], "said": {"accepted": False, "max_model_len": 2048, "sentence": SENTENCE}}
    for rows in ([row(ONE, weights=16 * GIB)], [refused]):
        plan = planned(rows, own)
        (one,) = plan["instances"]
        assert (one["tensor_parallel_size"], one["memory"]["weights"]) == (1, 15 * GIB)
        assert plan_asked.lines(plan["said"]) == ["vLLM 0.32.0 starts chat-0 (asked on gpu1)"]


def told(asked: dict[str, Any], release: str = "0.32.0", **host: Any) -> int:
    hosts = {"gpu1": {**machine(1, L4), **host}}
    return len(shipped.answers(table(row(ONE, weights=1)), [asked], hosts, {"vllm": release}))


def test_the_table_counts_for_the_same_release_shape_flags_and_settings_alone() -> None:
    assert told(chat()) == 1
    assert told(chat(args={"tool-call-parser": "hermes", "enable-auto-tool-choice": True, "max-num-seqs": 8})) == 1
    assert told(chat(), engine_settings=shipped.NO_SETTINGS) == 1
    assert told(chat(), engine_settings="0") == 0
    assert told(chat(), release="0.33.0") == 0
    assert told(chat(args={"enable-lora": True})) == 0
    assert told(chat(env={"VLLM_USE_V2": "1"})) == 0
    assert told(chat(args={"kv-cache-dtype": "fp8"})) == 0
    # A step that is shorter than all that were asked about.
    assert told(chat(args={"max-num-batched-tokens": 512})) == 0
    for other in ({"vocab_size": 1}, {"weight_bytes_source": "given"}):
        asked = chat()
        assert told({**asked, "facts": {**asked["facts"], **other}}) == 0
    assert told({**chat(), "facts": {"error": "the hub is down"}}) == 0


def test_hosts_without_settings_of_their_own_have_the_settings_that_the_table_was_asked_with() -> None:
    """`llm_engine_settings` is what `to_json` and `hash` make of `vllm_args` and `vllm_env`, which are empty."""
    written = (DEFAULTS / "plan.yml").read_text()
    assert "[llm_engine_args, llm_engine_env] | to_json | hash('sha256') | truncate(12" in written
    engines = (DEFAULTS / "engines.yml").read_text()
    assert 'llm_engine_args: {vllm: "{{ vllm_args | default({}) }}"}' in engines
    assert 'llm_engine_env: {vllm: "{{ vllm_env | default({}) }}"}' in engines
