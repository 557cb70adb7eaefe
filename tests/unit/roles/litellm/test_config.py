# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role makes of its parameters: LiteLLM's configuration and the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.models import resolve
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import wiring
from rendered_role import render_role

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "litellm"
MASTER_KEY = "sk-master-0123456789"
GATE_KEY = "sk-gate-0123456789"

CHAT = {
    "name": "chat",
    "aliases": ["assistant", "gpt"],
    "api_base": "http://127.0.0.1:4100/chat/v1",
    "max_input_tokens": 8192,
    "max_output_tokens": 1024,
    "max_parallel_requests": 32,
    "request_defaults": {"temperature": 0.2, "top_p": None, "max_tokens": 1024},
    "input_cost_per_token": 0.0000015,
    "output_cost_per_token": 0,
    "rpm": None,
    "tpm": None,
    "mode": "chat",
}
HOSTS = {"h": {"device": "cpu", "cpu": {"vcpus": 8, "memory_mib": 64000}, "address": "10.0.0.2"}}
EMBEDDING = {"name": "embed", "api_base": "http://127.0.0.1:4100/embed/v1", "mode": "embedding"}
PARAMETERS: dict[str, Any] = {
    "service_packages": {
        "litellm": {
            "python": "/venv/bin/python",
            "programs": {"litellm": "/venv/bin/litellm", "uvicorn": "/venv/bin/uvicorn"},
        }
    },
    "litellm_egress": ["10.0.0.1"],
    "litellm_listen": "127.0.0.1",
    "litellm_port": 4000,
    "litellm_num_workers": 1,
    "litellm_request_timeout": 620,
    "litellm_master_key": MASTER_KEY,
    "litellm_gate_key": GATE_KEY,
    "litellm_upstream_api_key": "sk-engine-0123456789",
    "litellm_deployments": [CHAT, EMBEDDING],
}


class Rendered:
    """The role's output for some parameters."""

    def __init__(self, root: Path) -> None:
        folder = root / "etc" / "litellm"
        self.text = {path.name: path.read_text() for path in folder.iterdir()}
        self.config = yaml.safe_load(self.text["config.yaml"])
        self.service = json.loads((root / "etc" / "litellm.json").read_text())


def render(folder: Path, **changes: Any) -> Rendered:
    render_role("litellm", folder, {**PARAMETERS, **changes})
    return Rendered(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(
        tmp_path_factory.mktemp("rich"),
        litellm_num_workers=3,
        litellm_listen="0.0.0.0",
        litellm_redis_url="redis://:secret-of-redis@127.0.0.1:6379/0",
        litellm_metrics=[],
        litellm_deployments=[{**CHAT, "rpm": 100}],
        litellm_config={"router_settings": {"num_retries": 5}, "litellm_settings": {"json_logs": True}},
        litellm_environment={"LITELLM_LOG": "INFO"},
    )


def test_a_deployment_has_its_limits_and_a_price_in_model_info_alone(plain: Rendered) -> None:
    chat, embed = plain.config["model_list"]
    assert chat == {
        "model_name": "chat",
        "litellm_params": {
            "model": "hosted_vllm/chat",
            "api_base": "http://127.0.0.1:4100/chat/v1",
            "api_key": "os.environ/LITELLM_UPSTREAM_API_KEY",
            "max_parallel_requests": 32,
            # What a request that brings none of its own is sent with.
            "temperature": 0.2,
            "max_tokens": 1024,
        },
        "model_info": {
            "id": "chat",
            "mode": "chat",
            "input_cost_per_token": 0.0000015,
            "output_cost_per_token": 0.0,
            "max_input_tokens": 8192,
            "max_output_tokens": 1024,
        },
    }
    assert embed["model_info"] == {
        "id": "embed",
        "mode": "embedding",
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
    }


def test_one_users_prompt_takes_no_model_away(plain: Rendered) -> None:
    settings = plain.config["router_settings"]
    assert settings["disable_cooldowns"] is True
    assert settings["num_retries"] == 1
    assert settings["retry_policy"]["InternalServerErrorRetries"] == 0
    assert int(plain.service["environment"]["REPEATED_STREAMING_CHUNK_LIMIT"]) > 10000


def test_aliases_and_timeouts(plain: Rendered) -> None:
    assert plain.config["router_settings"]["model_group_alias"] == {"assistant": "chat", "gpt": "chat"}
    assert plain.config["router_settings"]["timeout"] == plain.config["litellm_settings"]["request_timeout"] == 620


def test_litellm_knows_the_gate_and_no_client(plain: Rendered) -> None:
    assert plain.config["general_settings"]["custom_auth"] == "llmfleet_gateway.authenticate"
    assert plain.config["general_settings"]["custom_auth_run_common_checks"] is True
    assert plain.config["litellm_settings"]["callbacks"] == ["prometheus"]
    assert plain.service["secrets"]["LLMFLEET_GATE_KEY"] == GATE_KEY


def test_no_secret_is_outside_of_the_secrets(plain: Rendered, rich: Rendered) -> None:
    for rendered in (plain, rich):
        secrets = rendered.service.pop("secrets")
        assert secrets["LITELLM_MASTER_KEY"]
        elsewhere = json.dumps(rendered.service) + "".join(rendered.text.values())
        assert not [value for value in (MASTER_KEY, GATE_KEY, "0123456789", "secret-of-redis") if value in elsewhere]
        rendered.service["secrets"] = secrets


def test_the_hooks_arrive_as_they_are(plain: Rendered) -> None:
    for path in (ROLE / "files").glob("llmfleet_*.py"):
        assert plain.text[path.name] == path.read_text()


def test_one_worker_counts_in_memory_and_several_in_files(plain: Rendered, rich: Rendered) -> None:
    assert "PROMETHEUS_MULTIPROC_DIR" not in plain.service["environment"]
    folder = rich.service["environment"]["PROMETHEUS_MULTIPROC_DIR"]
    assert [entry["path"] for entry in rich.service["directories"]] == [folder]


def test_a_redis_is_shared_for_limits(plain: Rendered, rich: Rendered) -> None:
    assert "coordination_redis" not in plain.config["general_settings"]
    assert rich.config["general_settings"]["coordination_redis"] == {"url": "os.environ/LITELLM_REDIS_URL"}
    assert rich.service["secrets"]["LITELLM_REDIS_URL"].startswith("redis://")


def test_limits_of_models_are_enforced_where_there_are_any(plain: Rendered, rich: Rendered) -> None:
    assert "optional_pre_call_checks" not in plain.config["router_settings"]
    assert rich.config["router_settings"]["optional_pre_call_checks"] == ["enforce_model_rate_limits"]
    assert rich.config["model_list"][0]["litellm_params"]["rpm"] == 100


def test_replicas_and_limits_leave_every_byte_as_it_is(tmp_path: Path) -> None:
    texts = set()
    for replicas, limits in [(1, {}), (2, {"rpm": 60}), (3, {"tpm": 5, "max_parallel_requests": 2})]:
        models = resolve([{"name": "chat", "source": "demo:", "replicas": replicas, "limits": limits}])
        planned = serving_plan.plan(models, HOSTS, gateways={"gw": 8})["instances"]
        assert len(planned) == replicas
        (folder := tmp_path / str(replicas)).mkdir()
        deployments = wiring.litellm_deployments(planned, models, "http://127.0.0.1:4100")
        rendered = render(folder, litellm_deployments=deployments)
        service = json.dumps(rendered.service).replace(str(folder), "")
        texts.add((rendered.text["config.yaml"], service))
    assert len(texts) == 1


def test_settings_of_ones_own_win_and_leave_the_others(rich: Rendered) -> None:
    assert rich.config["router_settings"]["num_retries"] == 5
    assert rich.config["router_settings"]["disable_cooldowns"] is True
    assert rich.config["litellm_settings"]["json_logs"] is True
    assert "prometheus_metrics_config" not in rich.config["litellm_settings"]
    assert rich.service["user_environment"]["LITELLM_LOG"] == "INFO"


def test_the_ready_probe_goes_to_an_address(rich: Rendered) -> None:
    assert rich.service["ready"]["url"] == "http://127.0.0.1:4000/health/liveliness"
