# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import shipped
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import answered
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import reading

ROOT = Path(__file__).resolve().parents[5]
DEMO_MODEL = ROOT / "roles/models/files/programs/demo_model.py"
FACTS = {"layers": [], "weight_bytes": 5}


def resolved(*raw: dict[str, Any]) -> list[dict[str, Any]]:
    return models.resolve([{"source": "hf://o/m", **model} for model in raw])


class DemoModel:
    """The program that makes the demo model, read without torch."""

    def __init__(self) -> None:
        self.tree = ast.parse(DEMO_MODEL.read_text())
        self.constants: dict[str, Any] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and not isinstance(node.value, (ast.Call, ast.JoinedStr)):
                try:
                    self._run([node], self.constants)
                except NameError:
                    continue

    @staticmethod
    def _run(statements: list[ast.stmt], names: dict[str, Any]) -> None:
        module = ast.Module(body=statements, type_ignores=[])
        exec(compile(module, str(DEMO_MODEL), "exec"), {"__builtins__": {"range": range}}, names)

    def function(self, owner: str, name: str) -> list[ast.stmt]:
        (found,) = (
            method
            for node in self.tree.body
            if isinstance(node, ast.ClassDef) and node.name == owner
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name == name
        )
        return found.body

    def config(self) -> dict[str, Any]:
        (found,) = (
            node.value
            for node in self.function("School", "save")
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "config"
        )
        assert isinstance(found, ast.Dict)
        values = {}
        for key, value in zip(found.keys, found.values, strict=True):
            # What the tokenizer decides is known when the model is made.
            if key and not any(getattr(part, "id", "") == "self" for part in ast.walk(value)):
                expression = compile(ast.Expression(body=value), str(DEMO_MODEL), "eval")
                values[ast.literal_eval(key)] = eval(expression, {"__builtins__": {}}, self.constants)
        return values

    def weights(self) -> int:
        """Sum the elements of every tensor: what the model's constructor says before it makes them."""
        body = [
            node
            for node in self.function("Llama", "__init__")
            if isinstance(node, (ast.Assign, ast.For))
            and "shapes" in {getattr(part, "id", "") for part in ast.walk(node)}
            and "torch" not in {getattr(part, "id", "") for part in ast.walk(node)}
        ]
        names = dict(self.constants)
        # One namespace, so that comprehensions find what is assigned beside them.
        module = ast.Module(body=body, type_ignores=[])
        names["__builtins__"] = {"range": range}
        exec(compile(module, str(DEMO_MODEL), "exec"), names)
        return sum(math.prod(shape) for shape in names["shapes"].values())


def test_the_demo_model_is_known_as_it_is_made() -> None:
    made = DemoModel()
    config = made.config()
    assert config.items() >= fleet_memory.DEMO_CONFIG.items()
    # Of what it says besides, nothing changes the arithmetic; rotary caches of 128 KiB are no matter.
    facts, known = checkpoint_config.describe(config), checkpoint_config.describe(fleet_memory.DEMO_CONFIG)
    same = ("buffer_bytes", "config_digest")
    assert {**facts, **{name: known[name] for name in same}} == known
    assert made.weights() * 2 == fleet_memory.DEMO_WEIGHT_BYTES


def test_the_demo_model_needs_no_reading() -> None:
    (model,) = fleet_memory.with_facts(resolved({"name": "a", "source": "demo:"}), {"a": {"error": "none"}}, {})
    assert model["facts"]["max_position_embeddings"] == 2048
    assert model["facts"]["weight_bytes"] == 1865280


def test_what_hosts_say_is_gathered_with_their_names() -> None:
    hosts = {
        "x": {"instances": [{"name": "a-0", "host": "old name"}], "measured": [{"other": 1}]},
        "y": {"instances": [], "measured": None},
        "z": {},
    }
    assert fleet_memory.instances_in_force(hosts) == [{"name": "a-0", "host": "x"}]
    assert fleet_memory.measured_overheads(hosts) == [{"other": 1, "measured_on": "x"}]


def test_hosts_in_the_order_of_the_inventory() -> None:
    known = fleet_memory.remembered_hosts(["b", "a", "new"], {"a": {"device": "cpu"}, "b": {}, "gone": {}})
    assert list(known.items()) == [("b", {}), ("a", {"device": "cpu"}), ("new", {})]


def test_every_model_is_read_by_the_first_host_that_has_it() -> None:
    some = resolved({"name": "any"}, {"name": "bound", "hosts": ["z", "y"]}, {"name": "demo", "source": "demo:"})
    hosts = ["x", "y", "z"]

    def read_by(reached: list[str]) -> dict[str, list[str]]:
        chosen = {name: fleet_memory.models_to_read(some, name, hosts, reached) for name in reached}
        return {name: [model["name"] for model in own] for name, own in chosen.items() if own}

    assert read_by(hosts) == {"x": ["any"], "z": ["bound"]}
    assert read_by(["y"]) == {"y": ["any", "bound"]}
    assert read_by(["x", "gateway"]) == {"x": ["any"]}
    assert read_by(["gateway"]) == {}


@pytest.mark.parametrize(
    ("read", "known", "facts"),
    [
        (FACTS, {}, FACTS),
        # What was read now counts, whatever was known.
        (FACTS, {"asked": ["hf://o/m", None], "facts": {"layers": ["old"]}}, FACTS),
        # The hub is down, or no host of the model was reached.
        ({"error": "down"}, {"asked": ["hf://o/m", None], "facts": FACTS}, FACTS),
        (None, {"asked": ["hf://o/m", None], "facts": FACTS}, FACTS),
        # It was another model then.
        ({"error": "down"}, {"asked": ["hf://o/other", None], "facts": FACTS}, {"error": "down"}),
        (None, {"asked": ["hf://o/m", "v2"], "facts": FACTS}, None),
        ({"error": "down"}, {"asked": ["hf://o/m", None], "facts": None}, {"error": "down"}),
        (None, {}, None),
    ],
)
def test_facts_of_this_run_come_before_those_of_an_earlier_one(read: Any, known: Any, facts: Any) -> None:
    (model,) = fleet_memory.with_facts(resolved({"name": "a"}), {"a": read} if read else {}, {"a": known})
    assert model["facts"] == facts


def test_what_is_remembered_is_found_again() -> None:
    some = resolved({"name": "a", "revision": "v1"}, {"name": "b"}, {"name": "c"}, {"name": "d", "source": "demo:"})
    planned = fleet_memory.with_facts(some, {"a": FACTS, "b": {"error": "down"}}, {})
    # It is kept as JSON.
    memory = json.loads(json.dumps(fleet_memory.remember(planned)))
    assert sorted(memory) == ["a", "d"]
    assert memory["a"] == {"asked": ["hf://o/m", "v1"], "facts": FACTS}
    again = fleet_memory.with_facts(some, {}, memory)
    assert [model["facts"] for model in again] == [FACTS, None, None, planned[3]["facts"]]
    assert fleet_memory.remember(again) == memory


@pytest.mark.parametrize(
    ("result", "facts"),
    [
        ({"model_info": FACTS, "changed": False}, FACTS),
        ({"failed": True, "msg": "hf://o/m: no such model"}, {"error": "hf://o/m: no such model"}),
        ({"model_info": {}, "failed": True, "msg": "x"}, {"error": "x"}),
        ({"skipped": True}, {"error": "nothing was read"}),
    ],
)
def test_a_task_that_failed_says_why(result: dict[str, Any], facts: dict[str, Any]) -> None:
    assert fleet_memory.facts_or_error(result) == facts


def test_hosts_are_known_by_what_they_told_last() -> None:
    told = {"a": {"llm_host": {"address": "new"}}, "b": {}, "c": {"llm_host": {"address": "c"}}}
    known = {"hosts": {"a": {"address": "old"}, "b": {"address": "b"}, "gone": {"address": "x"}, "empty": {}}}
    found = fleet_memory.fleet_hosts(["c", "b", "a", "empty", "stranger"], told, known)
    assert found == {"c": {"address": "c"}, "b": {"address": "b"}, "a": {"address": "new"}}
    assert list(found) == ["c", "b", "a"]
    assert fleet_memory.fleet_hosts(["a"], told, {}) == {"a": {"address": "new"}}


def test_models_are_those_of_all_hosts_that_read_some() -> None:
    told = {"a": {"llm_models_read": {"chat": 1}}, "b": {"llm_models_read": {"embed": 2}}, "c": {}}
    assert fleet_memory.fleet_models(["a", "b", "c", "d"], told) == {"chat": 1, "embed": 2}


@pytest.mark.parametrize(
    ("driver", "awaited"),
    [
        ({"cards": [1], "loaded_version": ""}, True),
        ({"cards": [1], "loaded_version": None}, True),
        ({"cards": [1], "loaded_version": "580"}, False),
        ({"cards": []}, False),
        (None, False),
    ],
)
def test_cards_without_a_driver(driver: Any, awaited: bool) -> None:
    hosts = {"a": {"ansible_facts": {"nvidia_driver": driver}}, "b": {"ansible_facts": {}}, "c": {}}
    assert fleet_memory.driverless_hosts(["a", "b", "c", "d"], hosts) == ["a"] * awaited


class Counted(dict):  # type: ignore[type-arg]
    """Variables of hosts that count how often one is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(key, default)


def test_each_host_is_looked_at_once() -> None:
    hosts = Counted({str(number): {"llm_host": {"address": "x"}} for number in range(200)})
    fleet_memory.fleet_hosts(list(hosts), hosts, {})
    assert Counted.looks == 200


def test_answers_of_hosts_come_before_those_of_the_shipped_table() -> None:
    told = {"answers": [{"settings": shipped.NO_SETTINGS, "instance": "x-0"}]}
    gpu = cards.gpu(cards.CARDS[0], 0, "GPU-0")
    host = {"device": "cuda", "gpu_facts": {"gpus": [gpu]}, "answers": told, "engine_settings": shipped.NO_SETTINGS}
    (entry, *_others) = answered.table()["entries"]
    facts = json.loads(Path(reading.SHIPPED).read_text())[entry["models"][0]]
    (model,) = models.resolve([{"name": "m", "source": f"hf://{entry['models'][0]}"}])
    found = answered.answers({"gpu1": host}, [{**model, "facts": facts}], answered.releases())
    assert found[0] == told["answers"][0]
    assert all(one["shipped"] for one in found[1:])
    assert answered.answers({"gpu1": host}, [], {"vllm": "0.1"}) == told["answers"]


def test_answers_of_other_settings_do_not_count() -> None:
    told = {"answers": [{"settings": "a", "instance": "x-0"}, {"settings": "b", "instance": "y-0"}]}
    hosts = {"gpu1": {"answers": told, "engine_settings": "a"}, "gpu2": {}, "gpu3": {"answers": {}}}
    assert fleet_memory.engine_answers(hosts) == [{"settings": "a", "instance": "x-0"}]
