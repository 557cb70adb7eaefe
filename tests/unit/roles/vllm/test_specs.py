# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role makes of its instances: command lines, environments, service specs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec
from ansible_playbook import played
from engine_paths import VLLM_PATHS

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "vllm"
API_KEY = "sk-engine-0123456789"
TOKEN = "canary-0123456789"
CHAT: dict[str, Any] = {
    "name": "chat-0",
    "model": "chat",
    "aliases": ["assistant", "it's"],
    "replica": 0,
    "port": 8100,
    "listen": "127.0.0.1",
    "device": "cpu",
    "source": "demo:",
    "revision": None,
    "path": "",
    "cpu": {"cores": "0-1", "kv_cache_space_gib": 2},
    "gpus": [],
    "args": {},
    "env": {},
    "max_model_len": 2048,
    "max_num_seqs": 16,
    "stream_interval": 3,
}
ROOTS = {
    "service_root": "/opt/llmfleet",
    "service_config_root": "/etc/llmfleet",
    "service_state_root": "/var/lib/llmfleet",
    "service_run_root": "/run/llmfleet",
    "service_proxy_environment": {},
    "service_packages": {"vllm": {"search_path": "/venv/bin:/usr/bin", "python": "/venv/bin/python", "digest": "0123"}},
    "vllm_api_key": API_KEY,
    "vllm_egress": ["10.0.0.1"],
    "vllm_readable": ["/models"],
    "vllm_models_missing": False,
    "vllm_start_deadlines": {},
    "vllm_api_paths": VLLM_PATHS,
    "vllm_max_choices": 8,
    "vllm_max_prompts": 32,
    "vllm_media_domains": [],
    "vllm_scheduling_policy": "fcfs",
}
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [
            {
                "write_here": {
                    "content": "{{ {'specs': __vllm_specs, 'stamp': __vllm_flags_stamp} | to_json }}",
                    "dest": "{{ out }}",
                }
            }
        ],
    }
]


def render(folder: Path, instances: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    (folder / "play.yml").write_text(yaml.safe_dump(PLAY))
    paths = {instance["model"]: f"/models/{instance['model']}" for instance in instances}
    parameters = {
        **ROOTS,
        "vllm_model_paths": paths,
        "vllm_instances": instances,
        "out": str(folder / "out.json"),
        **changes,
    }
    (folder / "parameters.json").write_text(json.dumps(parameters))
    played("-i", "localhost,", "-e", f"@{folder / 'parameters.json'}", folder / "play.yml")
    return dict(json.loads((folder / "out.json").read_text()))


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    second = {
        **CHAT,
        "name": "embed-0",
        "model": "embed",
        "aliases": [],
        "port": 8101,
        "listen": "::",
        "cpu": {"cores": "", "kv_cache_space_gib": None},
        "max_model_len": None,
        "max_num_seqs": None,
        "stream_interval": None,
        "args": {
            "max-model-len": "auto",
            "enable-prefix-caching": False,
            "trust-remote-code": True,
            "override-generation-config": {"temperature": 0.5},
            "allowed-local-media-path": None,
            "lora-modules": ["a=/a", {"name": "b"}],
            "seed": -1,
            "chat-template": 'it\'s 100 % "sure"',
        },
        "env": {
            "VLLM_LOGGING_LEVEL": "DEBUG",
            "DO_NOT_TRACK": None,
            "PYTHONPATH": "/srv/plugins",
            "NCCL_DEBUG": "INFO",
            "TOOL_TOKEN": TOKEN,
            "VLLM_API_KEY": "mine",
        },
    }
    return render(tmp_path_factory.mktemp("cpu"), [CHAT, second])


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    instance = {
        **CHAT,
        "device": "cuda",
        "cpu": {"cores": "", "kv_cache_space_gib": None},
        "gpus": ["GPU-1", "GPU-2"],
        "args": {"tensor-parallel-size": 2, "gpu-memory-utilization": 0.9},
    }
    return render(
        tmp_path_factory.mktemp("cuda"),
        [instance],
        vllm_args={"seed": 1, "gpu-memory-utilization": 0.5},
        vllm_media_domains=["img.example.com", "192.0.2.1"],
    )


def normalised(rendered: dict[str, Any]) -> list[dict[str, Any]]:
    """The specs as the service role completes them."""
    return service_spec.normalise(rendered["specs"], "/etc/llmfleet", "/var/lib/llmfleet")


def command(rendered: dict[str, Any], index: int = 0) -> list[str]:
    return list(rendered["specs"][index]["command"])


def test_the_engine_serves_a_local_path_under_the_model_s_name(cpu: dict[str, Any]) -> None:
    argv = command(cpu)
    assert argv[:2] == ["/venv/bin/python", "-m"]
    assert "--model=/models/chat" in argv
    start = argv.index("--served-model-name")
    # Aliases are the gateway's alone.
    assert argv[start + 1] == "chat"
    assert argv[start + 2].startswith("--")
    assert {"--host=127.0.0.1", "--port=8100", "--max-model-len=2048", "--max-num-seqs=16"} <= set(argv)
    assert "--stream-interval=3" in argv


def test_flags_of_every_kind(cpu: dict[str, Any]) -> None:
    argv = command(cpu, 1)
    assert {"--no-enable-prefix-caching", "--trust-remote-code", "--seed=-1", "--max-model-len=auto"} <= set(argv)
    assert '--override-generation-config={"temperature": 0.5}' in argv
    assert '--chat-template=it\'s 100 % "sure"' in argv
    start = argv.index("--lora-modules")
    assert argv[start + 1] == "a=/a"
    assert json.loads(argv[start + 2]) == {"name": "b"}
    assert not [part for part in argv if "local-media" in part or "None" in part]
    assert not [part for part in argv if part.startswith(("--max-num-seqs", "--stream-interval"))]


def test_processors_are_bound_and_nothing_is_compiled_while_serving(cpu: dict[str, Any]) -> None:
    first, second = (spec["environment"] for spec in cpu["specs"])
    assert first["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
    assert first["VLLM_CPU_KVCACHE_SPACE"] == 2
    assert second["VLLM_CPU_OMP_THREADS_BIND"] == "auto"
    assert "VLLM_CPU_KVCACHE_SPACE" not in second
    assert "--enforce-eager" in command(cpu)
    assert first["TORCH_COMPILE_DISABLE"] == "1"


def test_an_environment_variable_can_be_changed_and_left_out(cpu: dict[str, Any]) -> None:
    full = normalised(cpu)[1]
    # vLLM's own check, with a key of somebody's own, would refuse the gateways.
    assert full["secrets"] == {"TOOL_TOKEN": TOKEN, "VLLM_LOGGING_LEVEL": "DEBUG"}
    assert not {"VLLM_LOGGING_LEVEL", "DO_NOT_TRACK"} & set(full["environment"])
    assert full["environment"]["NCCL_DEBUG"] == "INFO"


def test_a_users_variables_are_on_no_command_line(cpu: dict[str, Any]) -> None:
    check, ask = (task for task in yaml.safe_load((ROLE / "tasks" / "check.yml").read_text()) if "no_log" in task)
    assert "llmfleet.serving.engine_answers" in ask
    assert "request" not in str(check["ansible.builtin.command"]["argv"])
    assert "vllm_flags_request" in check["ansible.builtin.command"]["stdin"]
    for full in normalised(cpu):
        for file in service_spec.files([full], "systemd", "llm-", "/etc/llmfleet"):
            assert TOKEN not in json.dumps(file)


def test_the_middleware_comes_with_the_service_and_before_other_code(cpu: dict[str, Any]) -> None:
    for spec in cpu["specs"]:
        modules = ["llmfleet_access", "llmfleet_engine_log", "sitecustomize"]
        *programs, keys = spec["files"]
        assert [file["dest"] for file in programs] == [f"/etc/llmfleet/{spec['name']}/{one}.py" for one in modules]
        assert (keys["dest"], keys["on_change"]) == (spec["environment"]["LLMFLEET_ACCEPTED_KEYS"], "none")
        assert (ROLE / "templates" / keys["src"]).exists()
        # Ansible looks for them from the directory of the role, and renders them.
        for file in programs:
            assert not re.search(r"{[{%#]", (ROLE / file["src"]).read_text())
        assert "--middleware=llmfleet_access.EngineAccess" in spec["command"]
        assert "/v1/chat/completions" in spec["environment"]["LLMFLEET_API_PATHS"].split(",")
    first, second = (full["environment"]["PYTHONPATH"] for full in normalised(cpu))
    assert first == "/etc/llmfleet/vllm-chat-0"
    assert second == "/etc/llmfleet/vllm-embed-0:/srv/plugins"


def test_a_request_is_for_few_sequences(cpu: dict[str, Any], cuda: dict[str, Any]) -> None:
    for spec in cpu["specs"] + cuda["specs"]:
        assert spec["environment"]["VLLM_MAX_N_SEQUENCES"] == 8
        assert spec["environment"]["VLLM_MAX_COMPLETION_PROMPTS"] == 32


def test_media_come_from_hosts_that_are_named_and_from_no_other(cpu: dict[str, Any], cuda: dict[str, Any]) -> None:
    for rendered, hosts in ((cpu, ["none.invalid"]), (cuda, ["img.example.com", "192.0.2.1"])):
        argv = command(rendered)
        start = argv.index("--allowed-media-domains")
        assert argv[start + 1 : start + 1 + len(hosts)] == hosts
        assert rendered["specs"][0]["environment"]["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == 0


def test_engines_never_ask_the_network(cpu: dict[str, Any], cuda: dict[str, Any]) -> None:
    for spec in cpu["specs"] + cuda["specs"]:
        assert spec["environment"]["HF_HUB_OFFLINE"] == "1"
        assert spec["environment"]["VLLM_NO_USAGE_STATS"] == "1"


def test_gpus_come_through_the_service_and_the_model_wins_over_the_host(cuda: dict[str, Any]) -> None:
    argv = command(cuda)
    assert {"--tensor-parallel-size=2", "--gpu-memory-utilization=0.9", "--seed=1"} <= set(argv)
    assert "--enforce-eager" not in argv
    assert cuda["specs"][0]["gpus"] == ["GPU-1", "GPU-2"]
    assert not [name for name in cuda["specs"][0]["environment"] if "CPU" in name or name == "TORCH_COMPILE_DISABLE"]


def test_readiness_is_asked_where_the_engine_listens(cpu: dict[str, Any]) -> None:
    assert [spec["ready"]["url"] for spec in cpu["specs"]] == [
        "http://127.0.0.1:8100/health",
        "http://[::1]:8101/health",
    ]


def test_the_key_is_nowhere_in_the_service(cpu: dict[str, Any]) -> None:
    for spec in cpu["specs"]:
        assert "secrets" not in spec
        assert API_KEY not in json.dumps(spec)


def test_the_stop_waits_longer_than_the_engine_drains(cpu: dict[str, Any]) -> None:
    assert "--shutdown-timeout=20" in command(cpu)
    assert cpu["specs"][0]["stop"]["timeout"] > 20


def test_the_service_role_takes_the_specs_and_gives_each_a_user_of_its_own(
    cpu: dict[str, Any], cuda: dict[str, Any]
) -> None:
    for rendered in (cpu, cuda):
        found = [user["name"] for user in service_spec.users(normalised(rendered))]
        assert found == [f"llm-{spec['name']}" for spec in rendered["specs"]]


def test_the_stamp_follows_the_command_lines(cpu: dict[str, Any], cuda: dict[str, Any]) -> None:
    assert cpu["stamp"].startswith("/var/lib/llmfleet/vllm/checked/")
    assert cpu["stamp"] != cuda["stamp"]


def test_instances_that_are_planned_no_more_are_told_by_their_names(cpu: dict[str, Any]) -> None:
    tasks = yaml.safe_load((ROLE / "tasks" / "run.yml").read_text())
    (beginning,) = [task["vars"]["service_exclusive"] for task in tasks if "service_exclusive" in task.get("vars", {})]
    assert len(beginning) > 1
    assert [spec["name"] for spec in cpu["specs"] if not spec["name"].startswith(beginning)] == []
