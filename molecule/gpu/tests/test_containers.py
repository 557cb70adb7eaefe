# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where programs run in containers: a real Docker, asked for GPUs, gives a container these and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from gpu_hosts import ENGINES

testinfra_hosts = ENGINES
# Debian 13 has Docker 26; Debian 12 and Ubuntu 24.04 have one that knows no CDI.
CDI = {"gpu-hgx"}
IMAGE = "bench-probe:1"


@pytest.fixture
def image(host: Any) -> Iterator[str]:
    host.check_output(f"/srv/files/image.sh {IMAGE}")
    yield IMAGE
    host.check_output(f"docker image rm --force {IMAGE}")


def daemon(host: Any) -> dict[str, Any]:
    file = host.file("/etc/docker/daemon.json")
    return json.loads(file.content_string) if file.exists else {}


def test_engine_runs(host: Any) -> None:
    unit = host.service("docker")
    assert unit.is_enabled
    assert unit.is_running
    assert daemon(host)["log-driver"] == "local"


def test_toolkit_is_held(host: Any, name: str, installed: dict[str, str]) -> None:
    held = set(host.check_output("apt-mark showhold").split())
    wanted = {"nvidia-container-toolkit-base"} | (set() if name in CDI else {"nvidia-container-toolkit"})
    assert wanted <= set(installed)
    assert {package for package in installed if "container" in package and "nvidia" in package} <= held


def test_cdi_names_every_gpu_and_mig_device(host: Any, name: str, gpus: list[str]) -> None:
    if name not in CDI:
        pytest.skip("this Docker knows no CDI")
    listed = set(host.check_output("nvidia-ctk --quiet cdi list").split())
    assert {f"nvidia.com/gpu={gpu}" for gpu in gpus} <= listed
    assert not host.file("/etc/cdi/nvidia.yaml").exists
    assert host.service("nvidia-cdi-refresh.path").is_enabled


def test_a_container_sees_the_gpus_it_was_given_and_no_other(host: Any, name: str, image: str, gpus: list[str]) -> None:
    if name not in CDI:
        pytest.skip("this Docker knows no CDI")
    given = gpus[2:4] if len(gpus) > 4 else gpus
    devices = " ".join(f"--device nvidia.com/gpu={gpu}" for gpu in given)
    seen = host.check_output(f"docker run --rm --network host {devices} {image} nvidia-smi -L")
    assert [line.partition("UUID: ")[2].rstrip(")") for line in seen.splitlines()] == sorted(given)
    none = host.run(f"docker run --rm --network host {image} nvidia-smi -L")
    assert none.rc != 0


def test_legacy_mode_asks_for_the_gpu_by_its_uuid(host: Any, name: str, image: str) -> None:
    if name in CDI:
        pytest.skip("this Docker knows CDI")
    assert daemon(host)["runtimes"]["nvidia"]["path"].endswith("nvidia-container-runtime")
    assert "nvidia" in json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))
    listed = host.check_output("nvidia-smi -L").splitlines()
    devices = [line.partition("UUID: ")[2].rstrip(")") for line in listed]
    # Of a GPU in MIG mode, a device of its own.
    devices = [uuid for uuid in devices if uuid.startswith("MIG-")] or devices
    made = host.check_output(f"docker create --gpus device={devices[0]} {image} nvidia-smi -L")
    try:
        (asked,) = json.loads(host.check_output(f"docker inspect {made}"))[0]["HostConfig"]["DeviceRequests"]
    finally:
        host.check_output(f"docker rm {made}")
    assert asked["DeviceIDs"] == [devices[0]]
    assert asked["Capabilities"] == [["gpu"]]
