# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import (
    configuration as container_engine_configuration,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import (
    restart as container_engine_restart,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.module_utils.versions import version_tuple

NOTHING = {"program": "", "packages": {}, "running": False, "snap": "", "is_podman": False, "init": True}
DOCKER = {**NOTHING, "program": "/usr/bin/docker", "running": True}


def host(distribution: str = "Debian", major: str = "13", service_mgr: str = "systemd") -> dict[str, str]:
    return {"name": "gpu1", "distribution": distribution, "major": major, "service_mgr": service_mgr}


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("26.1.5+dfsg1-9", (26, 1, 5)), ("5:28.5.1-1~debian", (28, 5, 1)), ("3:29", (29,)), ("", ()), ("dev", ())],
)
def test_version(version: str, numbers: tuple[int, ...]) -> None:
    assert version_tuple(version) == numbers


def test_a_docker_that_answers() -> None:
    info = {"ServerVersion": "28.5.1", "CDISpecDirs": ["/etc/cdi"], "DockerRootDir": "/data"}
    assert container_engine_configuration.docker_facts(
        json.dumps(info), "Docker version 28.5.0, build 1", "  --validate  Validate"
    ) == {
        "version": "28.5.1",
        "running": True,
        "cdi": True,
        "validates": True,
        "data_root": "/data",
        "is_podman": False,
    }


@pytest.mark.parametrize("info", ["", "[]", "null", '{"ServerErrors": ["Cannot connect"], "CDISpecDirs": null}'])
def test_a_docker_that_does_not(info: str) -> None:
    found = container_engine_configuration.docker_facts(info, "Docker version 20.10.24+dfsg1, build 297e128\n", "--tls")
    assert (found["version"], found["running"], found["cdi"], found["validates"]) == (
        "20.10.24+dfsg1",
        False,
        False,
        False,
    )
    assert container_engine_configuration.docker_facts(info, "", "")["version"] == ""


def test_podman_in_dockers_name() -> None:
    assert container_engine_configuration.docker_facts('{"host": {}, "version": {}}', "", "")["is_podman"]


@pytest.mark.parametrize(
    ("printed", "version", "cdi"),
    [
        ('{"Client": {"Version": "5.4.2"}}', "5.4.2", True),
        ('{"Client": {"Version": "3.4.4"}}', "3.4.4", False),
        ("", "", False),
        ("[]", "", False),
        ("{}", "", False),
    ],
)
def test_podman(printed: str, version: str, cdi: bool) -> None:
    found = container_engine_configuration.podman_facts(printed)
    assert (found["version"], found["running"], found["cdi"]) == (version, bool(version), cdi)


@pytest.mark.parametrize(
    ("name", "source", "distribution", "major", "packages", "repository"),
    [
        ("docker", "distribution", "Debian", "12", ["docker.io", "iptables", "ca-certificates"], False),
        ("docker", "distribution", "Debian", "13", ["docker.io", "docker-cli", "iptables", "ca-certificates"], False),
        ("docker", "distribution", "Ubuntu", "22", ["docker.io", "iptables", "ca-certificates"], False),
        ("docker", "distribution", "Ubuntu", "26", ["docker.io", "iptables", "ca-certificates"], False),
        (
            "docker",
            "docker",
            "Debian",
            "12",
            ["docker-ce", "docker-ce-cli", "containerd.io", "iptables", "ca-certificates"],
            True,
        ),
        ("docker", "docker", "Rocky", "9", ["docker-ce", "docker-ce-cli", "containerd.io"], True),
        ("docker", "docker", "RedHat", "10", ["docker-ce", "docker-ce-cli", "containerd.io"], True),
        ("podman", "distribution", "Debian", "13", None, False),
        ("podman", "docker", "Ubuntu", "24", None, False),
        ("podman", "distribution", "AlmaLinux", "8", ["podman"], False),
    ],
)
def test_a_host_without_an_engine(
    name: str, source: str, distribution: str, major: str, packages: list[str] | None, repository: bool
) -> None:
    wanted = packages or ["podman", "crun", "netavark", "aardvark-dns", "catatonit", "ca-certificates"]
    assert container_engine_configuration.container_engine_plan(NOTHING, host(distribution, major), name, source) == {
        "problems": [],
        "manage": True,
        "install": wanted,
        "repository": repository,
        "version": "",
    }
    assert (
        container_engine_configuration.container_engine_plan(NOTHING, host(distribution, major), name, source, "28")[
            "version"
        ]
        == "28"
    )


@pytest.mark.parametrize(
    ("found", "on", "name", "source", "said"),
    [
        (
            {**DOCKER, "snap": "/snap/bin/docker"},
            host(),
            "docker",
            "docker",
            'gpu1: container_engine_name is "docker": Docker is installed as a snap (/snap/bin/docker)',
        ),
        ({**DOCKER, "is_podman": True}, host(), "docker", "docker", "container_engine_name: podman"),
        (NOTHING, host(service_mgr="sysvinit"), "docker", "docker", "no docker answers here"),
        (NOTHING, host("Rocky", "9"), "docker", "distribution", 'source is "distribution": Rocky 9 has no Docker'),
        (NOTHING, host("Alpine", "3"), "podman", "distribution", "how to install podman on Alpine 3 is unknown"),
    ],
)
def test_what_cannot_be(found: dict[str, Any], on: dict[str, str], name: str, source: str, said: str) -> None:
    plan = container_engine_configuration.container_engine_plan(found, on, name, source, "28")
    (problem,) = plan["problems"]
    text = Problem(**problem).sentence()
    assert text.startswith("gpu1: container_engine_")
    assert said in text
    assert (plan["install"], plan["repository"], plan["version"]) == ([], False, "")


def test_a_podman_that_has_no_init_gets_one() -> None:
    podman = {**NOTHING, "program": "/usr/bin/podman", "packages": {"podman": "5.4.2"}, "running": True}
    assert (
        container_engine_configuration.container_engine_plan(podman, host(), "podman", "distribution")["install"] == []
    )
    bare = {**podman, "init": False}
    assert container_engine_configuration.container_engine_plan(bare, host(), "podman", "distribution")["install"] == [
        "catatonit"
    ]
    assert (
        container_engine_configuration.container_engine_plan(bare, host("Rocky", "9"), "podman", "distribution")[
            "install"
        ]
        == []
    )


@pytest.mark.parametrize("source", ["distribution", "docker"])
@pytest.mark.parametrize("packages", [{"docker.io": "26.1.5"}, {"docker-ce": "5:27.1.0"}, {"moby-engine": "24"}, {}])
def test_what_is_there_is_kept(packages: dict[str, str], source: str) -> None:
    plan = container_engine_configuration.container_engine_plan(
        {**DOCKER, "packages": packages}, host(), "docker", source
    )
    assert plan == {"problems": [], "manage": True, "install": [], "repository": False, "version": ""}


def test_without_systemd_an_engine_that_answers_is_used() -> None:
    plan = container_engine_configuration.container_engine_plan(
        DOCKER, host(service_mgr="tini"), "docker", "distribution", "28"
    )
    assert plan == {"problems": [], "manage": False, "install": [], "repository": False, "version": ""}


def test_a_snap_matters_to_docker_alone() -> None:
    snap = {**NOTHING, "snap": "/snap/bin/docker"}
    assert (
        container_engine_configuration.container_engine_plan(snap, host(), "podman", "distribution")["problems"] == []
    )


@pytest.mark.parametrize(
    ("packages", "source", "install"),
    [
        ({"docker-ce": "5:28.5.1-1~debian.12~bookworm"}, "docker", []),
        ({"docker-ce": "5:28.50.1-1"}, "docker", ["docker-ce", "docker-ce-cli"]),
        ({"docker-ce": "5:27.1.0-1"}, "docker", ["docker-ce", "docker-ce-cli"]),
        ({"docker-ce": "5:27.1.0-1"}, "distribution", []),
        ({"docker.io": "26.1.5+dfsg1"}, "docker", []),
        ({"docker.io": "26.1.5+dfsg1"}, "distribution", ["docker.io"]),
        ({"docker.io": "28.5"}, "distribution", []),
    ],
)
def test_a_version_changes_within_its_source(packages: dict[str, str], source: str, install: list[str]) -> None:
    plan = container_engine_configuration.container_engine_plan(
        {**DOCKER, "packages": packages}, host(), "docker", source, "28.5"
    )
    assert (plan["install"], plan["version"]) == (install, "28.5" if install else "")
    assert not plan["repository"]


def test_a_distribution_without_a_version() -> None:
    plan = container_engine_configuration.container_engine_plan(
        NOTHING, host("Debian", "forky/sid"), "docker", "distribution"
    )
    assert "docker-cli" not in plan["install"]


def test_daemon_values() -> None:
    assert container_engine_configuration.daemon_values({}, [], [], "") == {}
    assert container_engine_configuration.daemon_values(
        {"debug": True, "data-root": "/wins"}, ["https://m"], ["r:5000"], "/data"
    ) == {
        "registry-mirrors": ["https://m"],
        "insecure-registries": ["r:5000"],
        "data-root": "/wins",
        "debug": True,
    }


def test_logins() -> None:
    found = container_engine_configuration.registry_auths(
        [
            {"host": "r.example.com", "username": "u", "password": "p:w"},
            {"host": "docker.io", "username": "u"},
            {"host": "open.example.com", "ca": "x"},
        ]
    )
    assert found == {
        "auths": {"r.example.com": {"auth": "dTpwOnc="}, "https://index.docker.io/v1/": {"auth": "dTo="}},
    }
    assert container_engine_configuration.registry_auths([]) == {}


UNITS = """\
llm-a.service loaded active running A
llm-b.service loaded activating auto-restart B
llm-c.service loaded inactive dead C
llm-d.service loaded failed failed D
llm-venv.service loaded active running no container
llm-e.timer loaded active waiting E
broken
"""


def test_units_with_a_container() -> None:
    containers = "llm-d\nllm-b\nllm-a\nllm-e\nllm-c\nsomebody\n"
    assert container_engine_restart.units_of_containers(UNITS, containers) == ["llm-a.service", "llm-b.service"]
    assert container_engine_restart.units_of_containers(UNITS, "") == []


def test_properties() -> None:
    assert container_engine_restart.properties("MainPID=12\nExec=a=b\n\nnoise") == {"MainPID": "12", "Exec": "a=b"}


def test_start_of_a_process() -> None:
    stat = "12 (a )) b) S " + " ".join(["0"] * 18) + " 250 0"
    assert container_engine_restart.process_start(stat, "cpu 1\nbtime 1000\n", 100) == 1002.5
    assert container_engine_restart.process_start("", "btime 1000\n", 100) is None
    assert container_engine_restart.process_start(stat, "", 100) is None


@pytest.mark.parametrize(
    ("active", "started", "changed", "asked", "action"),
    [
        (False, None, [], True, "start"),
        (False, 5.0, [9.0], False, "start"),
        (True, 5.0, [], False, "none"),
        (True, 5.0, [1.0, 4.9, 6.9], False, "none"),
        (True, 5.0, [1.0, 7.1], False, "restart"),
        (True, None, [9.0], False, "none"),
        (True, 5.0, [], True, "restart"),
    ],
)
def test_action(active: bool, started: float | None, changed: list[float], asked: bool, action: str) -> None:
    assert container_engine_restart.action(active, started, changed, asked) == action
