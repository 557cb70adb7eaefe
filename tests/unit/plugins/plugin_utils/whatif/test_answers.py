# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers: every shipped model on every card, the same plan as of recorded machines, the other way round, cost."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import catalog_facts
import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.cards import CARDS
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import answered, speeds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import ask, machines, question
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.reading import SHIPPED, Reader

ROOT = Path(__file__).resolve().parents[5]
FACTS: dict[str, dict[str, Any]] = json.loads(Path(SHIPPED).read_text())
CATALOG = yaml.safe_load((ROOT / "group_vars/all/llm_catalog.yml").read_text())["llm_catalog"]
VALUES = ("users", "context", "replicas", "kv_cache_dtype", "quantization", "dtype", "settings", "weights_gib")
OTHERS = ("tokens_per_second", "cost_per_hour", "add_hosts", "remove_hosts", "change_model")
# As gpu_facts reads them of real machines; record.py takes the same cards.
FLEET = json.loads((ROOT / "tests/prod/fleet.json").read_text())


def no_hub(source: str) -> dict[str, Any]:
    raise AssertionError(f"a hub was asked for {source}")


def answer(folder: Path = ROOT, **given: Any) -> tuple[dict[str, Any], str]:
    """Ask as the playbook does, without a hub."""
    values = {name: given.pop(name) for name in (*VALUES, *OTHERS) if name in given}
    asked = {
        "cards": "",
        "model": "",
        "explain": False,
        "models": [],
        "catalog": CATALOG,
        "catalog_extra": None,
        "model_defaults": None,
        "engines": None,
        "fleet_file": "fleet.json",
        "inference": [],
        "gateways": [],
        "first_port": 8100,
        "releases": {},
        "answers": True,
        "remembered": {},
        **given,
        "values": values,
    }
    return ask.ask(asked, Reader(str(folder), no_hub))


def test_facts_are_what_the_command_makes() -> None:
    configs = json.loads(catalog_facts.CONFIGS.read_text())
    wanted = catalog_facts.text({name: catalog_facts.facts_of(entry) for name, entry in configs.items()})
    assert Path(SHIPPED).read_text() == wanted, "run scripts/catalog_facts.py"


@pytest.mark.parametrize("pattern", [pattern for pattern in CATALOG if pattern != "demo:"])
def test_every_family_of_the_catalogue_has_a_shipped_model(pattern: str) -> None:
    assert fnmatch.filter(FACTS, pattern), f"put a model into {catalog_facts.CONFIGS.name}"


@pytest.mark.parametrize("number", range(len(FACTS)), ids=sorted(FACTS))
def test_every_shipped_model_has_an_answer(number: int) -> None:
    """A few cards for each, so that every card is asked; tests/catalog/every_answer.py asks all."""
    name = sorted(FACTS)[number]
    for card in CARDS[number % 16 :: 16]:
        found, text = answer(cards=f"{card.per_machine} x {card.name}", model=f"hf://{name}", users=8)
        assert text.startswith("It fits: " if found["fits"] else "It does not fit: ")
        assert found["fits"] or (found["reason"] and found["remedy"])


@pytest.mark.parametrize(("host", "cards"), [("gpu1", "8 x H100"), ("gpu3", "1 x T4")])
@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-32B-FP8"])
@pytest.mark.parametrize("users", [None, 16])
def test_the_answer_is_the_plan_of_recorded_machines(host: str, cards: str, name: str, users: int | None) -> None:
    found, _text = answer(cards=cards, model=name, **({"users": users} if users else {}))
    asked = question.Question(
        {"name": "m", "source": f"hf://{name}", "concurrency": users},
        FACTS[name],
        (CATALOG, None, None),
        answered.releases(),
    )
    plan = asked.plan(asked.model(), {host: FLEET["hosts"][host]})
    if plan["problems"]:
        # The names of hosts differ, and nothing else.
        assert not found["fits"]
        assert found["reason"].replace("machine:", "") == plan["unplaced"][0]["reason"].replace(f"{host}:", "")
        return
    same = ("tensor_parallel_size", "kv_cache_blocks", "max_model_len", "max_concurrency", "dtype", "memory")
    for one, other in zip(found["plan"]["instances"], plan["instances"]):
        assert {key: one[key] for key in same} == {key: other[key] for key in same}


def test_a_model_that_fits_is_told_with_what_all_cards_hold() -> None:
    found, text = answer(cards="8 x H200", model="Qwen/Qwen3-32B", users=32, context=8192, explain=True)
    assert (found["fits"], found["replicas"], found["context"]) == (True, 1, 8192)
    assert found["concurrency"] >= 32
    assert found["all_cards"]["replicas"] == 8
    assert found["all_cards"]["context"] == 8192
    assert "as many replicas as fit" in text
    parts = {line["what"]: line for line in found["arithmetic"]}
    assert all(line["unit"] for line in found["arithmetic"])
    summed = ("CUDA context", "weights", "activations", "CUDA graphs", "other", "KV cache", "margin", "unused")
    assert sum(parts[name]["value"] for name in summed) == pytest.approx(parts["total"]["value"], abs=0.1)
    assert parts["memory of the card"]["value"] == 143771
    assert parts["KV cache of a token"]["value"] == 256


def test_what_vllm_answers_counts_where_the_shipped_table_has_it() -> None:
    asked = {"cards": "1 x H100", "model": "Qwen/Qwen3-8B", "context": 8192}
    known, text = answer(**asked)
    assert known["engine"]["shipped"]
    assert text.endswith("vLLM 0.32.0 starts it so (by the shipped table of its answers).")
    for without in ({"answers": False}, {"releases": {"vllm": {"version": "0.33.0"}}}):
        plain, text = answer(**asked, **without)
        assert plain["engine"] is None
        assert text.endswith("By the arithmetic of the plan; no engine was asked.")
        # Both count the weights alike, within what the arithmetic promises.
        sizes = [one["plan"]["instances"][0]["memory"]["weights"] for one in (known, plain)]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.02)
    _found, text = answer(model="Qwen/Qwen3-8B", context=8192, users=1)
    assert "The shipped table of vLLM's answers has those for " in text
    assert text.endswith("All else is by the arithmetic of the plan; no engine was asked.")


def test_more_users_than_one_replica_serves_take_several() -> None:
    found, _text = answer(cards="8 x L4", model="Qwen/Qwen3-8B", users=20, context=8192)
    assert found["fits"]
    assert found["replicas"] * found["cards_per_replica"] <= 8
    assert found["concurrency"] >= 20


def test_pinned_replicas_are_kept() -> None:
    found, _text = answer(cards="8 x L4", model="Qwen/Qwen3-8B", replicas=2)
    assert (found["replicas"], found["all_cards"]) == (2, None)


def test_what_does_not_fit_says_why_in_the_words_of_the_plan() -> None:
    found, text = answer(cards="T4", model="openai/gpt-oss-20b")
    assert not found["fits"]
    assert "mxfp4 needs compute capability 8.0, Tesla T4 has 7.5" in found["reason"]
    assert found["reason"] in text


def test_where_users_are_too_many_the_answer_says_how_many_fit() -> None:
    found, text = answer(cards="4 x H100", model="Qwen/Qwen3-32B", users=5000, context=8192)
    assert not found["fits"]
    assert found["fewer_users"]["replicas"] == 4
    assert "with as many users as fit" in text
    most = int(found["fewer_users"]["concurrency"])
    found, _text = answer(cards="4 x H100", model="Qwen/Qwen3-32B", users=most - 3, context=8192)
    assert found["fits"]


def test_settings_reach_the_plan() -> None:
    plain, _text = answer(cards="L4", model="Qwen/Qwen3-8B")
    small, text = answer(
        cards="L4", model="Qwen/Qwen3-8B", kv_cache_dtype="fp8", settings={"args": {"max-num-seqs": 4}}
    )
    assert small["kv_cache_dtype"].startswith("fp8")
    assert small["max_num_seqs"] == 4
    assert small["context"] > plain["context"]
    assert "fp8" in text


def test_cost_is_told_once_speed_and_price_are_known() -> None:
    found, text = answer(cards="L40S", model="Qwen/Qwen3-8B", users=4)
    assert (found["cost"]["tokens_per_second"], found["cost"]["cost_per_million_tokens"]) == (None, None)
    assert "tokens per second are unknown" in text
    assert "cost per million tokens is unknown" in text
    found, text = answer(cards="L40S", model="Qwen/Qwen3-8B", users=4, tokens_per_second=50)
    assert found["cost"]["tokens_per_second"] == 200
    assert found["cost"]["cost_per_million_tokens"] is None
    found, text = answer(cards="L40S", model="Qwen/Qwen3-8B", users=4, tokens_per_second="50", cost_per_hour="0.72")
    # 200 tokens in a second are 720,000 in an hour.
    assert found["cost"]["cost_per_million_tokens"] == pytest.approx(1.0)
    assert "cost per million tokens: 1" in text
    assert "unknown" not in text


def test_what_a_benchmark_measured_on_such_a_card_is_told() -> None:
    instance = answer(cards="L40S", model="Qwen/Qwen3-8B", users=4)[0]["plan"]["instances"][0]
    figures = {"at_once": 16, "tokens_per_second": 800.0, "input_len": 1024, "output_len": 128}
    speed = {**{name: instance.get(name) for name in speeds.KEY}, **figures, "release": "0.32.0", "when": "2026-11-28"}
    given = {"model": "Qwen/Qwen3-8B", "users": 4, "remembered": {"hosts": {"gpu1": {"speeds": [speed]}}}}
    found, text = answer(cards="L40S", cost_per_hour="0.72", **given)
    assert found["cost"]["tokens_per_second"] == 200
    assert "(measured: 800 tokens per second of 16 answers at once (1024 tokens in, 128 out" in text
    assert "cost per million tokens: 1" in text
    assert "tokens per second are unknown" in answer(cards="H200", **given)[1]


def test_the_other_way_round_the_fewest_and_smallest_cards_come_first() -> None:
    found, text = answer(model="meta-llama/Llama-3.3-70B-Instruct", users=16, context=16384)
    order = [(one["cards"], one["memory_gib"]) for one in found["choices"]]
    assert order == sorted(order)
    assert len(found["choices"]) + len(found["others"]) == len(CARDS)
    assert all(one["reason"] for one in found["others"])
    assert "Not with machines of these cards:" in text
    for one in found["choices"][:: len(found["choices"]) // 3]:
        each, number = one["cards"] // one["machines"], one["machines"]
        told, _text = answer(
            cards=f"{number} x ({each} x {one['card']})",
            model="meta-llama/Llama-3.3-70B-Instruct",
            users=16,
            context=16384,
        )
        assert told["fits"], one


def test_without_users_one_request_is_enough() -> None:
    found, _text = answer(model="BAAI/bge-m3")
    assert found["choices"][0]["cards"] == 1


def test_no_card_may_serve_it() -> None:
    found, text = answer(model="Qwen/Qwen3-8B", context=40960, settings={"args": {"tensor-parallel-size": 3}})
    assert found["choices"] == []
    assert "No card of the table serves it" in text


def test_a_model_of_the_inventory_is_asked_about_by_its_name() -> None:
    own = {"name": "chat", "source": "hf://Qwen/Qwen3-8B", "context": 4096, "args": {"max-num-seqs": 2}}
    found, _text = answer(cards="L4", model="chat", models=[own], kv_cache_dtype="fp8")
    assert (found["context"], found["max_num_seqs"]) == (4096, 2)
    assert found["kv_cache_dtype"].startswith("fp8")


@pytest.mark.parametrize("form", ["folder", "path:", "config.json", "other.json"])
def test_a_configuration_alone_is_enough(tmp_path: Path, form: str) -> None:
    config = json.loads(catalog_facts.CONFIGS.read_text())["Qwen/Qwen3-8B"]["config"]
    folder = tmp_path / "qwen"
    folder.mkdir()
    name = form if form.endswith(".json") else "config.json"
    (folder / name).write_text(json.dumps(config))
    text = {"folder": "qwen", "path:": f"path:{folder}"}.get(form, f"./qwen/{form}")
    found, said = answer(tmp_path, cards="L4", model=text)
    expected, _text = answer(cards="L4", model="Qwen/Qwen3-8B")
    assert found["fits"]
    assert found["context"] == pytest.approx(expected["context"], rel=0.01)
    assert "estimated from the shapes in its config.json" in said
    found, said = answer(tmp_path, cards="L4", model=text, weights_gib="8.5")
    assert found["model"]["weights_gib"] == 8.5
    assert "given as weights_gib" in said


@pytest.mark.parametrize(
    ("given", "variable", "remedy"),
    [
        ({}, "model", "-e model=hf://"),
        ({"model": "Qwen/Qwen3-9B"}, "model", "did you mean Qwen/Qwen3-8B"),
        ({"model": "/no/such/folder"}, "model", "its config.json"),
        ({"model": "Qwen/Qwen3-8B", "users": "many"}, "users", "write users=8"),
        ({"model": "Qwen/Qwen3-8B", "users": 0}, "users", "write users=8"),
        ({"model": "Qwen/Qwen3-8B", "context": "long"}, "context", "a number of tokens"),
        ({"model": "Qwen/Qwen3-8B", "context": 999999999}, "context", "ask for 40960 or fewer"),
        ({"model": "Qwen/Qwen3-8B", "weights_gib": "x"}, "weights_gib", "weights_gib=1.5"),
        ({"model": "Qwen/Qwen3-8B", "cost_per_hour": "-1", "cards": "L4"}, "cost_per_hour", "cost_per_hour=1.5"),
        ({"model": "Qwen/Qwen3-8B", "settings": "x"}, "settings", "write it as JSON"),
        ({"model": "Qwen/Qwen3-8B", "settings": {"replika": 2}}, "settings.replika", "did you mean replicas"),
        ({"model": "Qwen/Qwen3-8B", "settings": {"args": 3}}, "settings.args", "without dashes"),
        ({"add_hosts": "L4"}, "add_hosts", "-i"),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(given: dict[str, Any], variable: str, remedy: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        answer(**given)
    (problem,) = caught.value.problems
    assert problem.variable == variable
    assert remedy in problem.remedy


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    for text in ("config.json", str(tmp_path)):
        with pytest.raises(ProblemsError, match="give the folder of a model"):
            answer(tmp_path, cards="L4", model=text)


def test_weights_that_nobody_tells_are_asked_for(tmp_path: Path) -> None:
    config = json.loads(catalog_facts.CONFIGS.read_text())["nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"]["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ProblemsError, match="weights_gib=N"):
        answer(tmp_path, cards="H100", model=str(tmp_path))


def test_a_hub_is_asked_only_for_what_is_not_shipped() -> None:
    asked = []

    def hub(source: str) -> dict[str, Any]:
        asked.append(source)
        return FACTS["Qwen/Qwen3-8B"]

    reader = Reader(str(ROOT), hub)
    assert reader.read("hf://Qwen/Qwen3-8B")[1] == FACTS["Qwen/Qwen3-8B"]
    assert reader.read("hf://me/mine") == ("hf://me/mine", FACTS["Qwen/Qwen3-8B"])
    assert asked == ["hf://me/mine"]


@pytest.mark.parametrize("cards", ["8 x (8 x L4)", "2 x L40S + 1 x H100"])
def test_many_and_mixed_cards(cards: str) -> None:
    found, _text = answer(cards=cards, model="meta-llama/Llama-3.3-70B-Instruct", users=16, context=4096)
    assert found["cards"] == machines.written(machines.parse(cards))
    assert found["fits"] == cards.startswith("8")
