# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter import fleet
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan

ROOT = Path(__file__).resolve().parents[4]
FILTERS = fleet.FilterModule().filters()
CPU = {"cores": "", "vcpus": 2, "memory_mib": 16000}
HOSTS = {"h": {"device": "cpu", "cpu": CPU, "address": "127.0.0.1"}}
MODELS = [{"name": "chat", "source": "demo:"}]


def run(name: str, *args: Any, **kwargs: Any) -> Any:
    return FILTERS[name](*args, **kwargs)


def test_from_models_to_everything_else() -> None:
    models = run("with_model_facts", run("resolve_models", MODELS, catalog={}, extra={}, defaults={}))
    instances = serving_plan.plan(models, HOSTS, gateways={"h": 2}, first_port=8200)["instances"]
    assert [instance["address"] for instance in instances] == ["127.0.0.1:8200"]
    assert run("instances_on", instances, "h")[0]["port"] == 8200
    assert run("host_needs", instances, models, "h", "/models")["memory_mib"] == 2048 + 1664 + 2 + 4096
    assert run("litellm_workers", "8") == 2
    assert run("litellm_deployments", instances, models, "http://x")[0]["api_base"] == "http://x/chat/v1"
    engines = {"vllm": {"role": "llmfleet.serving.vllm", "api_paths": ["/v1/score"]}}
    assert run("south_upstreams", instances, models, engines)[0]["api_paths"] == ["/v1/score"]
    assert run("scrape_targets", instances, others=None)[0]["job"] == "vllm"
    assert run("inventory_problems", MODELS) == []


def test_what_is_known_of_hosts_and_models() -> None:
    told = {"h": {**HOSTS["h"], "instances": [{"name": "chat-0"}], "measured": [{"other": 1}]}}
    known = run("remembered_hosts", ["h", "new"], told)
    assert known == {**told, "new": {}}
    assert run("instances_in_force", known) == [{"name": "chat-0", "host": "h"}]
    assert run("measured_overheads", known) == [{"other": 1, "measured_on": "h"}]
    models = run("resolve_models", [*MODELS, {"name": "big", "source": "hf://o/m"}])
    (big,) = run("models_to_read", models, "h", ["h", "new"], ["h"])
    assert big["name"] == "big"
    read = run("facts_or_error", {"model_info": {"layers": [], "weight_bytes": 1}})
    models = run("with_model_facts", models, read={"big": read}, known=None)
    assert models[1]["facts"] == {"layers": [], "weight_bytes": 1}
    assert run("remembered_models", models)["big"] == {"asked": ["hf://o/m", None], "facts": models[1]["facts"]}


def test_problems_can_be_read() -> None:
    problems = run("inventory_problems", [{"name": "a"}, {"name": "a", "source": "demo:"}])
    assert [set(problem) for problem in problems] == [{"host", "variable", "value", "problem", "remedy"}] * 2
    assert run("problems_text", problems).startswith("2 problems:\n  - llm_models[a].source is missing")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run("resolve_models", [{"name": "a", "source": "x:"}]), 'llm_models[a].source is "x:"'),
        (lambda: run("instances_on", "text", "h"), 'filter instances_on: instances is "text": give a list'),
        (lambda: run("remembered_hosts", ["h"], known=[1]), "filter remembered_hosts: known is [1]: give a dictionary"),
        (lambda: run("models_to_read", [], "h", [], reached="h"), 'filter models_to_read: reached is "h": give a list'),
        (lambda: run("with_model_facts", [], [1]), "filter with_model_facts: read is [1]: give a dictionary"),
        (lambda: run("south_upstreams", [{}], MODELS), "filter south_upstreams: 'model' is missing: give models"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match="^" + re.escape(message)):
        call()


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_documentation_names_the_arguments_of_the_filter(name: str) -> None:
    document = yaml.safe_load((ROOT / f"plugins/filter/{name}.yml").read_text())["DOCUMENTATION"]
    function = FILTERS[name].__wrapped__
    arguments = list(function.__code__.co_varnames[: function.__code__.co_argcount])
    documented = list(document["options"])
    assert documented == ["_input", *arguments[1:]]
    assert [part.strip() for part in document.get("positional", "").split(",") if part.strip()] == arguments[1:]
    optional = arguments[len(arguments) - len(function.__defaults__ or ()) :]
    assert [option for option, spec in document["options"].items() if not spec.get("required")] == optional


def test_filters_in_a_template() -> None:
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "group_vars/all/llm_catalog.yml")],
        "vars": {
            "count": 2,
            "llm_models": [{"name": "chat", "source": "demo:", "replicas": "{{ count }}"}],
            "machines": HOSTS,
            "resolved": "{{ llm_models | llmfleet.serving.resolve_models(llm_catalog) }}",
            "models": "{{ resolved | llmfleet.serving.with_model_facts }}",
            "instances": "{{ planned.plan.instances }}",
        },
        "tasks": [
            {
                "llmfleet.serving.serving_plan_info": {
                    "hosts": "{{ machines }}",
                    "models": "{{ models }}",
                    "gateways": {"h": 2},
                },
                "register": "planned",
            },
            {
                "ansible.builtin.assert": {
                    "that": [
                        "instances | map(attribute='cpu.cores') == ['0', '1']",
                        "instances | map(attribute='stream_interval') == [8, 8]",
                        "instances | map(attribute='max_num_seqs') == [4, 4]",
                        "instances | map(attribute='max_model_len') == [2048, 2048]",
                        "instances == {'h': planned.plan} | llmfleet.serving.instances_in_force",
                        "models[0].request_defaults.max_tokens == 256",
                    ]
                }
            },
        ],
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", "/dev/stdin"]
    result = subprocess.run(
        command, input=yaml.safe_dump([play]), text=True, capture_output=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
