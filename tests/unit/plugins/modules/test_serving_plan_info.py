# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.modules import serving_plan_info as module
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from module_runner import run_apart

CPU_HOSTS = {"h": {"address": "127.0.0.1", "cpu": {"cores": "", "vcpus": 4, "memory_mib": 16000}}}
GPU = {"uuid": "GPU-0", "index": 0, "product_name": "L4", "compute_capability": "8.9", "memory_total_mib": 23034}
GPU_HOSTS = {"g": {"device": "cuda", "address": "10.0.0.5", "gpu_facts": {"gpus": [GPU]}}}
RESOLVED = fleet_memory.with_facts(models.resolve([{"name": "demo", "source": "demo:"}]), {}, {})
RAW = {"name": "chat", "source": "hf://o/m", "context": 1024, "facts": RESOLVED[0]["facts"]}


def run(check: bool = False, **params: Any) -> dict[str, Any]:
    """Run the module as Ansible does, in a process of its own."""
    return run_apart("serving_plan_info", {"_ansible_check_mode": check, "_ansible_diff": True, **params})


def test_check_mode_diff_and_a_real_run_are_the_same() -> None:
    real, checked = (run(check, hosts=CPU_HOSTS, models=RESOLVED) for check in (False, True))
    assert {key: real[key] for key in ("plan", "changes", "text")} == {
        key: checked[key] for key in ("plan", "changes", "text")
    }
    assert not real["changed"]
    assert "diff" not in real
    (instance,) = real["plan"]["instances"]
    assert (instance["name"], instance["host"], instance["address"]) == ("demo-0", "h", "127.0.0.1:8100")
    assert [change["action"] for change in real["changes"]] == ["+"]
    assert "+ demo-0 on h: it is asked for and does not run" in real["text"]


@pytest.mark.parametrize("hosts", [CPU_HOSTS, GPU_HOSTS])
def test_a_plan_in_force_stays(hosts: dict[str, Any]) -> None:
    first = run(hosts=hosts, models=RESOLVED)["plan"]
    second = run(hosts=hosts, models=RESOLVED, current=first["instances"])
    assert second["plan"]["instances"] == first["instances"]
    assert [change["action"] for change in second["changes"]] == ["="]
    assert "No instance would start, restart or stop." in second["text"]


def test_models_as_somebody_writes_them_and_as_the_filter_resolves_them() -> None:
    written = run(hosts=GPU_HOSTS, models=[RAW])["plan"]
    (resolved,) = models.resolve([{key: value for key, value in RAW.items() if key != "facts"}])
    assert run(hosts=GPU_HOSTS, models=[{**resolved, "facts": RAW["facts"]}])["plan"] == written
    (instance,) = written["instances"]
    assert (instance["gpus"], instance["max_model_len"]) == (["GPU-0"], 1024)
    assert written["models"]["chat"]["asked"] == {"replicas": 1, "context": 1024, "concurrency": None}
    assert written["hosts"]["g"]["gpus"][0]["instances"] == ["chat-0"]


def test_overheads_gateways_and_ports_are_taken() -> None:
    model = {**RAW, "tokens_per_second": 300}
    given = run(hosts=CPU_HOSTS, models=[model], gateways={"h": 4}, first_port=8500)["plan"]["instances"][0]
    assert (given["port"], given["stream_interval"]) == (8500, 8)
    plain = run(hosts=GPU_HOSTS, models=[RAW])["plan"]["instances"][0]
    names = ("tensor_parallel_size", "pipeline_parallel_size", "dtype", "max_num_batched_tokens", "max_num_seqs")
    measured = {name: plain[name] for name in (*names, "source", "revision", "product_name")}
    # Two GiB that no estimate would have found.
    other = plain["memory"]["other"] + 2 * 1024**3
    measured |= {"other": other, "measured_on": "g", "instance": "chat-0", "planned": {}, "measured": {"other": other}}
    learnt = run(hosts=GPU_HOSTS, models=[RAW], overheads=[measured])["plan"]["instances"][0]
    assert learnt["memory"]["other"] == other


def test_what_finds_no_place_is_no_error_of_the_module() -> None:
    asked = [{**RAW, "replicas": 2}, {**RAW, "name": "blind", "facts": {"error": "the hub is down"}}]
    result = run(hosts=GPU_HOSTS, models=asked)
    assert not result.get("failed")
    missing = {(one["model"], one["replica"]): one["reason"] for one in result["plan"]["unplaced"]}
    assert missing["blind", 0] == "the hub is down"
    assert len(result["plan"]["problems"]) == len(missing)
    assert "! blind-0: the hub is down; stage the model" in result["text"]
    assert run(hosts={}, models=[RAW])["plan"]["problems"][0]["variable"] == "llm_inference"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"models": [RAW]}, "missing required arguments: hosts"),
        ({"models": "text", "hosts": {}}, "Elements value for option 'models' is of type str"),
        ({"models": [{**RAW, "replcas": 2}], "hosts": CPU_HOSTS}, "llm_models[chat].replcas is 2: "),
        ({"models": [{"name": "a"}], "hosts": CPU_HOSTS}, "llm_models[a].source is missing: every model needs it"),
        ({"models": [{**RAW, "context": "long"}], "hosts": CPU_HOSTS}, 'llm_models[chat].context is "long"'),
        ({"models": [RAW], "hosts": CPU_HOSTS, "first_port": "x"}, "argument 'first_port'"),
    ],
)
def test_bad_input_is_one_clear_error(params: dict[str, Any], message: str) -> None:
    result = run(**params)
    assert result["failed"]
    assert message in result["msg"]
    assert "\n" not in result["msg"]


def test_documentation_and_options_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    specs: list[dict[str, Any]] = []

    class StopError(Exception):
        pass

    def catch(argument_spec: dict[str, Any], supports_check_mode: bool) -> None:
        assert supports_check_mode
        specs.append(argument_spec)
        raise StopError

    monkeypatch.setattr(module, "AnsibleModule", catch)
    with pytest.raises(StopError):
        module.main()
    (spec,) = specs
    assert set(spec) == set(documented)
    for name, option in spec.items():
        for key in ("type", "default", "required", "elements"):
            assert option.get(key) == documented[name].get(key), (name, key)


def test_everything_returned_is_documented() -> None:
    result = run(hosts=CPU_HOSTS, models=RESOLVED)
    documented = yaml.safe_load(module.RETURN)
    assert set(result) - {"invocation", "changed"} == set(documented)
    assert set(result["plan"]) == set(documented["plan"]["contains"])


def test_it_reads_and_writes_nothing() -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    called = {
        getattr(node.func, "id", getattr(node.func, "attr", ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert not called & {"open", "run_command", "fetch_url", "atomic_move"}
