# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines are known by name, an engine may come from a file, and a model names one that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Engine
from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report, serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError

HEADER = "from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine\n"
CPU_HOST = {"device": "cpu", "address": "127.0.0.1", "cpu": {"vcpus": 4, "memory_mib": 16000}}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes known is forgotten after it."""
    monkeypatch.setattr(registry, "_ENGINES", dict(registry._ENGINES))


def resolve(**model: Any) -> dict[str, Any]:
    (resolved,) = models.resolve([{"name": "m", "source": "demo:", **model}])
    return resolved


def test_every_engine_has_every_member_of_the_protocol() -> None:
    for engine in (registry.of({}), PlainEngine("x")):
        assert isinstance(engine, Engine)


def test_a_model_that_names_no_engine_has_the_default() -> None:
    assert resolve()["engine"] == "vllm"
    assert registry.service({"name": "m-0"}) == "vllm-m-0", "what an earlier version recorded keeps its unit"
    assert registry.service({"name": "m-0", "engine": "echo"}) == "echo-m-0"


def test_an_unknown_engine_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(ProblemsError) as caught:
        resolve(engine="vlm")
    (problem,) = caught.value.problems
    assert (problem.variable, problem.value, problem.remedy) == ("llm_models[m].engine", "vlm", "did you mean vllm")


def test_flags_that_the_collection_sets_are_refused_by_the_engine_that_has_them() -> None:
    with pytest.raises(ProblemsError, match="served-model-name cannot be set here; use name and aliases"):
        resolve(args={"--served_model_name": "x"})
    registry._ENGINES["echo"] = PlainEngine("echo")
    assert resolve(engine="echo", args={"served-model-name": "x"})["args"] == {"served-model-name": "x"}


def test_an_engine_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "echo.py"
    file.write_text(HEADER + 'ENGINE = PlainEngine("echo", "Echo")\n')
    registry.load({"vllm": {"role": "llmfleet.serving.vllm"}, "echo": {"role": "x", "file": str(file)}})
    assert registry.of({"engine": "echo"}).title == "Echo"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('ENGINE = PlainEngine("other")', "its ENGINE is named other"),
        ("ENGINE = None", "cannot be read|is named"),
        ("NOTHING = 1", "it cannot be read"),
        ("def", "it cannot be read"),
        ("class Bare:\n    name = 'echo'\n\n\nENGINE = Bare()", "lacks members of Engine"),
    ],
)
def test_a_file_that_brings_no_engine(content: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "echo.py"
    file.write_text(HEADER + content + "\n")
    with pytest.raises(ProblemsError, match=told):
        registry.load({"echo": {"file": str(file)}})


def test_a_row_without_file_names_an_engine_of_the_collection() -> None:
    with pytest.raises(ProblemsError, match=r"llm_engines\[vlm\].*did you mean vllm"):
        registry.load({"vlm": {"role": "x"}})


def test_an_engine_for_processors_finds_no_place_on_gpus() -> None:
    registry._ENGINES["echo"] = PlainEngine("echo", "Echo")
    plan = serving_plan.plan([resolve(engine="echo")], {"h": {"device": "cuda", "address": "1.2.3.4"}})
    (problem,) = plan["problems"]
    assert problem["variable"] == "llm_models[m].engine"
    assert problem["problem"].startswith("Echo runs on cpu alone")


def test_another_engine_restarts_an_instance_and_the_same_one_does_not() -> None:
    registry._ENGINES["echo"] = PlainEngine("echo")
    plain = serving_plan.plan([resolve()], {"h": CPU_HOST})["instances"]
    recorded = [{key: value for key, value in one.items() if key not in ("engine", "interface")} for one in plain]
    again = serving_plan.plan([resolve()], {"h": CPU_HOST}, recorded)["instances"]
    assert again == plain
    assert [change["action"] for change in report.changes(again, recorded)] == ["="]
    moved = serving_plan.plan([resolve(engine="echo")], {"h": CPU_HOST}, recorded)["instances"]
    (change,) = report.changes(moved, recorded)
    assert change["action"] == "~"
    assert moved[0]["request"] != plain[0]["request"]
