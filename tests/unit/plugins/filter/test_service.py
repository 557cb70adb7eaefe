# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter import service
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import image as service_image

FILTERS = service.FilterModule().filters()
IMAGE = "docker.io/a/web:1@sha256:" + "0" * 64
PACKAGE = {"name": "web", "image": IMAGE, "programs": {"web": ""}}


def run(name: str, *args: Any, **kwargs: Any) -> Any:
    return FILTERS[name](*args, **kwargs)


def test_from_a_package_to_a_command_line() -> None:
    images = run("package_images", PACKAGE, "/opt/images")
    path = images[0]["programs"][0]["path"]
    specs = run("service_specs", [{"name": "web", "command": [path]}], "/etc/x", "/var/x", images)
    options = {"engine": "docker", "prefix": "llm-", "run_dir": "/run/x", "gpu_mode": "cdi", "network": "host"}
    lines = run("container_service", specs[0], {**options, "log_driver": "none", "memlock": True, "forget": False})
    assert lines[-2:] == ["--entrypoint web", IMAGE]
    assert run("package_programs", PACKAGE, "/usr/bin") == {"web": "/usr/bin/web"}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("package_images", ({**PACKAGE, "image": "a"}, "/opt", True, "gpu1"), 'gpu1: llm_images.web is "a": '),
        ("package_on", ({"names": {}}, {}, "gpu1"), "gpu1: service_package.names is {}: "),
        ("resolve_images", ({"web": IMAGE}, {"wbe": "a"}, "", "gpu1"), 'gpu1: llm_images.wbe is "a": '),
        (
            "service_specs",
            ([{"name": "web", "command": ["web"]}], "/etc/x", "/var/x", [], "gpu1"),
            'gpu1: service_specs[web].command is ["web"]: ',
        ),
    ],
)
def test_what_is_wrong_is_an_error_of_ansible(name: str, arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        run(name, *arguments)
    assert str(error.value).startswith(words)


def test_images_are_checked_before_anything_is_touched() -> None:
    assert run("resolve_images", {"web": IMAGE}, {})["web"] == {"image": IMAGE}
    assert run("image_problems", {"web": IMAGE}, ["web"]) == []
    (problem,) = service_image.problems({"web": "docker.io/a:1"}, ["web"], True)
    told = run("image_problems", {"web": "docker.io/a:1"}, ["web"], True, "gpu1")
    assert told == [{**problem._asdict(), "host": "gpu1"}]


def test_a_probe_runs_python_as_the_engine_would() -> None:
    instance = {
        "name": "chat-0",
        "engine": "vllm",
        "gpus": ["GPU-1"],
        "env": {"NCCL_P2P_DISABLE": "1", "NCCL_IB_HCA": None, "HF_TOKEN": "hidden"},
    }
    options = {"engine": "docker", "gpu_mode": "cdi", "memlock": True, "network": "host"}
    (engine,) = run("container_probes", [instance], {"vllm": IMAGE}, options, {"vllm": {"NCCL_DEBUG": "INFO"}})
    assert engine["name"] == "chat-0"
    assert engine["gpus"] == ["GPU-1"]
    assert engine["python"][-3:] == ["--entrypoint", "python3", IMAGE]
    text = " ".join(engine["python"])
    assert "--env NCCL_DEBUG=INFO" in text
    assert "--env NCCL_P2P_DISABLE=1" in text
    # As in the engine itself.
    assert "--env GLOO_SOCKET_IFNAME=lo" in text
    assert "--env NCCL_SOCKET_IFNAME=lo" in text
    assert "NCCL_IB_HCA" not in text
    assert "hidden" not in text
    own = {"vllm": {"image": IMAGE, "programs": {"python": "/v/python"}}}
    (engine,) = run("container_probes", [instance, {**instance, "engine": "other"}], own, options)
    assert engine["python"][-2:] == ["/v/python", IMAGE]
    assert run("container_probes", [{**instance, "interface": {"has_torch": False}}], own, options) == []
